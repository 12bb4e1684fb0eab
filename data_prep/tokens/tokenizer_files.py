"""The files of a tokenizer as bytes, for workers that may run on other machines."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from data_prep.tokens.folder import TOKENIZER_FILE, read_card


@dataclass(frozen=True)
class TokenizerFiles:
    """The content of a token folder without its tokens.

    Attributes:
        contents: by the file's name.
    """

    contents: Mapping[str, bytes]

    @classmethod
    def of(cls, folder: Path) -> TokenizerFiles:
        """Read the card and the tokenizer files of a token folder."""
        names = [TOKENIZER_FILE, *read_card(folder)["files"]]
        return cls({name: (folder / name).read_bytes() for name in names})

    @contextmanager
    def written(self) -> Iterator[Path]:
        """Yield a temporary folder with the files, from which a tokenizer is loaded."""
        with tempfile.TemporaryDirectory() as name:
            for file, content in self.contents.items():
                (Path(name) / file).write_bytes(content)
            yield Path(name)

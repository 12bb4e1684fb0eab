"""The code blocks of the documentation, and the command lines in them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
WRITTEN = sorted(
    [
        REPOSITORY / "README.md",
        *(REPOSITORY / "docs").rglob("*.md"),
        *(REPOSITORY / "examples").rglob("README.md"),
    ]
)
_BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>\w+) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```",
    re.MULTILINE | re.DOTALL,
)
_GENERATED = "This page is generated from the code"
_SHELL = ("", "bash", "console")


@dataclass(frozen=True)
class Block:
    """A code block: its page, its language, the mark in the line before it, and its text."""

    page: Path
    language: str
    mark: str
    text: str

    @property
    def commands(self) -> list[list[str]]:
        """The command lines of a block of the shell, as words, without comments."""
        if self.language not in _SHELL:
            return []
        lines = self.text.replace("\\\n", " ").splitlines()
        parts = [part for line in lines for part in line.split(" && ")]
        words = [shlex.split(part, comments=True) for part in parts]
        return [line for line in words if line]


def blocks(page: Path) -> Iterator[Block]:
    """Yield the code blocks of a page."""
    for match in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        yield Block(page, match["language"], match["mark"] or "", match["text"])


def written_by_hand() -> list[Path]:
    """Return the pages that are not generated."""
    return [page for page in WRITTEN if _GENERATED not in page.read_text(encoding="utf-8")]

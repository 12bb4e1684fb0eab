"""Codes of chunks of rows, kept until their split is written: a killed run goes on from there."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from data_prep.files.arrays import load_archive
from data_prep.files.replacing import replacing
from data_prep.tokens.vq_wav2vec import Codes

logger = logging.getLogger(__name__)

FOLDER = ".partial"


class CodeStore:
    """`.partial/` in a token folder: a file a chunk, named after the digest of what it comes from.

    What was made from anything else has another name, so that nothing stale is ever read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER

    def get(self, digest: str, compute: Callable[[], list[Codes]]) -> list[Codes]:
        """The codes (T, G) of a chunk's rows, computed if they are not there yet."""
        file = self._file(digest)
        if file.exists():
            try:
                return _read(file)
            except ValueError as error:
                logger.warning("%s: cannot be read (%s); computing it again", file, error)
        rows = compute()
        self._folder.mkdir(exist_ok=True)
        with replacing(file, is_locked=True) as part, part.open("wb") as stream:
            np.savez(stream, codes=np.concatenate(rows), lengths=[len(codes) for codes in rows])
        return rows

    def forget(self, digests: Iterable[str]) -> None:
        """Remove these chunks, those that are there."""
        for digest in digests:
            self._file(digest).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all, stale ones too."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _file(self, digest: str) -> Path:
        return self._folder / f"{digest}.npz"


def _read(file: Path) -> list[Codes]:
    codes, lengths = load_archive(file, lambda saved: (saved["codes"], saved["lengths"]))
    if codes.ndim != 2 or lengths.ndim != 1 or (lengths < 0).any() or sum(lengths) != len(codes):
        raise ValueError(f"lengths {lengths.tolist()} of codes {codes.shape}")
    return np.split(codes, np.cumsum(lengths)[:-1])

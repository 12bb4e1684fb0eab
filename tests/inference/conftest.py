"""A corpus with every target, and what fairseq-validate says of it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from data_prep.schema import read_corpus, read_manifest, write_corpus

SCORES = (-3.0, -1.8, -0.5, 0.0, 0.2, 1.0, 2.5, 3.0)


@pytest.fixture(scope="session")
def scored_toy(toy_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy corpus with a sentiment score in every row, and every turn in no dialogue."""
    data = tmp_path_factory.mktemp("scored") / "data"
    corpus = read_corpus(toy_corpus)
    splits = {
        split: [
            replace(row, sentiment_score=SCORES[number % len(SCORES)], dialogue=None, turn=None)
            for number, row in enumerate(read_manifest(toy_corpus / f"{split}.tsv"))
        ]
        for split in corpus.splits
    }
    write_corpus(data, corpus, splits)
    for folder in ("audio", "text", "speech"):
        (data / folder).symlink_to(toy_corpus / folder)
    return data


@pytest.fixture(scope="session")
def rows_of() -> Callable[[Path], tuple[list[Path], list[str]]]:
    """The audio files and the texts of a data dir's test split, in the order of their ids."""

    def read(data: Path) -> tuple[list[Path], list[str]]:
        rows = sorted(read_manifest(data / "test.tsv"), key=lambda row: row.id)
        return [data / str(row.audio) for row in rows], [str(row.text) for row in rows]

    return read

"""What a data dir knows of the scored utterances: texts, speakers, corpora, VAD, prototypes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.folds.file import (
    FOLDS_FOLDER,
    read_folds,
)
from data_prep.prototypes import (
    Prototypes,
    difficulties,
    prototypes_path,
    read_prototypes,
)
from data_prep.schema import AXES, CORPUS_FILE, Corpus, Utterance, read_corpus, read_manifest
from emo_fairseq.errors import UsageError
from emo_fairseq.types import (
    SPEECH,
    TEXT,
)

_HAS: dict[str, Callable[[Utterance], bool]] = {
    TEXT: lambda row: row.text is not None,
    SPEECH: lambda row: row.audio is not None,
}


@dataclass(frozen=True)
class Facts:
    """What the manifests say of N scored utterances; of no data dir, nothing.

    Attributes:
        rows: the utterance of each, None where no manifest has its id.
        corpus: what corpus.yaml says, if it is there.
        prototypes: those of the train split, or of the fold that was scored, if they are there.
        is_given: whether there is a data dir at all.
        no_prototypes: why there are none, and what makes them.
    """

    rows: Sequence[Utterance | None]
    corpus: Corpus | None = None
    prototypes: Prototypes | None = None
    is_given: bool = True
    no_prototypes: str = ""

    def column(self, name: str) -> list[str | None]:
        """A column of the manifest, such as ``speaker``, by utterance."""
        return [None if row is None else getattr(row, name) for row in self.rows]

    def vad(self) -> np.ndarray:
        """(N, 3) valence, arousal and dominance as annotated; NaN = missing."""
        columns = [self.column(axis) for axis in AXES]
        values = [[np.nan if x is None else float(x) for x in column] for column in columns]
        return np.array(values, dtype=np.float64).T

    def difficulty(self) -> np.ndarray:
        """(N,) distance to the prototype of the annotated class; NaN where one is missing."""
        if self.prototypes is None:
            return np.full(len(self.rows), np.nan)
        names = self.prototypes.labels
        number = {name: place for place, name in enumerate(names)}
        annotated = self.column(self.prototypes.label)
        labels = [-1 if name is None else number.get(name, -1) for name in annotated]
        return difficulties(
            self.vad(), np.array(labels, dtype=np.int64), self.prototypes.array(names)
        )

    def modalities(self) -> list[str] | None:
        """What the manifest has of each utterance, as ``text+speech``; None if always the same."""
        cases = [
            "+".join(name for name, has in _HAS.items() if row is not None and has(row))
            for row in self.rows
        ]
        return cases if len(set(cases)) > 1 else None


def no_facts(n_rows: int) -> Facts:
    """What is known without a data dir."""
    return Facts([None] * n_rows, is_given=False)


def read_facts(data_dir: Path, split: str, ids: Sequence[str]) -> Facts:
    """Find the scored utterances in the manifests of a data dir.

    First in the manifest of the split, then in the others: a fold divides the rows of another.

    Raises:
        UsageError: no such folder, or none of the ids is in it.
        data_prep.errors.ManifestError: a file of the data dir that breaks the contract.
    """
    if not data_dir.is_dir():
        raise UsageError(f"--data {data_dir}: there is no such folder")
    corpus = read_corpus(data_dir) if (data_dir / CORPUS_FILE).is_file() else None
    known: dict[str, Utterance] = {}
    for file in _manifests(data_dir, split, corpus):
        if not known.keys() >= set(ids):
            known = {row.id: row for row in read_manifest(file)} | known
    rows = [known.get(name) for name in ids]
    if not any(rows):
        raise UsageError(
            f"--data {data_dir}: no manifest in it has any of the {len(ids)} scored ids, such as "
            f"{ids[0]}; name the data dir that these predictions were made from"
        )
    return Facts(rows, corpus, *_prototypes(data_dir, split, ids))


def _prototypes(
    data_dir: Path, split: str, ids: Sequence[str]
) -> tuple[Prototypes | None, bool, str]:
    """The last three facts. Predictions name no fold: it is the one whose set holds them all.

    Prototypes of the whole train split would be fitted on rows that a fold tests on.
    """
    folds = _folds_of(data_dir, split, set(ids))
    if len(folds) > 1:
        named = ", ".join(folds)
        why = f"{split} is a set of {named}: which fold's prototypes are meant cannot be told"
        return None, True, why
    fold = folds[0] if folds else None
    file = prototypes_path(data_dir, fold)
    if file.is_file():
        return read_prototypes(file), True, ""
    command = f"python -m data_prep.fit_prototypes DATA_DIR{f' --fold {fold}' if fold else ''}"
    return None, True, f"no {file.relative_to(data_dir)} in --data; `{command}`"


def _folds_of(data_dir: Path, split: str, ids: set[str]) -> list[str]:
    """PROTOCOL/FOLD of every fold whose set of this name holds all of the ids."""
    return [
        f"{file.stem}/{name}"
        for file in sorted((data_dir / FOLDS_FOLDER).glob("*.json"))
        for name, sets in read_folds(file).folds.items()
        if ids <= set(sets.get(split, ()))
    ]


def _manifests(data_dir: Path, split: str, corpus: Corpus | None) -> Iterator[Path]:
    names = [split, *(corpus.splits if corpus is not None else ())]
    for name in dict.fromkeys(names):
        file = data_dir / f"{name}.tsv"
        if file.is_file():
            yield file

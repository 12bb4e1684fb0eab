"""What a data dir has on the scored utterances."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.folds.file import FOLDS_FOLDER, read_base, read_folds
from data_prep.folds.records import composition_of
from data_prep.prototypes import Prototypes, difficulties, prototypes_path, read_prototypes
from data_prep.schema import AXES, CORPUS_FILE, Corpus, Utterance, read_corpus, read_manifest
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.statistics import LabelPredictions, Predictions
from emo_fairseq.evaluation.value_labels import VALUES
from emo_fairseq.modalities import SPEECH, TEXT

_WRITTEN = 1e-6  # by which a truth may differ from the manifest's: predictions have nine digits
SetCompositions = Mapping[str, Mapping[str, Any]]  # set -> its rows, speakers, genders and labels

_HAS: dict[str, Callable[[Utterance], bool]] = {
    TEXT: lambda row: row.text is not None,
    SPEECH: lambda row: row.audio is not None,
}


@dataclass(frozen=True)
class Annotations:
    """The manifest rows of N scored utterances, and what belongs to their corpus.

    Attributes:
        rows: (N,) None where no manifest has the id.
        corpus: of corpus.yaml; None without one.
        prototypes: of the train split, or of the fold that was scored; None without.
        is_given: whether there is a data dir at all.
        no_prototypes: why there are no prototypes, and which command fits them.
        folds: the folds whose set of this split holds all utterances, as PROTOCOL/FOLD, and what
            their sets are made of.
    """

    rows: Sequence[Utterance | None]
    corpus: Corpus | None = None
    prototypes: Prototypes | None = None
    is_given: bool = True
    no_prototypes: str = ""
    folds: Mapping[str, SetCompositions] = field(default_factory=dict)

    def column(self, name: str) -> list[str | None]:
        """Return a column of the manifest, such as ``speaker``, by utterance."""
        return [None if row is None else getattr(row, name) for row in self.rows]

    def speakers(self) -> set[str]:
        """Return the speakers that are named."""
        return {name for name in self.column("speaker") if name is not None}

    def vad(self) -> np.ndarray:
        """Return annotated valence, arousal and dominance, (N, 3); NaN = missing."""
        columns = [self.column(axis) for axis in AXES]
        values = [[np.nan if x is None else float(x) for x in column] for column in columns]
        return np.array(values, dtype=np.float64).T

    def difficulty(self) -> np.ndarray:
        """Return the distance to the prototype of the annotated class, (N,); NaN = unknown."""
        if self.prototypes is None:
            return np.full(len(self.rows), np.nan)
        names = self.prototypes.labels
        number = {name: index for index, name in enumerate(names)}
        annotated = self.column(self.prototypes.label)
        labels = [-1 if name is None else number.get(name, -1) for name in annotated]
        return difficulties(
            self.vad(), np.array(labels, dtype=np.int64), self.prototypes.array(names)
        )

    def ids_of_other_truth(self, predictions: Predictions) -> list[str]:
        """Return the ids of predictions whose truth is not that of the manifest.

        Labels are held against the column whose labels they are; of mapped ones there is none.

        Args:
            predictions: of the same N utterances.
        """
        if isinstance(predictions, LabelPredictions):
            named = {} if self.corpus is None else self.corpus.labels
            columns = [k for k, names in named.items() if {*names} == {*predictions.names}]
            if len(columns) != 1:
                return []
            number = {name: index for index, name in enumerate(predictions.names)}
            own = [number.get(name or "", -1) for name in self.column(columns[0])]
            known = (np.array(own) >= 0) & predictions.has_truth
            differs = known & (np.array(own) != predictions.truth)
        else:
            nothing = [None] * len(self.rows)  # of an axis that no manifest has
            of_axes = [self.column(x) if x in VALUES else nothing for x in predictions.names]
            values = [[np.nan if x is None else float(x) for x in column] for column in of_axes]
            differs = (abs(np.array(values).T - predictions.truth) > _WRITTEN).any(axis=1)
        return [predictions.ids[row] for row in np.flatnonzero(differs).tolist()]

    def modalities(self) -> list[str] | None:
        """Return what each utterance has, as ``text+speech``; None if it is always the same."""
        cases = [
            "+".join(name for name, has in _HAS.items() if row is not None and has(row))
            for row in self.rows
        ]
        return cases if len(set(cases)) > 1 else None


def read_annotations(data_dir: Path, split: str, ids: Sequence[str]) -> Annotations:
    """Look up the scored utterances in the manifests of a data dir.

    First in the manifest of the split, then in the others: a fold divides the rows of another.

    Raises:
        UsageError: no such folder, or none of the ids is in it.
        data_prep.errors.ManifestError: a file of the data dir that breaks the contract.
    """
    if not data_dir.is_dir():
        raise UsageError(f"--data {data_dir}: there is no such folder", "data-missing")
    corpus = read_corpus(data_dir) if (data_dir / CORPUS_FILE).is_file() else None
    known: dict[str, Utterance] = {}
    for file in _manifests(data_dir, split, corpus):
        if not known.keys() >= set(ids):
            known = {row.id: row for row in read_manifest(file)} | known
    rows = [known.get(name) for name in ids]
    if not any(rows):
        raise UsageError(
            f"--data {data_dir}: no manifest in it has any of the {len(ids)} scored ids, such as "
            f"{ids[0]}; name the data dir that these predictions were made from",
            "data-other-ids",
        )
    folds = _folds(data_dir, split, ids)
    prototypes, why_not = _prototypes(data_dir, split, list(folds))
    return Annotations(rows, corpus, prototypes, no_prototypes=why_not, folds=folds)


def _manifests(data_dir: Path, split: str, corpus: Corpus | None) -> Iterator[Path]:
    names = [split, *(corpus.splits if corpus is not None else ())]
    for name in dict.fromkeys(names):
        file = data_dir / f"{name}.tsv"
        if file.is_file():
            yield file


def _folds(data_dir: Path, split: str, ids: Sequence[str]) -> dict[str, SetCompositions]:
    """Return the folds whose set of this name holds all of the ids, and what each is made of.

    Predictions name no fold.
    """
    wanted = set(ids)
    compositions: dict[str, SetCompositions] = {}
    for file in sorted((data_dir / FOLDS_FOLDER).glob("*.json")):
        folds = read_folds(file)
        holding = {
            name: sets for name, sets in folds.folds.items() if wanted <= set(sets.get(split, ()))
        }
        if holding:
            counted = composition_of(holding, read_base(data_dir, folds.bases))
            compositions |= {f"{file.stem}/{name}": of_sets for name, of_sets in counted.items()}
    return compositions


def _prototypes(data_dir: Path, split: str, folds: Sequence[str]) -> tuple[Prototypes | None, str]:
    """Return the prototypes of the split, or of its fold, or why there are none.

    Prototypes of the whole train split would be fitted on rows that a fold tests on.
    """
    if len(folds) > 1:
        named = ", ".join(folds)
        return None, f"{split} is a set of {named}: which fold's prototypes are meant is ambiguous"
    fold = folds[0] if folds else None
    file = prototypes_path(data_dir, fold)
    if file.is_file():
        return read_prototypes(file), ""
    command = f"python -m data_prep.fit_prototypes DATA_DIR{f' --fold {fold}' if fold else ''}"
    return None, f"no {file.relative_to(data_dir)} in --data; `{command}`"

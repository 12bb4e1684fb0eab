"""The sets that runs are scored on: their own test set, or a split of another corpus."""

import argparse
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from data_prep.files.documents import load_yaml
from data_prep.manifest.corpus_card import write_card
from data_prep.manifest.votes import format_votes, parse_votes, rename_votes
from data_prep.schema import CORPUS_FILE, TEST, read_corpus
from emo_fairseq.errors import UsageError
from emo_fairseq.experiments.results import corpus_name
from emo_fairseq.targets import TARGETS

LabelMap = Mapping[str, str | None]  # None: left out
NO_LABEL = "no label"
_LabelTable = Annotated[dict[str, str | None], Field(min_length=1)]
_VOTES = "votes"  # column of a manifest


@dataclass(frozen=True)
class ScoringSet:
    """The set that runs are scored on.

    Attributes:
        split: of the data dir.
        name: in the name of the predictions file; empty for a run's own test set.
        data: another data dir than the one that the run was trained on; None = the run's own.
        data_raw: the folder that its audio paths start from; None = `data`.
        label_map: from its labels to the model's; None = they are the same.
        relabeled: data dirs with the labels of models, where there is a label map.
    """

    split: str = TEST
    name: str = ""
    data: Path | None = None
    data_raw: Path | None = None
    label_map: LabelMap | None = None
    relabeled: "RelabeledData | None" = field(default=None, compare=False)

    @property
    def identity(self) -> dict[str, Any]:
        """What identifies the set in the facts beside predictions, with a digest of its rows."""
        return {
            "split": self.split,
            "data": None if self.data is None else str(self.data.resolve()),
            "labels": None if self.label_map is None else dict(self.label_map),
        }


def scoring_set_of(args: argparse.Namespace, folder: Path) -> ScoringSet:
    """Return the set that a command line names; relabeled manifests are written to `folder`."""
    if args.data is None:
        if args.label_map or args.data_raw:
            raise UsageError(
                "--label-map and --data-raw belong to --data, another corpus; leave them out",
                "option-without-data",
            )
        return ScoringSet(args.split, args.name or ("" if args.split == TEST else args.split))
    other = set_of_corpus("--data", args.data, args.split, args.name)
    labels = relabeled = None
    if args.label_map is not None:
        labels = read_label_map(args.label_map)
        relabeled = RelabeledData(args.data, args.split, labels, folder)
    return replace(other, data_raw=args.data_raw, label_map=labels, relabeled=relabeled)


def set_of_corpus(
    option: str, data: Path, split: str = TEST, name: str | None = None
) -> ScoringSet:
    """Return a split of another corpus, named after it, and after the split unless that is test.

    Raises:
        UsageError: there is no such folder.
    """
    if not data.is_dir():
        raise UsageError(
            f"{option} {data}: there is no such folder; check the path", "data-dir-missing"
        )
    default = corpus_name(data) + ("" if split == TEST else f"-{split}")
    return ScoringSet(split, re.sub(r"[^\w-]+", "-", name or default), data)


def sets_of_corpora(option: str, data: Sequence[Path]) -> list[ScoringSet]:
    """Return the test split of each of several corpora.

    Raises:
        UsageError: there is no such folder, or two have the same name, under which the predictions
            of one would replace those of the other.
    """
    sets: dict[str, ScoringSet] = {}
    for folder in data:
        other = set_of_corpus(option, folder)
        if (first := sets.setdefault(other.name, other)) is not other:
            raise UsageError(
                f"{option} {folder}: is of {other.name}, as {first.data} is, and both would be "
                f"written to predictions.{other.name}.tsv; score one of them by "
                "`python -m emo_fairseq.experiments.score RUNS --data DATA --name NAME`, or rename "
                "it in corpus.yaml",
                "corpus-name-twice",
            )
    return list(sets.values())


def read_label_map(file: Path) -> LabelMap:
    """Read a YAML table from the corpus's labels to the model's.

    Raises:
        ManifestError: there is no such file, or it is no such table.
    """
    return load_yaml(file, _LabelTable, remedy="write lines such as `joy: happy`")


class Relabeled(NamedTuple):
    """A data dir whose labels are the model's.

    Attributes:
        path: the data dir.
        left_out: how many rows there are of each label that the model does not have.
    """

    path: Path
    left_out: Mapping[str, int]


class RelabeledData:
    """Copies of a data dir, with one split, whose labels are those of models.

    Each is written once, so that the caches in it serve all runs whose models have these labels.

    Args:
        data: the corpus.
        split: the split that is scored.
        labels: from the corpus's labels to the model's.
        folder: where the copies are written.
    """

    def __init__(self, data: Path, split: str, labels: LabelMap, folder: Path) -> None:
        self._data, self._split, self._labels = data.resolve(), split, labels
        self._folder = folder
        self._copies: dict[tuple[str, ...], Relabeled] = {}

    def get(self, target: str, model_labels: Sequence[str]) -> Relabeled:
        """Return the copy for models with these labels; labels without a counterpart are empty.

        Args:
            target: the value of ``--target``.
            model_labels: of the model, in order.

        Raises:
            UsageError: the target has no labels, the map names a label that the model lacks, or
                the data dir has no such split.
        """
        if not TARGETS[target].has_labels:
            raise UsageError(
                f"--label-map: the target {target} has no labels; leave it out",
                "label-map-without-labels",
            )
        names = {name for name in self._labels.values() if name}
        if unknown := sorted(names - set(model_labels)):
            raise UsageError(
                f"--label-map: {', '.join(unknown)} is no label of the model; it has "
                f"{', '.join(model_labels)}",
                "label-unknown",
            )
        key = (target, *model_labels)
        if key not in self._copies:
            path = self._folder / str(len(self._copies))
            column = TARGETS[target].label_column
            assert column is not None
            self._copies[key] = Relabeled(path, self._write(path, column, model_labels))
        return self._copies[key]

    def _write(self, path: Path, column: str, model_labels: Sequence[str]) -> Mapping[str, int]:
        manifest = self._data / f"{self._split}.tsv"
        if not manifest.is_file():
            splits = ", ".join(sorted(file.stem for file in self._data.glob("*.tsv"))) or "none"
            raise UsageError(
                f"{manifest}: there is no split {self._split!r}; the folder has {splits}",
                "split-missing",
            )
        path.mkdir()
        for file in self._data.iterdir():
            if file.suffix != ".tsv" and file.name != CORPUS_FILE:
                (path / file.name).symlink_to(file)
        corpus = read_corpus(self._data)
        corpus.labels = {**corpus.labels, column: tuple(model_labels)}
        write_card(path, corpus)
        text, left_out = _relabel(manifest.read_text(encoding="utf-8"), column, self._labels)
        (path / manifest.name).write_text(text, encoding="utf-8")
        return left_out


def _relabel(manifest: str, column: str, labels: LabelMap) -> tuple[str, Counter[str]]:
    """Replace the labels of one column; return how often each label became empty, too.

    Votes for emotions are those for their counterparts; others count as votes for no label.
    """
    header, *lines = manifest.split("\n")
    columns = header.split("\t")
    index = columns.index(column)
    voted = columns.index(_VOTES) if column == "emotion" and _VOTES in columns else None
    left_out: Counter[str] = Counter()
    for number, line in enumerate(lines):
        cells = line.split("\t")
        if len(cells) > index:
            label = cells[index]
            cells[index] = labels.get(label) or ""
            left_out[label or NO_LABEL] += not cells[index]
            if voted is not None and cells[voted]:
                votes = parse_votes(cells[voted])
                names = {name: labels.get(name) or "" for name in votes}
                cells[voted] = format_votes(rename_votes(votes, names)) or ""
            lines[number] = "\t".join(cells)
    return "\n".join([header, *lines]), +left_out

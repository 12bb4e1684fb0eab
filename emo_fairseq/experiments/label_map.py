"""Labels of one corpus in the words of a model that was trained on another."""

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field

from data_prep.errors import ManifestError
from data_prep.files.documents import load_yaml
from data_prep.manifest.corpus_card import write_card
from data_prep.schema import (
    CORPUS_FILE,
    read_corpus,
)
from emo_fairseq.errors import UsageError
from emo_fairseq.types import TARGETS

LabelMap = Mapping[str, str | None]  # None: left out
NO_LABEL = "no label"
_Table = Annotated[dict[str, str | None], Field(min_length=1)]


class Mapped(NamedTuple):
    """A data dir whose labels are the model's, and the rows by label that have none there."""

    path: Path
    left_out: Mapping[str, int]


def read_label_map(file: Path) -> LabelMap:
    """Read a YAML table from the corpus's labels to the model's.

    Raises:
        UsageError: there is no such file, or it is no such table.
    """
    try:
        return load_yaml(file, _Table, remedy="write lines such as `joy: happy`")
    except ManifestError as error:
        raise UsageError(str(error)) from error


class MappedFolders:
    """Data dirs with exchanged labels, which lie in a temporary folder until this is closed.

    Each is made once, so that whatever is cached in it serves all runs that know the same labels.
    """

    def __init__(self) -> None:
        self._root: tempfile.TemporaryDirectory[str] | None = None
        self._made: dict[tuple[str, ...], Mapped] = {}

    def folder(
        self, data: Path, split: str, target: str, labels: LabelMap, known: Sequence[str]
    ) -> Mapped:
        """A data dir like `data`, with one split, whose rows of labels without a name are empty.

        Args:
            data: the corpus.
            split: the one that is scored.
            target: the value of ``--target``.
            labels: from the corpus's labels to the model's.
            known: the model's, in order.

        Raises:
            UsageError: the target has no labels, or the map names one that the model lacks.
        """
        if not TARGETS[target].has_labels:
            raise UsageError(f"--label-map: the target {target} has no labels; leave it out")
        if unknown := sorted({name for name in labels.values() if name} - set(known)):
            raise UsageError(
                f"--label-map: {', '.join(unknown)} is no label of the model, which knows "
                f"{', '.join(known)}"
            )
        key = (str(data.resolve()), split, target, *known)
        if key not in self._made:
            path = self._new_path()
            (column,) = TARGETS[target].columns
            left_out = _write(data.resolve(), path, split, column, labels, known)
            self._made[key] = Mapped(path, left_out)
        return self._made[key]

    def _new_path(self) -> Path:
        if self._root is None:
            self._root = tempfile.TemporaryDirectory(prefix="emo_fairseq_labels_")
        return Path(self._root.name) / str(len(self._made))

    def close(self) -> None:
        """Remove them."""
        if self._root is not None:
            self._root.cleanup()


def _write(
    data: Path, path: Path, split: str, column: str, labels: LabelMap, known: Sequence[str]
) -> Counter[str]:
    manifest = data / f"{split}.tsv"
    if not manifest.is_file():
        there = ", ".join(sorted(file.stem for file in data.glob("*.tsv"))) or "none"
        raise UsageError(f"{manifest}: there is no split {split!r}; the folder has {there}")
    path.mkdir()
    for file in data.iterdir():
        if file.suffix != ".tsv" and file.name != CORPUS_FILE:
            (path / file.name).symlink_to(file)
    corpus = read_corpus(data)
    corpus.labels = {**corpus.labels, column: tuple(known)}
    write_card(path, corpus)
    rows, left_out = _exchanged(manifest.read_text(encoding="utf-8"), column, labels)
    (path / manifest.name).write_text(rows, encoding="utf-8")
    return left_out


def _exchanged(text: str, column: str, labels: LabelMap) -> tuple[str, Counter[str]]:
    """A manifest with other labels in one column, and which labels became empty how often."""
    header, *lines = text.split("\n")
    place = header.split("\t").index(column)
    left_out: Counter[str] = Counter()
    for number, line in enumerate(lines):
        cells = line.split("\t")
        if len(cells) > place:
            label = cells[place]
            cells[place] = labels.get(label) or ""
            left_out[label or NO_LABEL] += not cells[place]
            lines[number] = "\t".join(cells)
    return "\n".join([header, *lines]), +left_out

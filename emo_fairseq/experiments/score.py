"""Score runs by their chosen checkpoints, on their own test set or on another corpus.

    python -m emo_fairseq.experiments.score RUNS…
    python -m emo_fairseq.experiments.score RUNS… --data data/meld --label-map meld_to_iemocap.yaml

writes predictions.tsv, or predictions.NAME.tsv, in each run's folder, and beside it as JSON what it
was made from. Files that are up to date are left alone. The label map is a YAML table from the
corpus's labels to the model's; rows of a label that it does not name, or names null, are left out
and counted.
"""

import argparse
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from data_prep.commands.number_types import positive_int
from data_prep.errors import ManifestError
from data_prep.files.documents import load_yaml
from data_prep.manifest.corpus_card import write_card
from data_prep.schema import CORPUS_FILE, read_corpus
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.predictions import (
    facts_path,
    read_facts,
)
from emo_fairseq.experiments.jobs import (
    Command,
    Outcome,
    Steps,
    failure,
    run_all,
)
from emo_fairseq.experiments.options import (
    TEST,
    Checkpoint,
    Options,
    choosing_set,
    chosen_by,
    read_checkpoint,
    refuse_test_selection,
)
from emo_fairseq.experiments.runs import (
    TRAINING,
    RunFolder,
    corpus_name,
    find_runs,
    sole_use,
    write_json,
)
from emo_fairseq.types import TARGETS

# --- Labels of one corpus in the words of a model that was trained on another ---------------------

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


# --- Scoring runs on a set, by fairseq-validate: which are to be scored, and with which command ---

_PLUGIN = Path(__file__).parents[1]  # emo_fairseq


@dataclass(frozen=True)
class ScoringSet:
    """What runs are scored on.

    Attributes:
        split: of the data dir.
        name: in the name of the predictions file; empty for a run's own test set.
        data: another data dir than the one that the run was trained on.
        data_raw: where its audio paths start from.
        labels: from its labels to the model's.
        mapped: keeps the data dirs whose labels have been exchanged.
    """

    split: str = TEST
    name: str = ""
    data: Path | None = None
    data_raw: Path | None = None
    labels: LabelMap | None = None
    mapped: MappedFolders = field(default_factory=MappedFolders)


def score_steps(run: RunFolder, test_set: ScoringSet) -> Steps:
    """Score a run unless its predictions are up to date.

    Raises:
        UsageError: there is nothing to score, or the test set chose the checkpoint.
    """
    with sole_use(run.path) as held:
        return (yield from score(run, test_set, held))


def score(run: RunFolder, test_set: ScoringSet, held: int) -> Generator[Command, int, Outcome]:
    """The same in a folder that is locked already."""
    file = run.predictions(test_set.name)
    if run.state() == TRAINING:
        raise UsageError(f"{run.path}: its training has not ended; run its sweep again")
    wanted = _wanted(test_set)
    if file.is_file() and not run.best.is_file() and not run.last.is_file():
        before = (read_facts(file).get("set") or wanted).get("split")
        if before != test_set.split:
            raise UsageError(
                f"{file}: is of {before}, not of {test_set.split}, and the run's checkpoints are "
                "gone; train it again"
            )
        return Outcome(True, "scored before, its checkpoints are gone")
    path = _chosen(run)
    checkpoint = read_checkpoint(path)
    refuse_test_selection(checkpoint.options)
    if test_set.data and test_set.data.resolve() == checkpoint.options.data.resolve():
        return Outcome(True, "left out: it was trained on this data dir")
    is_new = file.is_file() and file.stat().st_mtime >= path.stat().st_mtime
    if is_new and read_facts(file).get("set") == wanted:
        return Outcome(True, "scored before")
    began = time.monotonic()
    place, left_out = _place(checkpoint, test_set)
    words = [*_words(checkpoint.options, path, test_set.split), *place]
    command = Command([*words, "--save-predictions", str(file)], run.log, held)
    code = yield command
    if code:
        return failure(command, code)
    write_json(facts_path(file), _facts(checkpoint, path, test_set, wanted, left_out))
    return Outcome(
        True, f"scored on {test_set.name or test_set.split} in {time.monotonic() - began:.0f} s"
    )


def _chosen(run: RunFolder) -> Path:
    if run.best.is_file():
        return run.best
    if run.last.is_file() and choosing_set(read_checkpoint(run.last).options) is None:
        return run.last
    raise UsageError(f"{run.path}: no set has chosen a checkpoint, there is no {run.best.name}")


def _words(options: Options, path: Path, split: str) -> list[str]:
    """The checkpoint holds the options of the task; these are of scoring."""
    words = ["fairseq-validate", "--user-dir", str(_PLUGIN), "--path", str(path)]
    words += ["--task", str(options.get("task._name")), "--valid-subset", split]
    for name in ("batch_size", "max_tokens", "num_workers"):
        if (value := options.get(f"dataset.{name}")) is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return [*words, "--cpu"] if options.get("common.cpu") else words


def _place(checkpoint: Checkpoint, test_set: ScoringSet) -> tuple[Sequence[str], Mapping[str, int]]:
    """Options that name another data dir, and the rows of it that have no label of the model."""
    if test_set.data is None:
        return (), {}
    folder, left_out = test_set.data, {}
    if test_set.labels is not None:
        target = str(checkpoint.options.get("task.target", "emotion"))
        found = test_set.mapped.folder(
            test_set.data, test_set.split, target, test_set.labels, checkpoint.labels
        )
        folder, left_out = found.path, dict(found.left_out)
    raw = str((test_set.data_raw or test_set.data).resolve())
    # The folds of the corpus that was trained on are not those of another.
    words = ["--data", str(folder), "--data-raw", raw, "--model-overrides", '{"fold": None}']
    return words, left_out


def _wanted(test_set: ScoringSet) -> dict[str, Any]:
    """What decides whether predictions are of this set."""
    return {
        "split": test_set.split,
        "data": None if test_set.data is None else str(test_set.data.resolve()),
        "labels": None if test_set.labels is None else dict(test_set.labels),
    }


def _facts(
    checkpoint: Checkpoint,
    path: Path,
    test_set: ScoringSet,
    wanted: Mapping[str, Any],
    left_out: Mapping[str, int],
) -> dict[str, Any]:
    options = checkpoint.options
    return {
        "set": dict(wanted),
        "corpus": corpus_name(test_set.data or options.data),
        "trained_on": checkpoint.corpus or corpus_name(options.data),
        "checkpoint": path.name,
        "updates": checkpoint.updates,
        "chosen_by": chosen_by(options),
        "left_out": dict(left_out),
        "options": dict(options.values),
    }


# --- The command line -----------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; the exit code is 1 if a run cannot be scored."""
    args = make_parser().parse_args(arguments)
    test_set = _test_set(args)
    runs = find_runs(args.runs)
    try:
        work = {str(run.path): score_steps(run, test_set) for run in runs}
        outcomes = run_all(work, args.jobs, _tell)
    finally:
        test_set.mapped.close()
    return 0 if all(outcome.ok for outcome in outcomes.values()) else 1


def make_parser() -> argparse.ArgumentParser:
    """The command line's options."""
    parser = argparse.ArgumentParser(
        prog="python -m emo_fairseq.experiments.score",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("runs", type=Path, nargs="+", metavar="RUNS", help="runs, or folders of runs")
    add("--data", type=Path, help="another data dir (default: each run's own)")
    add("--data-raw", type=Path, help="folder that its audio paths start from (default: --data)")
    add("--split", default=TEST, help="of the data dir (default: %(default)s)")
    add("--name", help="in the file's name (default: the corpus, and the split unless test)")
    add("--label-map", type=Path, help="YAML: the corpus's label: the model's label")
    add("--jobs", type=positive_int, default=1, help="processes at a time (default: 1)")
    return parser


def _test_set(args: argparse.Namespace) -> ScoringSet:
    if args.data is None:
        if args.label_map or args.data_raw:
            raise UsageError("--label-map and --data-raw belong to --data, another corpus")
        return ScoringSet(args.split, args.name or ("" if args.split == TEST else args.split))
    if not args.data.is_dir():
        raise UsageError(f"--data {args.data}: there is no such folder")
    default = corpus_name(args.data) + ("" if args.split == TEST else f"-{args.split}")
    name = re.sub(r"[^\w-]+", "-", args.name or default)
    labels = None if args.label_map is None else read_label_map(args.label_map)
    return ScoringSet(args.split, name, args.data, args.data_raw, labels)


def _tell(name: str, outcome: Outcome) -> None:
    sys.stdout.write(f"{name}: {outcome.message}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())

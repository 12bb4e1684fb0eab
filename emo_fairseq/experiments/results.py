"""The results of runs: predictions of finished ones, and why others are in no table."""

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from data_prep.folds.file import fold_names, folds_path
from data_prep.manifest.provenance import allowed_leaks, transductive_notes
from data_prep.schema import CORPUS_FILE, TEST, read_corpus, read_manifest
from emo_fairseq.evaluation.predictions import read_facts
from emo_fairseq.evaluation.statistics import Predictions, read_predictions
from emo_fairseq.experiments.checkpoints import read_checkpoint
from emo_fairseq.experiments.options import Options
from emo_fairseq.experiments.runs import TRAINING, RunFolder
from emo_fairseq.experiments.selection import selected_by, selection_set

# With any of these a training may end before --max-update.
_ENDS_EARLY = ("checkpoint.patience", "optimization.stop_time_hours", "optimization.stop_min_lr")


@dataclass(frozen=True)
class Result:
    """A run's predictions of one set.

    Attributes:
        run: its folder.
        options: of its training.
        predictions: without probabilities.
        trained_on: name of the corpus.
        tested_on: name of the corpus.
        split: of the corpus that it is tested on.
        data: the data dir of that corpus.
        left_out: how many rows there are of each label that the model does not have.
        leaks: what ``--allow-leak`` accepted, a sentence each.
        transductive: how predictions depend on other rows of the split, a sentence each.
    """

    run: RunFolder
    options: Options
    predictions: Predictions
    trained_on: str
    tested_on: str
    split: str
    data: Path
    left_out: Mapping[str, int]
    leaks: Sequence[str] = ()
    transductive: Sequence[str] = ()

    @property
    def seed_and_fold(self) -> tuple[int, str]:
        """The key of the run within its system."""
        return self.options.seed, self.options.fold

    @property
    def selected_by(self) -> str:
        """The set and the metric that selected the checkpoint."""
        return selected_by(self.options)

    @property
    def is_cross_corpus(self) -> bool:
        """Whether it is tested on another corpus, so that all folds have the same rows."""
        return self.data != self.options.data


class Unfinished(NamedTuple):
    """A run that is in no table.

    Attributes:
        run: its folder.
        reason: why it is in no table.
        options: of its training; None where they are not recorded.
    """

    run: RunFolder
    reason: str
    options: Options | None


def read_results(runs: Sequence[RunFolder]) -> tuple[list[Result], list[Unfinished]]:
    """Return all predictions of finished runs, and the other runs, both in the order of tables.

    Runs of a sweep are in the order of its command line, so that a table of them begins with the
    same system whichever command prints it; other runs follow, by folder.

    Raises:
        UsageError: a predictions file is damaged.
    """
    results, unfinished = [], []
    shared: dict[tuple[str, ...], tuple[str, ...]] = {}  # equal ids are kept in memory once
    for run in sorted(runs, key=_place_in_tables):
        options = _options(run)
        if reason := _why_unfinished(run, options):
            unfinished.append(Unfinished(run, reason, options))
            continue
        for result in _results(run, options or Options({})):
            ids = shared.setdefault(result.predictions.ids, result.predictions.ids)
            results.append(replace(result, predictions=replace(result.predictions, ids=ids)))
    return results, unfinished


def _place_in_tables(run: RunFolder) -> tuple[Path, float, Path]:
    position = run.position()
    return run.path.parent, math.inf if position is None else position, run.path


def _options(run: RunFolder) -> Options | None:
    """Those recorded beside its predictions, else in its checkpoint, else as Hydra composed."""
    for file in run.predictions_files():
        if recorded := read_facts(file).get("options"):
            return Options(recorded)
    for file in (run.best, run.last):
        if file.is_file():
            return read_checkpoint(file).options
    config = run.hydra_config()
    return None if config is None else Options.of(config)


def _why_unfinished(run: RunFolder, options: Options | None) -> str:
    files = run.predictions_files()
    if options is None:
        return "no checkpoint and no .hydra/config.yaml has the options of its training"
    if run.state() == TRAINING:
        return "its training has not ended"
    if selection_set(options) == TEST:
        return "its checkpoint was chosen on the test set"
    if run.state() is None and (stopped := _why_stopped(run, options)):
        return stopped
    if not files:
        return "not scored" if run.best.is_file() else "no set has chosen a checkpoint"
    selected = run.last if selection_set(options) is None and not run.best.is_file() else run.best
    if selected.is_file() and any(_modified(file) < _modified(selected) for file in files):
        return "its predictions are older than its checkpoint; score it again"
    return ""


def _modified(file: Path) -> float:
    return file.stat().st_mtime


def _why_stopped(run: RunFolder, options: Options) -> str:
    """Whether a training without a sweep's run.json stopped before its last update."""
    max_update = int(options.get("optimization.max_update", 0))
    if not (max_update and run.last.is_file()):
        return ""
    if any(float(options.get(name, -1)) > 0 for name in _ENDS_EARLY):
        return ""
    if options.get("task.probe"):  # which is solved without an update
        return ""
    updates = read_checkpoint(run.last).updates
    if updates >= max_update:
        return ""
    return f"its training stopped after {updates} of {max_update} updates"


def _results(run: RunFolder, options: Options) -> Iterator[Result]:
    for file in run.predictions_files():
        facts = read_facts(file)
        other = facts.get("set", {}).get("data")
        name = file.stem.partition(".")[2]
        trained_on = facts.get("trained_on") or corpus_name(options.data)
        is_cross_corpus = bool(other or (name and not facts))
        for split, predictions in read_predictions(file).items():
            yield Result(
                run=run,
                options=options,
                predictions=predictions.compact(),
                trained_on=trained_on,
                tested_on=facts.get("corpus") or (name if is_cross_corpus else trained_on),
                split=split,
                data=Path(other or (name if is_cross_corpus else options.data)),
                left_out=facts.get("left_out", {}),
                leaks=allowed_leaks(file),
                transductive=transductive_notes(file),
            )


def corpus_name(data: Path) -> str:
    """Return the name in corpus.yaml; the folder's name where there is none."""
    return read_corpus(data).name if (data / CORPUS_FILE).is_file() else data.name


@functools.cache
def speakers_of(data: Path, split: str) -> Mapping[str, str | None]:
    """Return the speaker of each utterance of a data dir; empty where it has no manifests.

    An id that several splits have is of `split`, if that has it.
    """
    speakers: dict[str, str | None] = {}
    if (data / CORPUS_FILE).is_file():
        for file in sorted(data.glob("*.tsv"), key=lambda file: (file.stem == split, file)):
            speakers |= {row.id: row.speaker for row in read_manifest(file)}
    return speakers


def folds_of(data: Path, protocol: str) -> list[str]:
    """Return the folds of a protocol; none where its file does not exist."""
    file = folds_path(data, protocol)
    if not (protocol and file.is_file()):
        return []
    return fold_names(file)

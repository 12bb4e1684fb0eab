"""What finished runs said, and which runs are not finished and why."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from data_prep.errors import ManifestError
from data_prep.folds.file import (
    fold_names,
    folds_path,
)
from data_prep.manifest.provenance import allowed_leaks
from data_prep.schema import (
    CORPUS_FILE,
    read_manifest,
)
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.predictions import read_facts
from emo_fairseq.experiments.answers import (
    Answers,
    Key,
    read_answers,
)
from emo_fairseq.experiments.options import (
    Options,
    read_checkpoint,
)
from emo_fairseq.experiments.run_folder import (
    TRAINING,
    RunFolder,
)
from emo_fairseq.experiments.scoring import corpus_name
from emo_fairseq.experiments.selection import (
    TEST,
    choosing_set,
    chosen_by,
)

# With any of these a training may end before --max-update.
_ENDS_EARLY = ("checkpoint.patience", "optimization.stop_time_hours", "optimization.stop_min_lr")


@dataclass(frozen=True)
class Result:
    """A run's predictions of one set.

    Attributes:
        run: its folder.
        options: what it was trained with.
        answers: the predictions.
        trained_on: name of the corpus.
        tested_on: name of the corpus.
        split: of that corpus.
        data: the data dir that the predictions are of.
        left_out: rows by label that the model has no word for.
        leaks: that ``--allow-leak`` let pass, a sentence each.
    """

    run: RunFolder
    options: Options
    answers: Answers
    trained_on: str
    tested_on: str
    split: str
    data: Path
    left_out: Mapping[str, int]
    leaks: Sequence[str] = ()

    @property
    def place(self) -> tuple[int, str]:
        """Seed and fold."""
        return self.options.seed, self.options.fold

    @property
    def chosen_by(self) -> str:
        """The set and the metric that chose the checkpoint."""
        return chosen_by(self.options)


class Unfinished(NamedTuple):
    """A run that is in no table."""

    run: RunFolder
    why: str
    options: Options | None


def read_results(runs: Sequence[RunFolder]) -> tuple[list[Result], list[Unfinished]]:
    """All predictions of finished runs, and the other runs.

    Raises:
        UsageError: a predictions file that is none.
    """
    results, unfinished = [], []
    shared: dict[tuple[Key, ...], tuple[Key, ...]] = {}  # the same rows are kept once
    for run in runs:
        options = _options(run)
        if why := _why_unfinished(run, options):
            unfinished.append(Unfinished(run, why, options))
            continue
        for result in _results(run, options or Options({})):
            keys = shared.setdefault(result.answers.keys, result.answers.keys)
            results.append(replace(result, answers=replace(result.answers, keys=keys)))
    return results, unfinished


def _options(run: RunFolder) -> Options | None:
    """As its predictions were made with, else its checkpoint's, else as Hydra composed them."""
    for file in run.predictions_there():
        if kept := read_facts(file).get("options"):
            return Options(kept)
    for file in (run.best, run.last):
        if file.is_file():
            return read_checkpoint(file).options
    composed = run.composed()
    return None if composed is None else Options.of(composed)


def _why_unfinished(run: RunFolder, options: Options | None) -> str:
    files = run.predictions_there()
    if options is None:
        return "no checkpoint and no .hydra/config.yaml say how it was trained"
    if run.state() == TRAINING:
        return "its training has not ended"
    if choosing_set(options) == TEST:
        return "its checkpoint was chosen on the test set"
    if run.state() is None and (stopped := _stopped(run, options)):
        return stopped
    if not files:
        return "not scored" if run.best.is_file() else "no set has chosen a checkpoint"
    if run.best.is_file() and any(_age(file) < _age(run.best) for file in files):
        return "its predictions are older than its checkpoint; score it again"
    return ""


def _age(file: Path) -> float:
    return file.stat().st_mtime


def _stopped(run: RunFolder, options: Options) -> str:
    """Of a training that no sweep has watched: whether it stopped before its last update."""
    wanted = int(options.get("optimization.max_update", 0))
    if not (wanted and run.last.is_file()):
        return ""
    if any(float(options.get(name, -1)) > 0 for name in _ENDS_EARLY):
        return ""
    done = read_checkpoint(run.last).updates
    return f"its training stopped after {done} of {wanted} updates" if done < wanted else ""


def _results(run: RunFolder, options: Options) -> Iterator[Result]:
    for file in run.predictions_there():
        facts = read_facts(file)
        other = facts.get("set", {}).get("data")
        name = file.stem.partition(".")[2]
        trained_on = facts.get("trained_on") or corpus_name(options.data)
        is_elsewhere = bool(other or (name and not facts))
        fold = "" if is_elsewhere else options.fold
        for split, answers in read_answers(file, fold).items():
            yield Result(
                run,
                options,
                answers,
                trained_on,
                facts.get("corpus") or (name if is_elsewhere else trained_on),
                split,
                Path(other) if other else (Path(name) if is_elsewhere else options.data),
                facts.get("left_out", {}),
                allowed_leaks(file),
            )


@functools.cache
def speakers(data: Path) -> Mapping[str, str | None]:
    """The speaker of each utterance of a data dir; empty where it is gone, or has no manifests."""
    found: dict[str, str | None] = {}
    if (data / CORPUS_FILE).is_file():
        for file in sorted(data.glob("*.tsv")):
            try:
                found |= {row.id: row.speaker for row in read_manifest(file)}
            except ManifestError as error:
                raise UsageError(str(error)) from error
    return found


def folds_there(data: Path, protocol: str) -> list[str]:
    """The folds that a protocol has; none where its file is gone."""
    file = folds_path(data, protocol)
    if not (protocol and file.is_file()):
        return []
    return fold_names(file)

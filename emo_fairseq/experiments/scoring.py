"""Score selected checkpoints by `fairseq-validate`, on their own test set or on other corpora."""

import argparse
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_prep.errors import CodedError
from data_prep.manifest.audio_root import audio_root, has_videos, video_root
from emo_fairseq.data.fold import manifests_digest
from emo_fairseq.data.input_digests import changed_inputs
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.predictions import facts_path, read_facts
from emo_fairseq.experiments.checkpoints import Checkpoint, read_checkpoint
from emo_fairseq.experiments.jobs import Command, Errors, Outcome, Steps, failure, run_all
from emo_fairseq.experiments.names import FOLD
from emo_fairseq.experiments.options import Options
from emo_fairseq.experiments.read_inputs import read_inputs
from emo_fairseq.experiments.results import corpus_name
from emo_fairseq.experiments.runs import TRAINING, RunFolder, find_runs, write_json
from emo_fairseq.experiments.scoring_sets import ScoringSet, scoring_set_of
from emo_fairseq.experiments.selection import refuse_test_selection, selected_by, selection_set

_OF_TRAINING = '{"fold": None, "packed_audio_dir": None}'
_PLUGIN = Path(__file__).parents[1]  # emo_fairseq


def score_runs(args: argparse.Namespace) -> int:
    """Score the runs of a command line; return 1 if one of them cannot be scored."""
    runs = find_runs(args.runs)
    with tempfile.TemporaryDirectory(prefix="emo_fairseq_labels_") as folder:
        test_set = scoring_set_of(args, Path(folder))
        work = {str(run.path): score_steps(run, test_set) for run in runs}
        errors = Errors(len(work))

        def report(name: str, outcome: Outcome) -> None:
            sys.stdout.write(f"{name}: {errors.show(name, outcome)}\n")
            sys.stdout.flush()

        outcomes = run_all(work, args.jobs, report)
    sys.stdout.write("".join(f"{line}\n" for line in errors.counts()))
    return 0 if all(outcome.ok for outcome in outcomes.values()) else 1


def score_steps(run: RunFolder, test_set: ScoringSet) -> Steps:
    """Lock the folder of a run and score it, unless its predictions are up to date.

    Raises:
        UsageError: there is no checkpoint to score, or the test set selected it.
    """
    with run.locked() as lock:
        return (yield from score(run, test_set, lock))


def score(run: RunFolder, test_set: ScoringSet, lock: int) -> Generator[Command, int, Outcome]:
    """Score a run whose folder is locked; see :func:`score_steps`."""
    file = run.predictions_file(test_set.name)
    if run.state() == TRAINING:
        raise UsageError(
            f"{run.path}: its training has not ended; run its sweep again", "run-unfinished"
        )
    if file.is_file() and not run.best.is_file() and not run.last.is_file():
        split = (read_facts(file).get("set") or test_set.identity).get("split")
        if split != test_set.split:
            raise UsageError(
                f"{file}: is of {split}, not of {test_set.split}, and the run's checkpoints are "
                "gone; train it again",
                "checkpoint-missing",
            )
        return Outcome(True, "scored before, its checkpoints are gone")
    path = _selected_checkpoint(run)
    checkpoint = read_checkpoint(path)
    refuse_test_selection(checkpoint.options)
    if test_set.data and test_set.data.resolve() == checkpoint.options.data.resolve():
        return Outcome(True, "left out: it was trained on this data dir")
    rows = _rows_digest(checkpoint.options, test_set)
    inputs = _inputs_digests(checkpoint.options, test_set)
    is_new = file.is_file() and file.stat().st_mtime >= path.stat().st_mtime
    before = dict(read_facts(file).get("set") or {}) if is_new else {}
    inputs_before = before.pop("inputs", {})  # older versions have none
    is_same = before == {**test_set.identity, "rows": rows or before.get("rows")}
    if is_same and not changed_inputs(inputs_before, inputs):
        return Outcome(True, "scored before")
    scored = {**test_set.identity, "rows": rows, "inputs": inputs}
    began = time.monotonic()
    data_options, left_out = _data_options(checkpoint, test_set)
    words = [*_validate_words(checkpoint.options, path, test_set.split), *data_options]
    command = Command([*words, "--save-predictions", str(file)], run.log, lock)
    code = yield command
    if code:
        return failure(command, code)
    write_json(facts_path(file), {**_facts(checkpoint, path, test_set, left_out), "set": scored})
    return Outcome(
        True, f"scored on {test_set.name or test_set.split} in {time.monotonic() - began:.0f} s"
    )


def _rows_digest(options: Options, test_set: ScoringSet) -> str | None:
    """Return a digest of the manifests that a set is read from; None where they are gone."""
    fold = options.get(FOLD) if test_set.data is None else None
    try:
        return manifests_digest(test_set.data or options.data, [test_set.split], fold)
    except CodedError:
        return None


def _inputs_digests(options: Options, test_set: ScoringSet) -> dict[str, str]:
    """Return digests of what else a set is read from; empty where it is gone."""
    data = test_set.data or options.data
    try:
        return read_inputs(options, data, [test_set.split], test_set.data_raw).digests()
    except CodedError:
        return {}


def _selected_checkpoint(run: RunFolder) -> Path:
    if run.best.is_file():
        return run.best
    if run.last.is_file() and selection_set(read_checkpoint(run.last).options) is None:
        return run.last
    raise UsageError(
        f"{run.path}: no set has chosen a checkpoint, there is no {run.best.name}; train it again",
        "checkpoint-missing",
    )


def _validate_words(options: Options, path: Path, split: str) -> list[str]:
    """The command; the options of the task are in the checkpoint."""
    words = ["fairseq-validate", "--user-dir", str(_PLUGIN), "--path", str(path)]
    words += ["--task", str(options.get("task._name")), "--valid-subset", split]
    for name in ("batch_size", "max_tokens", "num_workers"):
        if (value := options.get(f"dataset.{name}")) is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return [*words, "--cpu"] if options.get("common.cpu") else words


def _data_options(
    checkpoint: Checkpoint, test_set: ScoringSet
) -> tuple[Sequence[str], Mapping[str, int]]:
    """Options that name another data dir, and its rows by label that the model does not have."""
    if test_set.data is None:
        return (), {}
    folder, left_out = test_set.data, {}
    if test_set.relabeled is not None:
        target = str(checkpoint.options.get("task.target", "emotion"))
        relabeled = test_set.relabeled.get(target, checkpoint.labels)
        folder, left_out = relabeled.path, dict(relabeled.left_out)
    raw = str(audio_root(test_set.data, test_set.data_raw, must_exist=False).resolve())
    # The folds and folders of the training corpus are not those of another.
    words = ["--data", str(folder), "--data-raw", raw, "--model-overrides", _OF_TRAINING]
    if has_videos(test_set.data):
        videos = video_root(test_set.data, None, test_set.data_raw, must_exist=False)
        words += ["--video-raw", str(videos.resolve())]
    return words, left_out


def _facts(
    checkpoint: Checkpoint, path: Path, test_set: ScoringSet, left_out: Mapping[str, int]
) -> dict[str, Any]:
    options = checkpoint.options
    return {
        "corpus": corpus_name(test_set.data or options.data),
        "trained_on": checkpoint.corpus or corpus_name(options.data),
        "checkpoint": path.name,
        "updates": checkpoint.updates,
        "chosen_by": selected_by(options),
        "left_out": dict(left_out),
        "options": dict(options.values),
    }

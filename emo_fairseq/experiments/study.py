"""A search as a study of Optuna: its storage, its trials and what is printed of them."""

import argparse
import csv
import hashlib
import io
import json
import logging
import math
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from data_prep.files.replacing import write_atomically
from data_prep.messages import INTERRUPTED, INTERRUPTED_CODE
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.tables import Table, format_number, print_table
from emo_fairseq.experiments.grid import PlannedRun, plan_runs
from emo_fairseq.experiments.jobs import interrupted_by_sigterm
from emo_fairseq.experiments.names import ALL_OF, FOLD
from emo_fairseq.experiments.options import Options
from emo_fairseq.experiments.search_space import Dimension, dimension, split_overrides
from emo_fairseq.experiments.selection import selected_by
from emo_fairseq.experiments.training import learned_inputs, learned_rows, refuse_data
from emo_fairseq.experiments.trial import Evaluation, RefusedError, StoppedError, evaluate

STORAGE, TRIALS = "study.db", "trials.csv"
_STUDY = "search"
_DESIGN = "design"  # attribute of the study: what every one of its trials has in common
_MESSAGE = "message"  # attribute of a trial that failed; one without it was interrupted
_SHOWN = 10
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
_STATES = {
    TrialState.COMPLETE: "trained",
    TrialState.PRUNED: "stopped early",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "interrupted",
    TrialState.WAITING: "waiting",
}


@dataclass(frozen=True)
class Search:
    """What all trials of a study share.

    Attributes:
        args: of the command line.
        fixed: overrides of all trials.
        space: the options that are searched.
        planned: trainings without the options that are searched, one or one a fold.
    """

    args: argparse.Namespace
    fixed: Sequence[str]
    space: Sequence[Dimension]
    planned: Sequence[PlannedRun]

    @property
    def base(self) -> Options:
        """The options of a training without those that are searched."""
        return self.planned[0].options

    @property
    def metric(self) -> str:
        """The metric that selects checkpoints, and trials."""
        return str(self.base.get("checkpoint.best_checkpoint_metric", "loss"))

    @property
    def is_maximized(self) -> bool:
        """Whether a larger value is better."""
        return bool(self.base.get("checkpoint.maximize_best_checkpoint_metric", False))

    def design(self) -> dict[str, object]:
        """Return what a study must have in common with the one that it continues.

        A value of a trial that was trained by another YAML file, or on other rows, is no larger or
        smaller than one of now.
        """
        options = [run.composed.of_training for run in self.planned]
        inputs = [learned_inputs(run.options) for run in self.planned]
        return {
            "config": self.args.config_name,
            "fixed": sorted(self.fixed),
            "space": [str(option) for option in self.space],
            "metric": self.metric,
            "maximized": self.is_maximized,
            "options in the YAML file": _digest(options),
            "rows of the train or valid set": _digest(
                [learned_rows(run.options) for run in self.planned]
            ),
            **{
                f"{name} of the train or valid set": _digest([run.get(name) for run in inputs])
                for name in inputs[0]
            },
        }

    def plan(self, words: Sequence[str]) -> list[PlannedRun]:
        """Return the runs of a trial: one, or one a fold."""
        return plan_runs(self.args.config_dir, self.args.config_name, [*self.fixed, *words])


def run_search(args: argparse.Namespace) -> int:
    """Run the trials of a command line, print them, and return 1 if none has a value.

    Raises:
        UsageError: overrides that cannot be searched, or a folder with the study of another search.
    """
    _quiet()
    search = _search(args)
    args.folder.mkdir(parents=True, exist_ok=True)
    study = _open(search)
    try:
        with interrupted_by_sigterm():
            _continue(search, study)
    except KeyboardInterrupt:
        sys.stderr.write(f"{INTERRUPTED}\n")
        return INTERRUPTED_CODE
    _show(search, study)
    return 0 if _with_value(study) else 1


def _quiet() -> None:
    """Leave out what Optuna logs of each trial, and its warnings of what may change in it."""
    optuna.logging.set_verbosity(logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def _search(args: argparse.Namespace) -> Search:
    fixed, searched = split_overrides(args.overrides)
    if args.folds:
        fixed = [*fixed, f"{FOLD}={ALL_OF}{args.folds}"]
    planned = plan_runs(args.config_dir, args.config_name, fixed)
    refuse_data(planned)
    base = planned[0].options
    space = [
        dimension(override, isinstance(base.get(override.key_or_group), list))
        for override in searched
    ]
    return Search(args, fixed, space, planned)


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()


def _open(search: Search) -> optuna.Study:
    """Open the study of the folder, or begin it.

    Raises:
        UsageError: it is of another search.
    """
    args = search.args
    pruner = optuna.pruners.MedianPruner(n_startup_trials=args.prune_after)
    study = optuna.create_study(
        storage=f"sqlite:///{(args.folder / STORAGE).resolve()}",
        study_name=_STUDY,
        direction="maximize" if search.is_maximized else "minimize",
        pruner=pruner if args.prune else optuna.pruners.NopPruner(),
        load_if_exists=True,
    )
    # Another seed for each trial that there is, or a resumed search would repeat its draws.
    study.sampler = optuna.samplers.TPESampler(seed=args.seed + len(study.trials))
    design = study.user_attrs.get(_DESIGN)
    if design is None:
        study.set_user_attr(_DESIGN, search.design())
    elif changed := [
        name
        for name, value in search.design().items()
        if design.get(name, value) != value  # older versions have recorded less
    ]:
        raise UsageError(
            f"{args.folder / STORAGE}: is of another search, with another {', '.join(changed)}; "
            "give another FOLDER",
            "search-changed",
        )
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        # Its runs continue from their checkpoints, since the same options name the same folders.
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)
    return study


def _continue(search: Search, study: optuna.Study) -> None:
    """Run trials until there are enough; interrupted ones do not count."""
    while (n_done := len(_finished(study))) < search.args.trials:
        trial = study.ask()
        words = [option.suggest(trial) for option in search.space]
        evaluation = Evaluation(search.args, search.plan(words), search.metric, search.is_maximized)
        try:
            value = evaluate(evaluation, trial.report, trial.should_prune)
        except StoppedError:
            study.tell(trial, state=TrialState.PRUNED)
            message = "stopped early"
        except RefusedError as error:
            trial.set_user_attr(_MESSAGE, str(error))
            study.tell(trial, state=TrialState.FAIL)
            if not _with_value(study):
                raise UsageError(str(error), "trial-refused") from error
            message = f"failed: {error}"
        else:
            study.tell(trial, value)
            message = f"{search.metric} {format_number(value, 4)}"
        sys.stdout.write(f"[{n_done + 1}/{search.args.trials}] {' '.join(words)}: {message}\n")
        sys.stdout.flush()


def _finished(study: optuna.Study) -> list[FrozenTrial]:
    trials = study.get_trials(deepcopy=False, states=_FINISHED)
    return [t for t in trials if t.state != TrialState.FAIL or _MESSAGE in t.user_attrs]


def _with_value(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


# --- Results --------------------------------------------------------------------------------------


def _show(search: Search, study: optuna.Study) -> None:
    folder: Path = search.args.folder
    trials = _finished(study)
    write_atomically(folder / TRIALS, _csv(search, trials))
    best_first = sorted(
        _with_value(study), key=lambda trial: trial.value or 0.0, reverse=search.is_maximized
    )
    counts = ", ".join(
        f"{sum(trial.state == state for trial in trials)} {_STATES[state]}" for state in _FINISHED
    )
    header = ["trial", search.metric] + [option.key for option in search.space]
    rows = [
        [str(trial.number), format_number(trial.value or 0.0, 4), *_values(search, trial)]
        for trial in best_first[:_SHOWN]
    ]
    title = f"{folder.name}: {counts}; {selected_by(search.base)}, no test set was scored"
    print_table(Table(header, rows, title), left=[option.key for option in search.space])
    sys.stdout.write(f"trials: {folder / TRIALS}\n")
    if best_first:
        _show_importance(folder, study)
        words = " ".join(_quoted(word) for word in _best_words(search, best_first[0]))
        sys.stdout.write(
            f"train the best with seeds, and score it: python -m emo_fairseq.experiments.sweep "
            f"--config-dir {search.args.config_dir} --config-name {search.args.config_name} "
            f"{folder}_best {words} common.seed=1,2,3\n"
        )


def _quoted(word: str) -> str:
    return word if word.replace("=", "").replace(".", "").isalnum() else f"'{word}'"


def _best_words(search: Search, trial: FrozenTrial) -> list[str]:
    fixed = optuna.trial.FixedTrial(trial.params)
    return list(search.fixed) + [option.suggest(fixed) for option in search.space]


def _values(search: Search, trial: FrozenTrial) -> list[str]:
    values = (trial.params.get(option.key, "") for option in search.space)
    return [f"{value:.4g}" if isinstance(value, float) else str(value) for value in values]


def _csv(search: Search, trials: Sequence[FrozenTrial]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    keys = [option.key for option in search.space]
    writer.writerow(["trial", "state", search.metric, "validations", *keys])
    for trial in trials:
        value = "" if trial.value is None or math.isnan(trial.value) else repr(trial.value)
        params = [trial.params.get(key, "") for key in keys]
        row = [trial.number, _STATES[trial.state], value, len(trial.intermediate_values), *params]
        writer.writerow(row)
    return text.getvalue()


def _show_importance(folder: Path, study: optuna.Study) -> None:
    """Print the importance of each option, and draw it where matplotlib is installed."""
    if len(_with_value(study)) < 3 or len(study.best_trial.params) < 2:
        return
    # Of random forests; fANOVA of optuna 2 does not run with NumPy 2.
    evaluator = optuna.importance.MeanDecreaseImpurityImportanceEvaluator(seed=1)
    importance = optuna.importance.get_param_importances(study, evaluator=evaluator)
    shares = ", ".join(f"{key} {share:.2f}" for key, share in importance.items())
    sys.stdout.write(f"importance (mean decrease in impurity): {shares}\n")
    try:
        _draw(importance, folder / "importance.png")
    except ModuleNotFoundError:
        sys.stdout.write('no plot of it: pip install -e ".[report]"\n')
    else:
        sys.stdout.write(f"plot: {folder / 'importance.png'}\n")


def _draw(importance: Mapping[str, float], file: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 1 + 0.4 * len(importance)), layout="constrained")
    axes = figure.add_subplot()
    keys = list(importance)[::-1]
    axes.barh(keys, [importance[key] for key in keys], color="#4477aa")
    axes.set_xlim(0, 1)
    axes.set_xlabel("importance (mean decrease in impurity)")
    figure.savefig(file, dpi=150)

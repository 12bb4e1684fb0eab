"""Which set chose a checkpoint: never the test set."""

from emo_fairseq.errors import UsageError
from emo_fairseq.experiments.options import Options

TEST = "test"


def choosing_set(options: Options) -> str | None:
    """The set by which fairseq keeps checkpoint_best.pt; None if nothing is validated."""
    if options.get("dataset.disable_validation", False):
        return None
    return str(options.get("dataset.valid_subset", "valid")).split(",")[0]


def chosen_by(options: Options) -> str:
    """The set and the metric, in words."""
    subset = choosing_set(options)
    if subset is None:
        return "no set (the last checkpoint)"
    metric = options.get("checkpoint.best_checkpoint_metric", "loss")
    largest = options.get("checkpoint.maximize_best_checkpoint_metric", False)
    return f"{subset} ({'largest' if largest else 'smallest'} {metric})"


def refuse_test_selection(options: Options) -> None:
    """Raise a `UsageError` if the test set is trained on, or chooses the checkpoint."""
    if choosing_set(options) == TEST:
        raise UsageError(
            f"dataset.valid_subset is {TEST}: the set that is reported would choose the checkpoint "
            "(and stop the training); leave it at valid"
        )
    if TEST in str(options.get("dataset.train_subset", "train")).split(","):
        raise UsageError(f"dataset.train_subset is {TEST}: the set that is reported is trained on")

"""The set that selects a checkpoint: never the test set."""

from data_prep.schema import TEST, TRAIN
from emo_fairseq.errors import UsageError
from emo_fairseq.experiments.options import Options


def selection_set(options: Options) -> str | None:
    """Return the set by which fairseq keeps checkpoint_best.pt; None if nothing is validated."""
    if options.get("dataset.disable_validation", False):
        return None
    return str(options.get("dataset.valid_subset", "valid")).split(",")[0]


def selected_by(options: Options) -> str:
    """Describe the set and the metric that selected the checkpoint.

    >>> selected_by(Options({"checkpoint.best_checkpoint_metric": "uar"}))
    'valid (smallest uar)'
    """
    subset = selection_set(options)
    if subset is None:
        return "no set (the last checkpoint)"
    metric = options.get("checkpoint.best_checkpoint_metric", "loss")
    largest = options.get("checkpoint.maximize_best_checkpoint_metric", False)
    return f"{subset} ({'largest' if largest else 'smallest'} {metric})"


def refuse_test_selection(options: Options) -> None:
    """Raise a `UsageError` if the test set is trained on, or selects the checkpoint."""
    if selection_set(options) == TEST:
        raise UsageError(
            f"dataset.valid_subset is {TEST}: the set that is reported would select the checkpoint "
            "(and stop the training); leave it at valid",
            "test-set-selects",
        )
    if TEST in str(options.get("dataset.train_subset", TRAIN)).split(","):
        raise UsageError(
            f"dataset.train_subset is {TEST}: the set that is reported is trained on; name another",
            "test-set-trained-on",
        )

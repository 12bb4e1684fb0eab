"""The options of several models: ``--combine`` and those that act with it."""

import argparse
from typing import TYPE_CHECKING

from emo_fairseq.errors import UsageError
from emo_fairseq.inference.model_folder.files import is_ensemble

if TYPE_CHECKING:
    pass

MEAN, VOTE, STACK = COMBINATIONS = ("mean", "vote", "stack")
BALANCED = "with --combine stack: fit it with rows weighted so that all labels count the same"
FIT_SPLIT = "valid"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of several models."""
    option = parser.add_argument_group("several models").add_argument
    how = (
        "score their ensemble, too: mean of the probabilities or numbers, vote of the labels, or "
        "stack: a linear model of their outputs"
    )
    option("--combine", choices=COMBINATIONS, help=how)
    fitted = f"split that --combine stack is fitted on (default: {FIT_SPLIT})"
    option("--fit-split", metavar="NAME", help=fitted)
    option("--balanced", action="store_true", help=BALANCED)


def check_options(options: argparse.Namespace) -> None:
    """Check the options of several models.

    Raises:
        UsageError: one does not act, or the ensemble would be fitted on the scored split.
    """
    is_one = is_one_ensemble(options)
    if is_one and options.combine:
        raise UsageError(
            f"--combine {options.combine}: {options.models[0]} has a combination of its own; leave "
            "it out",
            "options-conflict",
        )
    if len(options.models) < 2 and options.combine:
        raise UsageError(
            f"--combine {options.combine}: there is one model; give several before the data dir",
            "combine-one-model",
        )
    if options.fit_split and options.combine != STACK:
        raise UsageError(
            "--fit-split does not act without --combine stack; leave it out", "option-idle"
        )
    check_balanced(options)
    if options.combine == STACK and (options.fit_split or FIT_SPLIT) == options.split:
        raise UsageError(
            f"--combine stack: it would be fitted on {options.split}, which is scored; give "
            "another --split or --fit-split",
            "stack-on-scored",
        )
    if len(options.models) > 1 and options.save_predictions and not options.combine:
        raise UsageError(
            "--save-predictions: which of the models? Score one alone, or give --combine",
            "option-incomplete",
        )
    if len(options.models) > 1 or is_one:
        _check_several(options)


def _check_several(options: argparse.Namespace) -> None:
    """Refuse what does not act on several models that are scored on the same rows."""
    for word in options.further:
        if word.startswith("--save-"):
            raise UsageError(
                f"{word}: each of the models would write it; score one alone", "options-conflict"
            )
        if word.startswith("--valid-subset"):  # of what is fitted on, too
            raise UsageError(
                f"{word}: with several models --split names what is scored; give that",
                "options-conflict",
            )
    for option, split in (("--split", options.split), ("--fit-split", options.fit_split or "")):
        if "," in split:
            raise UsageError(
                f"{option} {split}: several models are scored on one split at a time; name one",
                "options-conflict",
            )


def check_balanced(options: argparse.Namespace) -> None:
    """Raise a `UsageError` if ``--balanced`` does not act."""
    if options.balanced and options.combine != STACK:
        raise UsageError(
            "--balanced does not act without --combine stack; leave it out", "option-idle"
        )


def is_one_ensemble(options: argparse.Namespace) -> bool:
    """Return whether the only model is the folder of an ensemble."""
    return len(options.models) == 1 and is_ensemble(options.models[0])

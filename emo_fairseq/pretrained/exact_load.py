"""Weights go into a model whole: nothing missing, nothing left over but what is known to be."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from data_prep.messages import first_few
from emo_fairseq.compat.torch_files import refuse_non_finite
from emo_fairseq.errors import UsageError

logger = logging.getLogger(__name__)

_KEYS_NAMED = 3


def load_exactly(
    module: nn.Module, weights: Mapping[str, Any], not_taken: Sequence[str], source: str
) -> None:
    """Load a state dict.

    Args:
        module: takes the weights.
        weights: by name.
        not_taken: beginnings of the names that the module has no use for, such as a head's.
        source: where the weights are from, for messages.

    Raises:
        UsageError: a parameter is missing, superfluous, of another shape, NaN or infinite.
    """
    taken = {
        name: value for name, value in weights.items() if not name.startswith(tuple(not_taken))
    }
    refuse_non_finite(taken, source)
    own = module.state_dict()
    refuse_misfits(
        source,
        {
            "lacks": [name for name in own if name not in taken],
            "has, beside those of the model,": [name for name in taken if name not in own],
            "has in another shape": [
                name for name in own if name in taken and taken[name].shape != own[name].shape
            ],
        },
    )
    module.load_state_dict(taken)
    log_not_taken(source, [name for name in weights if name not in taken])


def refuse_misfits(source: str, misfits: Mapping[str, Sequence[str]]) -> None:
    """Raise a `UsageError` if any of these lists of names, each under its verb, is not empty."""
    told = [
        f"{verb} {len(names)} parameters ({first_few(sorted(names), _KEYS_NAMED)})"
        for verb, names in misfits.items()
        if names
    ]
    if told:
        raise UsageError(
            f"{source}: {' and '.join(told)}; the weights are not of the model that their own "
            "configuration describes: fetch them again"
        )


def log_not_taken(source: str, names: Sequence[str]) -> None:
    """Say how much of a checkpoint is of no use here."""
    if names:
        logger.info(
            "%s: %d entries not taken (%s)", source, len(names), first_few(names, _KEYS_NAMED)
        )

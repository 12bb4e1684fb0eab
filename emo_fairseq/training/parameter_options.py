"""What a parameter asks of its optimizer: a learning rate of its own, no weight decay, to wait.

It is kept in ``parameter.optim_overrides["optimizer"]``, where fairseq's composite optimizer looks
for ``lr_scale`` and ``weight_decay_scale``, and where data2vec 2.0 writes the latter. With --fp16
and --bf16 the optimizer steps copies of the parameters, to which fairseq hands on this very dict:
an attribute of another name would be lost, and a change of the dict reaches both.
"""

from typing import Any

from torch import nn


def options_of(parameter: nn.Parameter) -> dict[str, Any]:
    """What a parameter asks for, to be read and changed."""
    options: dict[str, Any] = (
        vars(parameter).setdefault("optim_overrides", {}).setdefault("optimizer", {})
    )
    return options


def lr_scale(parameter: nn.Parameter) -> float:
    """What the learning rate is multiplied by for this parameter."""
    return options_of(parameter).get("lr_scale", 1.0)


def weight_decay_scale(parameter: nn.Parameter) -> float:
    """What the weight decay is multiplied by: 0 or 1, as a rule."""
    return options_of(parameter).get("weight_decay_scale", 1.0)


def hold(parameter: nn.Parameter, held: bool) -> None:
    """Keep a parameter as it is for now, or let it train."""
    parameter.requires_grad_(not held)
    options_of(parameter)["held"] = held


def is_held(parameter: nn.Parameter) -> bool:
    """Whether a parameter, or the one that it is a copy of, is to stay as it is for now."""
    return options_of(parameter).get("held", False)


def has_wishes(parameter: nn.Parameter) -> bool:
    """Whether a parameter asks for what fairseq's own optimizers would not give it.

    Having no weight decay is not among them: that is this package's custom, not the user's wish.
    """
    return lr_scale(parameter) != 1.0 or "held" in options_of(parameter)

"""Learning rates of encoders, with layer-wise decay, and of heads.

Layer-wise decay is the discriminative fine-tuning of Howard and Ruder (2018, arXiv:1801.06146), as
in ELECTRA and BEiT: the rate of each block is a fixed fraction of that of the block above it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from emo_fairseq.errors import UsageError


def assign_learning_rates(
    encoder_blocks: Mapping[str, Sequence[nn.Module]],
    everything: nn.Module,
    encoder_scales: Mapping[str, float] | None = None,
    layer_decay: float | Mapping[str, float] = 1.0,
    head_scale: float = 1.0,
) -> None:
    """Set the factors of ``--lr`` and ``--weight-decay`` of each parameter.

    The factor of block i of the blocks 0…L of an encoder, from input to output, is
    ``encoder_scale * layer_decay ** (L - i)``; that of all other parameters (fusion, heads) is
    `head_scale`. Biases and the parameters of norms have no weight decay. Call it when the model
    has all its parameters, including adapters, and before the optimizer is built.

    Args:
        encoder_blocks: the blocks of each encoder; a parameter shared by several blocks has the
            factor of the topmost.
        everything: the model.
        encoder_scales: factor of each encoder; 1 for the others.
        layer_decay: decay of all encoders, or of each; 1 for the others.
        head_scale: factor of all other parameters.

    Raises:
        UsageError: there is no such encoder, a scale is not positive, or a decay is not in (0, 1].

    >>> model = nn.ModuleDict({"encoder": nn.Linear(2, 2), "head": nn.Linear(2, 1)})
    >>> assign_learning_rates({"text": [model["encoder"]]}, model, {"text": 0.1}, head_scale=2.0)
    >>> lr_scale(model["encoder"].weight), lr_scale(model["head"].weight)
    (0.1, 2.0)
    >>> weight_decay_scale(model["head"].bias)
    0.0
    """
    scales = dict(encoder_scales or {})
    decays = (
        dict(layer_decay)
        if isinstance(layer_decay, Mapping)
        else dict.fromkeys(encoder_blocks, layer_decay)
    )
    _check(encoder_blocks, scales, decays, head_scale)
    for parameter in everything.parameters():
        options_of(parameter)["lr_scale"] = head_scale
    for name, blocks in encoder_blocks.items():
        scale, decay = scales.get(name, 1.0), decays.get(name, 1.0)
        for height, block in enumerate(blocks, start=1 - len(blocks)):  # the top is at 0
            for parameter in block.parameters():
                options_of(parameter)["lr_scale"] = scale * decay**-height
    for parameter in _undecayed(everything):
        options_of(parameter)["weight_decay_scale"] = 0.0


def _undecayed(module: nn.Module) -> Iterator[nn.Parameter]:
    for name, parameter in module.named_parameters():
        # Parameters of norms and most biases are vectors, but not those added to attention scores.
        if parameter.ndim < 2 or name.endswith("bias"):
            yield parameter


def _check(
    encoders: Mapping[str, object],
    scales: Mapping[str, float],
    decays: Mapping[str, float],
    head_scale: float,
) -> None:
    for name in [*scales, *decays]:
        if name not in encoders:
            raise UsageError(
                f"learning rates: there is no encoder {name}, only {', '.join(encoders)}",
                "encoder-unknown",
            )
    for name, scale in {**scales, "the heads": head_scale}.items():
        if not 0 < scale < float("inf"):
            raise UsageError(
                f"learning rates: the scale of {name}, {scale}, is not positive; freeze what is "
                "not to be trained",
                "option-out-of-range",
            )
    for name, decay in decays.items():
        if not 0 < decay <= 1:
            raise UsageError(
                f"learning rates: the layer decay of {name}, {decay}, is not in (0, 1]",
                "option-out-of-range",
            )


# -- Options of a parameter ------------------------------------------------------------------------
# Stored in ``parameter.optim_overrides["optimizer"]``, where fairseq's composite optimizer reads
# ``lr_scale`` and ``weight_decay_scale`` and data2vec 2.0 writes the latter. With --fp16 and --bf16
# the optimizer steps copies of the parameters, which share this dict: an attribute of another name
# would be lost.


def options_of(parameter: nn.Parameter) -> dict[str, Any]:
    """Return the options of a parameter, which may be changed in place."""
    options: dict[str, Any] = (
        vars(parameter).setdefault("optim_overrides", {}).setdefault("optimizer", {})
    )
    return options


def lr_scale(parameter: nn.Parameter) -> float:
    """Return the factor of the learning rate of a parameter."""
    return options_of(parameter).get("lr_scale", 1.0)


def weight_decay_scale(parameter: nn.Parameter) -> float:
    """Return the factor of the weight decay of a parameter, usually 0 or 1."""
    return options_of(parameter).get("weight_decay_scale", 1.0)


def hold(parameter: nn.Parameter, held: bool) -> None:
    """Hold a parameter at its value for now, or release it."""
    parameter.requires_grad_(not held)
    options_of(parameter)["held"] = held


def is_held(parameter: nn.Parameter) -> bool:
    """Return whether a parameter, or the one of which it is a copy, is held."""
    return options_of(parameter).get("held", False)


def has_own_options(parameter: nn.Parameter) -> bool:
    """Return whether a parameter has options that fairseq's own optimizers would ignore.

    The absence of weight decay does not count, since the user did not request it.
    """
    return lr_scale(parameter) != 1.0 or "held" in options_of(parameter)

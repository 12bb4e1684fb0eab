"""A learning rate for each encoder, falling from its top to its embeddings, and one for the heads.

Layer-wise decay is Howard and Ruder's (2018, arXiv:1801.06146) discriminative fine-tuning, in the
form of ELECTRA and BEiT: each block learns at a fixed fraction of the rate of the one above it.
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
    """Say for each parameter what ``--lr`` and ``--weight-decay`` are multiplied by.

    Block i of an encoder's blocks 0…L, from the input to the output, learns at
    ``encoder_scale * layer_decay ** (L - i)``; whatever is in no block (fusion, heads) at
    `head_scale`. Biases and the parameters of norms have no weight decay. Call it when the model
    has all its parameters, adapters included, and before the optimizer is built.

    Args:
        encoder_blocks: for each encoder its blocks; a parameter that several blocks share learns at
            the rate of the topmost.
        everything: the model.
        encoder_scales: of encoders that do not learn at ``--lr`` itself.
        layer_decay: for all encoders, or for those that have one.
        head_scale: of everything else.

    Raises:
        UsageError: an encoder is not there, a scale is not positive, or a decay not in (0, 1].
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
        # Norms hold vectors; so do most biases, but for those that attention adds to its scores.
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
                "not to learn",
                "option-out-of-range",
            )
    for name, decay in decays.items():
        if not 0 < decay <= 1:
            raise UsageError(
                f"learning rates: the layer decay of {name}, {decay}, is not in (0, 1]",
                "option-out-of-range",
            )


# -- Options of a parameter ----------------------------------------------------------------------
# Kept in ``parameter.optim_overrides["optimizer"]``, where fairseq's composite optimizer reads
# ``lr_scale`` and ``weight_decay_scale`` and data2vec 2.0 writes the latter. With --fp16 and --bf16
# the optimizer steps copies of the parameters, which share this dict: an attribute of another name
# would be lost.


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

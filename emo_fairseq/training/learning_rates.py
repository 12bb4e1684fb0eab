"""A learning rate for each encoder, falling from its top to its embeddings, and one for the heads.

Layer-wise decay is Howard and Ruder's (2018, arXiv:1801.06146) discriminative fine-tuning, in the
form of ELECTRA and BEiT: each block learns at a fixed fraction of the rate of the one above it.
"""

from collections.abc import Iterator, Mapping, Sequence

from torch import nn

from emo_fairseq.errors import UsageError
from emo_fairseq.training.parameter_options import options_of


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
                f"learning rates: there is no encoder {name}, only {', '.join(encoders)}"
            )
    for name, scale in {**scales, "the heads": head_scale}.items():
        if not 0 < scale < float("inf"):
            raise UsageError(
                f"learning rates: the scale of {name}, {scale}, is not positive; freeze what is "
                "not to learn"
            )
    for name, decay in decays.items():
        if not 0 < decay <= 1:
            raise UsageError(
                f"learning rates: the layer decay of {name}, {decay}, is not in (0, 1]"
            )

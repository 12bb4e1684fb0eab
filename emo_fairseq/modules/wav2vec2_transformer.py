"""The transformer of fairseq's wav2vec 2.0 in stages, independent of the amount of padding."""

from collections.abc import Iterator

from fairseq.models.wav2vec.wav2vec2 import TransformerEncoder
from torch import Tensor, nn

from emo_fairseq.modules.encoder import has_padding


def embed_frames(transformer: TransformerEncoder, frames: Tensor, padding_mask: Tensor) -> Tensor:
    """Compute what enters the first layer in ``TransformerEncoder.forward``.

    fairseq sets padding to 0 before the first positional convolution only. After its bias, padding
    is no longer 0 and would leak into the last frames through the second of data2vec's five; so it
    is set to 0 before each.

    Args:
        transformer: of wav2vec 2.0, HuBERT or data2vec.
        frames: (B, T, C).
        padding_mask: (B, T), True = padding.

    Returns:
        (B, T, C).
    """
    padding = padding_mask[:, None]  # B x 1 x T
    frames = frames.masked_fill(padding_mask[:, :, None], 0.0)
    positions = frames.transpose(1, 2)  # B x C x T
    for part in _flatten(transformer.pos_conv):
        if isinstance(part, nn.Conv1d):
            positions = positions.masked_fill(padding, 0.0)
        positions = part(positions)
    x = frames + positions.transpose(1, 2)
    if not transformer.layer_norm_first:
        x = transformer.layer_norm(x)
    # A frozen positional convolution stays in evaluation mode, and this dropout is frozen with it.
    return nn.functional.dropout(x, transformer.dropout, transformer.pos_conv.training)


def run_transformer_layers(
    transformer: TransformerEncoder, state: Tensor, padding_mask: Tensor, first: int, last: int
) -> list[Tensor]:
    """Compute the outputs of some layers.

    LayerDrop is not applied: fairseq draws it from numpy's generator, whose state is not restored
    on resume.

    Args:
        transformer: of wav2vec 2.0, HuBERT or data2vec.
        state: (B, T, C), the output of layer number `first`; of 0 that of :func:`embed_frames`.
        padding_mask: (B, T), True = padding.
        first: number of the layer before the first one that runs.
        last: number of the last layer that runs.

    Returns:
        `last` - `first` tensors (B, T, C); that of the topmost layer after the final layer norm, if
        the layers are pre-norm.
    """
    states = []
    x = state.transpose(0, 1)  # T x B x C, as fairseq's layers expect
    attention_mask = padding_mask if has_padding(padding_mask) else None
    for layer in transformer.layers[first:last]:
        x, _ = layer(x, self_attn_padding_mask=attention_mask, need_weights=False)
        states.append(x.transpose(0, 1))
    if transformer.layer_norm_first and states and last == len(transformer.layers):
        states[-1] = transformer.layer_norm(states[-1])
    return states


def _flatten(sequence: nn.Module) -> Iterator[nn.Module]:
    """Yield the modules of nested ``nn.Sequential`` in order of application."""
    for part in sequence.children():
        if isinstance(part, nn.Sequential):
            yield from _flatten(part)
        else:
            yield part

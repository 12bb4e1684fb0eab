"""The hidden states of fairseq's wav2vec 2.0 transformer, padding silenced at every convolution."""

from collections.abc import Iterator

from fairseq.models.wav2vec.wav2vec2 import TransformerEncoder
from torch import Tensor, nn


def transformer_layers(
    transformer: TransformerEncoder, frames: Tensor, padding_mask: Tensor
) -> list[Tensor]:
    """What ``TransformerEncoder.forward`` computes, with all that it computes on the way.

    fairseq zeroes padding before the first positional convolution only. Behind its bias, and so
    in the second of data2vec's five, padding is no longer zero and would leak into the last frames.
    No layer is dropped: fairseq draws for that from numpy's generator, which no resume restores.

    Args:
        transformer: of wav2vec 2.0, HuBERT or data2vec.
        frames: (B, T, C).
        padding_mask: (B, T), True = padding.

    Returns:
        L + 1 tensors (B, T, C): what enters the first layer, what leaves each of them; the last one
        behind the final layer norm, if the layers are pre-norm.
    """
    silent = padding_mask[:, None]  # B x 1 x T
    frames = frames.masked_fill(padding_mask[:, :, None], 0.0)
    positions = frames.transpose(1, 2)  # B x C x T
    for part in _leaves(transformer.pos_conv):
        if isinstance(part, nn.Conv1d):
            positions = positions.masked_fill(silent, 0.0)
        positions = part(positions)
    x = frames + positions.transpose(1, 2)
    if not transformer.layer_norm_first:
        x = transformer.layer_norm(x)
    x = nn.functional.dropout(x, transformer.dropout, transformer.training)
    found = [x]
    x = x.transpose(0, 1)  # T x B x C, as fairseq's layers want it
    attention_mask = padding_mask if bool(padding_mask.any()) else None
    for layer in transformer.layers:
        x, _ = layer(x, self_attn_padding_mask=attention_mask, need_weights=False)
        found.append(x.transpose(0, 1))
    if transformer.layer_norm_first:
        found[-1] = transformer.layer_norm(found[-1])
    return found


def _leaves(sequence: nn.Module) -> Iterator[nn.Module]:
    """The parts of nested ``nn.Sequential`` in the order of application."""
    for part in sequence.children():
        if isinstance(part, nn.Sequential):
            yield from _leaves(part)
        else:
            yield part

"""Hidden states of fairseq's wav2vec 2.0 transformer, independent of the amount of padding."""

from collections.abc import Iterator

from fairseq.models.wav2vec.wav2vec2 import TransformerEncoder
from torch import Tensor, nn


def transformer_layers(
    transformer: TransformerEncoder, frames: Tensor, padding_mask: Tensor
) -> list[Tensor]:
    """Compute the hidden states of all layers of ``TransformerEncoder.forward``.

    fairseq sets padding to 0 before the first positional convolution only. After its bias, padding
    is no longer 0 and would leak into the last frames through the second of data2vec's five; so it
    is set to 0 before each. LayerDrop is not applied: fairseq draws it from numpy's generator,
    whose state is not restored on resume.

    Args:
        transformer: of wav2vec 2.0, HuBERT or data2vec.
        frames: (B, T, C).
        padding_mask: (B, T), True = padding.

    Returns:
        L + 1 tensors (B, T, C): the input of the first layer and the output of each; the last one
        after the final layer norm, if the layers are pre-norm.
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
    x = nn.functional.dropout(x, transformer.dropout, transformer.training)
    hidden_states = [x]
    x = x.transpose(0, 1)  # T x B x C, as fairseq's layers expect
    attention_mask = padding_mask if bool(padding_mask.any()) else None
    for layer in transformer.layers:
        x, _ = layer(x, self_attn_padding_mask=attention_mask, need_weights=False)
        hidden_states.append(x.transpose(0, 1))
    if transformer.layer_norm_first:
        hidden_states[-1] = transformer.layer_norm(hidden_states[-1])
    return hidden_states


def _flatten(sequence: nn.Module) -> Iterator[nn.Module]:
    """Yield the modules of nested ``nn.Sequential`` in order of application."""
    for part in sequence.children():
        if isinstance(part, nn.Sequential):
            yield from _flatten(part)
        else:
            yield part

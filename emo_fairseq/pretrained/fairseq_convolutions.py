"""The convolutions over samples of wav2vec 2.0 and its successors in fairseq, without padding."""

from collections.abc import Sequence

from fairseq.models.wav2vec.wav2vec2 import ConvFeatureExtractionModel
from torch import Tensor, nn

from emo_fairseq.pretrained.waveforms import MaskedGroupNorm

ConvLayers = Sequence[tuple[int, int, int]]  # (channels, kernel, stride) of each


def build_convolutions(conv_layers: ConvLayers, mode: str, bias: bool) -> nn.Module:
    """Build fairseq's convolutions, whose group norms ignore padding.

    Args:
        conv_layers: (channels, kernel, stride) of each.
        mode: ``default`` (a group norm in the first) or ``layer_norm`` (one in each).
        bias: of the convolutions.
    """
    convolutions = ConvFeatureExtractionModel(list(conv_layers), mode=mode, conv_bias=bias)
    for block in convolutions.conv_layers:
        for number, part in enumerate(block):
            if isinstance(part, nn.GroupNorm):
                block[number] = MaskedGroupNorm(part)
    return convolutions


def convolve(
    convolutions: nn.Module, conv_layers: ConvLayers, samples: Tensor, lengths: Tensor
) -> tuple[Tensor, Tensor]:
    """Convolve samples to frames.

    Args:
        convolutions: of :func:`build_convolutions`.
        conv_layers: (channels, kernel, stride) of each.
        samples: (B, S), at least the receptive field of one frame.
        lengths: (B,) of the rows.

    Returns:
        Frames (B, T, channels), and their number in each row (B,).
    """
    x = samples[:, None]  # B x channels x T
    blocks = convolutions.get_submodule("conv_layers").children()
    for block, (_, kernel, stride) in zip(blocks, conv_layers, strict=True):
        lengths = (lengths - kernel) // stride + 1
        for part in block.children():
            x = part(x, lengths) if isinstance(part, MaskedGroupNorm) else part(x)
    return x.transpose(1, 2), lengths

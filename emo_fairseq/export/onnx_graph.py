"""A model made ready to be drawn as a graph: flat inputs and outputs, no branch on their content.

torch's tracing exporter draws what one batch makes the model do. Branches on the content of a mask
(fairseq's ``if padding_mask.any()``) come out the same for every batch, since masks without padding
hide nothing; what else depends on the batch is replaced here, before it is traced.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from fairseq.modules.sinusoidal_positional_embedding import SinusoidalPositionalEmbedding
from torch import Tensor, nn

from emo_fairseq.errors import UsageError
from emo_fairseq.modules.lora import merge_lora
from emo_fairseq.pretrained.fairseq_wav2vec import Wav2VecEncoder
from emo_fairseq.pretrained.group_norm import MaskedGroupNorm
from emo_fairseq.pretrained.hf_whisper import HuggingFaceWhisper

Inputs = Mapping[str, Mapping[str, Tensor]]  # of each modality what its leaf collates
InputName = tuple[str, str]  # modality, and what of it

LOGITS, EMBEDDING, AUXILIARY = "logits", "embedding", "auxiliary."

_CANNOT: Mapping[type[nn.Module], str] = {
    HuggingFaceWhisper: "Whisper computes its log-mel frames inside, row by row and not in torch",
    Wav2VecEncoder: "wav2vec 1.0 runs row by row, so that padding does not leak into its norms",
}


class FlatModel(nn.Module):
    """A model whose inputs and outputs stand in a row, as a graph's do.

    Args:
        model: see :class:`emo_fairseq.models.roberta_emo.RobertaEMOModel`.
        names: of the inputs in their order.
    """

    def __init__(self, model: nn.Module, names: Sequence[InputName]) -> None:
        super().__init__()
        self.model = model
        self.names = list(names)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Logits (B, n_outputs), embedding (B, E), then each auxiliary target's outputs."""
        inputs: dict[str, dict[str, Tensor]] = {}
        for (modality, part), tensor in zip(self.names, tensors, strict=True):
            inputs.setdefault(modality, {})[part] = tensor
        return in_a_row(self.model(**inputs))


def in_a_row(output: Any) -> tuple[Tensor, ...]:
    """An :class:`~emo_fairseq.models.roberta_emo.EmotionOutput` without its names."""
    return output.logits, output.embedding, *output.auxiliary.values()


def output_names(model: Any) -> list[str]:
    """The names of what :func:`in_a_row` returns."""
    return [LOGITS, EMBEDDING, *(f"{AUXILIARY}{name}" for name in model.auxiliary_heads)]


def graph_name(name: InputName) -> str:
    """What the graph calls an input.

    >>> graph_name(("text", "tokens"))
    'text.tokens'
    """
    return ".".join(name)


def flatten(inputs: Inputs) -> dict[InputName, Tensor]:
    """A batch as the graph's inputs, in the order of the batch."""
    return {(m, part): x for m, parts in inputs.items() for part, x in parts.items()}


def check_exportable(model: Any) -> None:
    """See that every encoder of a model can be drawn.

    Raises:
        UsageError: one cannot; says why.
    """
    for name, encoder in model.encoders.items():
        for kind, why in _CANNOT.items():
            if isinstance(encoder.backbone, kind):
                raise UsageError(
                    f"the {name} encoder cannot be exported to ONNX: {why}; serve the model folder "
                    "as it is, without --onnx"
                )


def make_traceable(model: Any, n_positions: int) -> None:
    """Replace, in place, what tracing would freeze to one batch; the outputs stay the same.

    LoRA's updates are merged into the weights, tables of sinusoidal positions are made long enough
    for every input, and group norms over real frames count all rows at once.

    Args:
        model: in evaluation mode; it cannot be trained any more.
        n_positions: the most frames of a row.
    """
    merge_lora(model)
    for part in list(model.modules()):
        if isinstance(part, SinusoidalPositionalEmbedding):
            part(torch.full((1, n_positions), part.padding_idx + 1))
        if isinstance(part, MaskedGroupNorm):
            part.__class__ = _TraceableGroupNorm  # the parameters stay where they are


class _TraceableGroupNorm(MaskedGroupNorm):
    """The same norm with the rows' sums taken side by side instead of row by row."""

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        batch, channels, width = x.shape
        real = (torch.arange(width, device=x.device) < lengths[:, None])[:, None, None]
        grouped = x.float().view(batch, self.num_groups, -1, width)  # B x G x C / G x T
        count = lengths[:, None, None, None] * (channels // self.num_groups)
        mean = (grouped * real).sum(dim=(2, 3), keepdim=True) / count
        centered = (grouped - mean) * real
        variance = centered.square().sum(dim=(2, 3), keepdim=True) / count
        normed = (centered * torch.rsqrt(variance + self.eps)).view(batch, channels, width)
        scaled = normed * self.weight.float()[:, None] + self.bias.float()[:, None]
        return (scaled * real[:, 0]).type_as(x)

"""All that the outputs of an encoder depend on, as a digest."""

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import torch
from torch import nn

from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.models.modality_encoder import ModalityEncoder

_FORMAT = 2  # of what lies on disk: count on when our encoders compute something else

# What of an encoder's parts changes its outputs, and neither name nor shape of a weight.
_ACTING = ("num_heads", "stride", "padding_idx")


def weights_digest(module: nn.Module) -> str:
    """SHA-256 over the names, types, shapes and bytes of all parameters and buffers."""
    found = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        value = value.detach().cpu().contiguous()
        found.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        found.update(value.flatten().view(torch.uint8).numpy())
    return found.hexdigest()


def beside_weights(module: nn.Module) -> dict[str, list[Any]]:
    """What the options of our own encoders shape beside weights, of each part that has it.

    >>> beside_weights(nn.Sequential(nn.Conv1d(1, 8, 10, stride=5), nn.Conv1d(8, 8, 3)))
    {'num_heads': [], 'stride': [(5,), (1,)], 'padding_idx': []}
    """
    return {
        name: [getattr(part, name) for part in module.modules() if hasattr(part, name)]
        for name in _ACTING
    }


def outputs_identity(
    encoder: ModalityEncoder,
    weights: str,
    card: EncoderSpec,
    split: str,
    content: str,
    dtype: str,
) -> dict[str, Any]:
    """All that the outputs of an encoder over a leaf depend on, as plain values.

    Args:
        encoder: whose layer counts.
        weights: see :func:`weights_digest`.
        card: of the encoder; where its files lie does not count.
        split: which names the files.
        content: see :func:`emo_fairseq.data.encoded.content_digest`.
        dtype: of the numbers on disk.
    """
    return {
        "format": _FORMAT,
        "kind": card.kind,
        "input": card.input,
        "architecture": {k: v for k, v in card.architecture.items() if k != "_name_or_path"},
        # Of a pretrained encoder the architecture says it.
        "beside_weights": {} if card.is_pretrained else beside_weights(encoder.backbone),
        "weights": weights,
        "library": version("transformers") if card.kind == "hf" else "",
        "layer": encoder.layer,
        "split": split,
        "content": content,
        "dtype": dtype,
    }


def key_of(identity: Mapping[str, Any]) -> str:
    """The name of a folder."""
    text = json.dumps(identity, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]

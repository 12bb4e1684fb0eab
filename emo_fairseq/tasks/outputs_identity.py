"""All that the outputs of a frozen encoder over a dataset depend on, and digests of it."""

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import torch
from torch import nn

from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.models.modality_encoder import CONCAT, WEIGHTED, ModalityEncoder

_FORMAT = 3  # of the cache: increase it when our encoders compute something else

# Attributes of modules that change outputs, but neither name nor shape of a weight.
_ATTRIBUTES = ("num_heads", "stride", "padding_idx", "stored_layer")


def weights_digest(module: nn.Module) -> str:
    """Return the SHA-256 over names, types, shapes and bytes of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        value = value.detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def beside_weights(module: nn.Module) -> dict[str, list[Any]]:
    """Return what options of our own encoders determine beside weights, of each submodule.

    >>> beside_weights(nn.Sequential(nn.Conv1d(1, 8, 10, stride=5), nn.Conv1d(8, 8, 3)))
    {'num_heads': [], 'stride': [(5,), (1,)], 'padding_idx': [], 'stored_layer': []}
    """
    return {
        name: [getattr(part, name) for part in module.modules() if hasattr(part, name)]
        for name in _ATTRIBUTES
    }


def frozen_digest(encoder: ModalityEncoder) -> str:
    """Return :func:`weights_digest` of what is frozen of an encoder."""
    if encoder.frozen:
        return weights_digest(encoder.backbone)
    return weights_digest(nn.ModuleList(encoder.frozen_modules()))


def outputs_identity(
    encoder: ModalityEncoder,
    weights: str,
    spec: EncoderSpec,
    split: str,
    content: str,
    dtype: str,
) -> dict[str, Any]:
    """Return all that the outputs of an encoder over a dataset depend on, as plain values.

    Args:
        encoder: whose layer, and what of it is frozen, are a part of it.
        weights: see :func:`frozen_digest`.
        spec: of the encoder; the folder of its files is no part of it.
        split: a part of the files' names.
        content: see :func:`emo_fairseq.data.encoded.content_digest`.
        dtype: of the numbers on disk.
    """
    return {
        "format": _FORMAT,
        "kind": spec.kind,
        "input": spec.input,
        "architecture": {k: v for k, v in spec.architecture.items() if k != "_name_or_path"},
        # A pretrained encoder has it in its architecture.
        "beside_weights": {} if spec.is_pretrained else beside_weights(encoder.backbone),
        "weights": weights,
        "library": version("transformers") if spec.kind == "hf" else "",
        "layer": _stored_states(encoder),
        "split": split,
        "content": content,
        "dtype": dtype,
    }


def _stored_states(encoder: ModalityEncoder) -> str:
    """Return which states are stored: of a layer, or of all, as they are or pooled; of a part."""
    if encoder.frozen:
        # The states of all layers are stored for both.
        which = WEIGHTED if encoder.layer == CONCAT else encoder.layer
        return f"{which}, {encoder.frozen_pooling}" if encoder.frozen_pooling else which
    if not encoder.frozen_layers:
        return "front end"
    which = "0 to" if encoder.uses_all_layers else "only"
    return f"{which} {encoder.frozen_layers}, the lower part"


def key_of(identity: Mapping[str, Any]) -> str:
    """Return the name of the folder of some outputs."""
    text = json.dumps(identity, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]

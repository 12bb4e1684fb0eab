"""fairseq's RoBERTa and its variants, of text or of speech codes (BERT on vq-wav2vec)."""

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from fairseq.models import ARCH_CONFIG_REGISTRY
from torch import nn

from data_prep.tokens.folder import PAD
from emo_fairseq.errors import UsageError
from emo_fairseq.modules.token_encoder import TokenEncoder, TokenForm
from emo_fairseq.modules.transformer import TransformerSize
from emo_fairseq.pretrained.fairseq_files import FairseqCheckpoint

NOT_TAKEN = ("lm_head.", "classification_heads.")

# Prefixes of older versions of fairseq.
_RENAMED: Mapping[str, str] = {
    "decoder.": "",  # RoBERTa's encoder was its decoder once
    "encoder.": "",
    "sentence_encoder.emb_layer_norm.": "sentence_encoder.layernorm_embedding.",
}
_SIZE: Mapping[str, str] = {  # ours: fairseq's
    "embed_dim": "encoder_embed_dim",
    "ffn_embed_dim": "encoder_ffn_embed_dim",
    "n_layers": "encoder_layers",
    "n_heads": "encoder_attention_heads",
    "dropout": "dropout",
    "attention_dropout": "attention_dropout",
}
_TOKENS = "sentence_encoder.embed_tokens.weight"
_VERSION = "sentence_encoder.version"  # of the format, not a weight
_POSITIONS = "sentence_encoder.embed_positions.weight"


def architecture(checkpoint: FairseqCheckpoint) -> dict[str, Any]:
    """Return the settings from which :func:`build` builds the encoder, as plain values.

    Raises:
        UsageError: the model has no learned positions.
    """
    weights = rename(checkpoint.weights)
    if _TOKENS not in weights or _POSITIONS not in weights:
        raise UsageError(
            f"{checkpoint.file}: lacks {_TOKENS} or {_POSITIONS}, which every RoBERTa has; "
            "give another checkpoint",
            "weights-mismatch",
        )
    options = Namespace(**checkpoint.config)
    ARCH_CONFIG_REGISTRY[checkpoint.arch](options)  # sets the defaults of missing options
    form = TokenForm(
        # By the weights, since `encoder_normalize_before` once meant the norm of the embedding.
        pre_norm="sentence_encoder.layer_norm.weight" in weights,
        norm_embedding="sentence_encoder.layernorm_embedding.weight" in weights,
        activation=str(options.activation_fn),
        activation_dropout=options.activation_dropout,
    )
    return {
        "vocabulary_size": len(weights[_TOKENS]),
        "max_tokens": len(weights[_POSITIONS]) - PAD - 1,
        "size": {ours: getattr(options, fairseqs) for ours, fairseqs in _SIZE.items()},
        "form": asdict(form),
    }


def build(architecture: Mapping[str, Any]) -> TokenEncoder:
    """Build the encoder with random weights."""
    return TokenEncoder(
        architecture["vocabulary_size"],
        architecture["max_tokens"],
        TransformerSize(**architecture["size"]),
        form=TokenForm(**architecture["form"]),
    )


def weights(checkpoint: FairseqCheckpoint, encoder: nn.Module) -> dict[str, Any]:
    """Return the weights of a checkpoint under the current names."""
    renamed = {**rename(checkpoint.weights), _VERSION: encoder.state_dict()[_VERSION]}
    for name, module in encoder.named_modules():
        if hasattr(module, "upgrade_state_dict_named"):  # such as q, k and v in one matrix
            module.upgrade_state_dict_named(renamed, name)
    return renamed


def rename(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Rename weights of older versions of fairseq."""
    renamed = {}
    for name, value in weights.items():
        for old, new in _RENAMED.items():
            if name.startswith(old):
                name = new + name.removeprefix(old)
        renamed[name] = value
    return renamed

"""Named architectures: the sizes of each, where none are given on the command line.

Sizes in :class:`~emo_fairseq.models.config.RobertaEMOConfig` are None by default. They are filled
in when the model is built, whether the configuration is of a command line (``--arch``) or of a
Hydra YAML, and written back, so that a checkpoint holds them.
"""

from collections.abc import Mapping
from dataclasses import fields

from omegaconf import DictConfig

from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.models.config import RobertaEMOConfig
from emo_fairseq.models.fusions import fusion_name

_BASE = {
    "text_encoder_layers": 12,
    "text_embed_dim": 768,
    "text_ffn_embed_dim": 3072,
    "text_attention_heads": 12,
    "speech_encoder_layers": 12,
    "speech_embed_dim": 768,
    "speech_ffn_embed_dim": 3072,
    "speech_attention_heads": 12,
    "speech_conv_layers": "[(512, 10, 5)] + [(512, 3, 2)] * 4 + [(512, 2, 2)] * 2",
    "speech_conv_channels": 1024,
    "video_encoder_layers": 0,
    "video_embed_dim": 768,
    "video_ffn_embed_dim": 3072,
    "video_attention_heads": 12,
    "fusion_embed_dim": 768,
    "encoder_layers_cross": 1,
    "encoder_attention_heads": 12,
    "lmf_rank": 4,
}

_LARGE = {
    **_BASE,
    "text_encoder_layers": 24,
    "text_embed_dim": 1024,
    "text_ffn_embed_dim": 4096,
    "text_attention_heads": 16,
    "speech_encoder_layers": 24,
    "speech_embed_dim": 1024,
    "speech_ffn_embed_dim": 4096,
    "speech_attention_heads": 16,
    "video_embed_dim": 1024,
    "video_ffn_embed_dim": 4096,
    "video_attention_heads": 16,
    "fusion_embed_dim": 1024,
    "encoder_attention_heads": 16,
}

_TINY = {
    **_BASE,
    "text_encoder_layers": 2,
    "text_embed_dim": 128,
    "text_ffn_embed_dim": 256,
    "text_attention_heads": 4,
    "speech_encoder_layers": 2,
    "speech_embed_dim": 128,
    "speech_ffn_embed_dim": 256,
    "speech_attention_heads": 4,
    "speech_conv_layers": "[(64, 10, 5)] + [(64, 3, 2)] * 4 + [(64, 2, 2)] * 2",
    "speech_conv_channels": 128,
    "video_embed_dim": 128,
    "video_ffn_embed_dim": 256,
    "video_attention_heads": 4,
    "fusion_embed_dim": 128,
    "encoder_attention_heads": 4,
}

ARCHITECTURES: Mapping[str, Mapping[str, object]] = {
    "robertaEMO": _BASE,
    "robertaEMO_large": _LARGE,
    "robertaEMO_tiny": _TINY,
    "robertEMO_large": _LARGE,  # the spelling of BERT-like (Siriwardhana et al. 2020)
}


_SIZES = {"base": _BASE, "large": _LARGE, "tiny": _TINY}  # of scratch:SIZE


def complete_config(config: DictConfig, encoders: Mapping[str, EncoderSpec]) -> None:
    """Put a value into every field of `config` that is None or absent, in place.

    Sizes are the architecture's; for the encoders that ``scratch:SIZE`` names, that size's. The
    fusion is the default of the number of modalities. Fields that an old checkpoint does not have
    get their defaults.

    Raises:
        UsageError: an unknown size, or a fusion that does not fit.
    """
    for field in fields(RobertaEMOConfig):
        if field.name not in config:
            setattr(config, field.name, field.default)
    for name, value in default_sizes(getattr(config, "_name", None), encoders).items():
        if getattr(config, name) is None:
            setattr(config, name, value)
    config.fusion = fusion_name(config, len(encoders))


def default_sizes(
    architecture: str | None, encoders: Mapping[str, EncoderSpec]
) -> dict[str, object]:
    """Return the sizes that are not given on the command line, by the name of the option.

    Args:
        architecture: ``--arch``; another name than those of `ARCHITECTURES` is the base size.
        encoders: by modality.

    Raises:
        UsageError: an unknown size.
    """
    sizes = dict(ARCHITECTURES.get(architecture or "", _BASE))
    for modality, spec in encoders.items():
        if spec.kind == "features":
            sizes[f"{modality}_encoder_layers"] = 0
        if spec.kind == "scratch" and spec.source:
            sizes.update(_scratch_sizes(modality, spec))
    return sizes


def _scratch_sizes(modality: str, spec: EncoderSpec) -> dict[str, object]:
    if spec.source not in _SIZES:
        raise UsageError(
            f"--{modality}-encoder {spec.spec}: there is no such size; "
            f"give one of {', '.join(f'scratch:{size}' for size in _SIZES)}",
            "size-unknown",
        )
    size = _SIZES[spec.source]
    return {field: value for field, value in size.items() if field.startswith(f"{modality}_")}

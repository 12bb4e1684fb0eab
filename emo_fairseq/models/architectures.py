"""Named architectures: what each fills in where the command line says nothing.

The fields of :class:`~emo_fairseq.models.roberta_emo.RobertaEMOConfig` that a size decides are
None by default. They are filled from here when the model is built, by whichever road the
configuration came (``--arch``, a Hydra YAML), and written back, so that a checkpoint holds them.
"""

from collections.abc import Mapping

from omegaconf import DictConfig

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
    "fusion_embed_dim": 768,
    "encoder_layers_cross": 1,
    "encoder_attention_heads": 12,
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
    "fusion_embed_dim": 1024,
    "encoder_attention_heads": 16,
}

_TINY = {
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
    "fusion_embed_dim": 128,
    "encoder_layers_cross": 1,
    "encoder_attention_heads": 4,
}

ARCHITECTURES: Mapping[str, Mapping[str, object]] = {
    "robertaEMO": _BASE,
    "robertaEMO_large": _LARGE,
    "robertaEMO_tiny": _TINY,
    "robertEMO_large": _LARGE,  # the seed's spelling
}


def fill_from_architecture(config: DictConfig) -> None:
    """Put the architecture's value into every field of `config` that is None, in place."""
    name = getattr(config, "_name", None) or "robertaEMO"
    for field, value in ARCHITECTURES[name].items():
        if getattr(config, field, None) is None:
            setattr(config, field, value)

"""Named architectures: what each fills in where the command line says nothing.

The fields of :class:`~emo_fairseq.models.roberta_emo.RobertaEMOConfig` that a size decides are
None by default. They are filled from here when the model is built, by whichever road the
configuration came (``--arch``, a Hydra YAML), and written back, so that a checkpoint holds them.
"""

from collections.abc import Mapping
from dataclasses import fields

from omegaconf import DictConfig

from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.models.config import RobertaEMOConfig

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
    "robertEMO_large": _LARGE,  # the seed's spelling
}


_SIZES = {"base": _BASE, "large": _LARGE, "tiny": _TINY}  # of scratch:SIZE
_PER_ENCODER = ("encoder_layers", "embed_dim", "ffn_embed_dim", "attention_heads")


def add_new_fields(config: DictConfig) -> None:
    """Give `config`, which may be of an old checkpoint, the fields that came later, in place."""
    for field in fields(RobertaEMOConfig):
        if field.name not in config:
            setattr(config, field.name, field.default)


def fill_from_architecture(config: DictConfig, cards: Mapping[str, EncoderSpec]) -> None:
    """Put a value into every field of `config` that is None, in place.

    It is the architecture's; for the encoders that ``scratch:SIZE`` asks for, that size's.

    Raises:
        UsageError: an unknown size.
    """
    values = dict(ARCHITECTURES[getattr(config, "_name", None) or "robertaEMO"])
    for modality, card in cards.items():
        if card.kind == "features":
            values[f"{modality}_encoder_layers"] = 0
        if card.kind == "scratch" and card.place:
            values.update(_sizes_of(modality, card))
    for field, value in values.items():
        if getattr(config, field, None) is None:
            setattr(config, field, value)


def check_sizes_given(config: DictConfig, cards: Mapping[str, EncoderSpec]) -> None:
    """Refuse sizes that nothing would obey: a pretrained encoder brings its own.

    Raises:
        UsageError: one is given.
    """
    for modality, card in cards.items():
        given = [
            f"--{name.replace('_', '-')}"
            for name in (f"{modality}_{part}" for part in _PER_ENCODER)
            if getattr(config, name, None) is not None
        ]
        if given and card.is_pretrained:
            raise UsageError(
                f"{', '.join(given)}: the encoder {card.spec} brings its own sizes; leave them out"
            )


def _sizes_of(modality: str, card: EncoderSpec) -> dict[str, object]:
    if card.place not in _SIZES:
        raise UsageError(
            f"--{modality}-encoder {card.spec}: there is no such size; "
            f"give one of {', '.join(f'scratch:{size}' for size in _SIZES)}"
        )
    size = _SIZES[card.place]
    return {field: value for field, value in size.items() if field.startswith(f"{modality}_")}

"""Numbers that an option may take, where the parts that use them would not say no by themselves."""

from typing import Any, NamedTuple

from emo_fairseq.errors import UsageError
from emo_fairseq.types import MODALITIES


class _Range(NamedTuple):
    least: float
    below: float = float("inf")
    why: str = ""

    def allows(self, value: float) -> bool:
        return self.least <= value < self.below

    def wanted(self) -> str:
        """What to give instead."""
        bound = "" if self.below == float("inf") else f", and less than {self.below:g}"
        return f"{self.why}give {self.least:g} or more{bound}"


_TOKENS = _Range(2, why="a limit of {} tokens has no room for <s> and </s>; ")
_PROBABILITY = _Range(0, 1)
_WIDTH = _Range(1, 2**16 + 1, why="a size of {} gives a constant output, or fills the memory; ")
_LAYERS = _Range(0, 1001)

RANGES = {
    "context_past": _Range(0),
    "context_future": _Range(0),
    "max_frames": _Range(1),
    "max_text_tokens": _TOKENS,
    "max_speech_tokens": _TOKENS,
    "lmf_rank": _Range(1),
    "curriculum_epochs": _Range(1),
    "curriculum_final_dropout": _PROBABILITY,
    "modality_dropout": _PROBABILITY,
    "dropout": _PROBABILITY,
    "attention_dropout": _PROBABILITY,
    "text_encoder_dropout": _PROBABILITY,
    "speech_encoder_dropout": _PROBABILITY,
    "pooler_dropout": _PROBABILITY,
    "lora_dropout": _PROBABILITY,
    **dict.fromkeys(
        (
            *(f"{name}_embed_dim" for name in (*MODALITIES, "fusion")),
            *(f"{name}_ffn_embed_dim" for name in MODALITIES),
            *(f"{name}_attention_heads" for name in (*MODALITIES, "encoder")),
            *("embedding_dim", "speech_conv_channels"),
        ),
        _WIDTH,
    ),
    "lora_rank": _Range(1, 2**16 + 1, why="LoRA needs a rank of at least 1; "),
    **{f"{name}_encoder_layers": _LAYERS for name in MODALITIES},
    "encoder_layers_cross": _Range(1, 1001),
    "augment_gain": _Range(0),
    "augment_time_masks": _Range(0),
    "augment_time_mask_width": _Range(1),
    "augment_feature_masks": _Range(0),
    "augment_feature_mask_width": _Range(1),
    "augment_token_dropout": _PROBABILITY,
}


def check_ranges(cfg: Any) -> None:
    """See that the options in `cfg` are within their ranges; one that is None is not given.

    Raises:
        UsageError: one is not.
    """
    for name, allowed in RANGES.items():
        value = getattr(cfg, name, None)
        if value is not None and not allowed.allows(value):
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(f"{flag} {value}: {allowed.wanted().format(value)}")

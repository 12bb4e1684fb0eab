"""When each option of the model acts."""

from functools import partial

from emo_fairseq.options.rule import (
    Rule,
    Run,
    of_unread,
)
from emo_fairseq.types import (
    FROZEN,
    FULL,
    LOG_MEL,
    LORA,
    MODALITIES,
    SPEECH,
    TEXT,
    WAVEFORM,
)


def _learns(modality: str, run: Run) -> bool:
    return run.tuning(modality) != FROZEN


def _has_layers(modality: str, run: Run) -> bool:
    """Whether there are layers of ours; features have none unless asked for."""
    asked = bool(getattr(run.model, f"{modality}_encoder_layers", None))
    return asked or not run.is_own(modality, "features")


def _learns_pretrained(modality: str, run: Run) -> bool:
    return modality in run.cards and not run.is_own(modality) and _learns(modality, run)


MODEL_RULES = (
    *(of_unread(name, "{}_tuning", "{}_layer", "{}_pooling", "{}_lr_scale") for name in MODALITIES),
    *(
        Rule([f"{name}_lr_scale"], partial(_learns, name), f"the {name} encoder is frozen")
        for name in MODALITIES
    ),
    *(
        Rule(
            [f"{name}_ffn_embed_dim", f"{name}_attention_heads"],
            partial(_has_layers, name),
            f"features have no layers without --{name}-encoder-layers",
        )
        for name in MODALITIES
    ),
    Rule(
        ["speech_conv_layers", "speech_conv_channels"],
        lambda run: not run.reads(SPEECH) or run.is_own(SPEECH, "scratch"),
        "the speech encoder is not from scratch",
    ),
    Rule(
        ["layer_lr_decay", "checkpoint_activations"],
        lambda run: run.tuned(FULL, LORA),
        "every encoder is frozen",
    ),
    Rule(
        ["lora_rank", "lora_alpha", "lora_dropout", "lora_targets"],
        lambda run: run.tuned(LORA),
        "no encoder has --{some}-tuning lora",
    ),
    Rule(
        ["dropout"],
        lambda run: any(map(run.is_own, run.cards)) or run.fusion() != "concat",
        "pretrained encoders have their own (see --text-encoder-dropout and "
        "--speech-encoder-dropout), and --fusion concat has none",
    ),
    Rule(
        ["attention_dropout"],
        lambda run: any(map(run.is_own, run.cards)) or run.fusion() == "cross_attention",
        "pretrained encoders have their own (see --text-encoder-dropout and "
        "--speech-encoder-dropout), and there is no cross-attention",
    ),
    *(
        Rule(
            [f"{name}_encoder_dropout"],
            partial(_learns_pretrained, name),
            f"there is no {name} encoder that is pretrained and trained on; see --dropout",
        )
        for name in (TEXT, SPEECH)
    ),
    Rule(["modality_dropout"], lambda run: len(run.cards) > 1, "there is one modality only"),
)

# Sizes are only warned of: the seed's commands carry those of what they do not read.
SIZES = (
    *(
        of_unread(
            name, "{}_encoder_layers", "{}_embed_dim", "{}_ffn_embed_dim", "{}_attention_heads"
        )
        for name in MODALITIES
    ),
    Rule(
        ["speech_conv_layers"],
        lambda run: run.reads(SPEECH, WAVEFORM),
        "no encoder from scratch hears waveforms",
    ),
    Rule(
        ["speech_conv_channels"],
        lambda run: run.reads(SPEECH, LOG_MEL),
        "no encoder from scratch hears log-mel frames",
    ),
)

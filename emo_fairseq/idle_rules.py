"""When each option acts: the tables of :mod:`emo_fairseq.idle_options`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from emo_fairseq.encoder_card import EncoderCard
from emo_fairseq.fusion_options import fusion_name
from emo_fairseq.inputs import FRAMES, LOG_MEL, TOKENS, WAVEFORM
from emo_fairseq.modalities import MODALITIES, SPEECH, TEXT

FULL, FROZEN, LORA = "full", "frozen", "lora"  # of --{modality}-tuning
_OWN = ("scratch", "features")  # kinds of encoders that are built to our sizes, not pretrained


@dataclass(frozen=True)
class Run:
    """What the conditions look at; `model` is there only for the model's options."""

    cards: Mapping[str, EncoderCard]
    task: Any
    model: Any = None

    def reads(self, modality: str, *inputs: str) -> bool:
        """Whether it reads the modality, and as one of these inputs."""
        return modality in self.cards and (not inputs or self.cards[modality].input in inputs)

    def reads_any(self, kind: str) -> bool:
        return any(card.input == kind for card in self.cards.values())

    def is_own(self, modality: str, *kinds: str) -> bool:
        return modality in self.cards and self.cards[modality].kind in (kinds or _OWN)

    def tuning(self, modality: str) -> str:
        return str(getattr(self.model, f"{modality}_tuning", None) or FULL)

    def tuned(self, *tunings: str) -> bool:
        """Whether one of its encoders has one of these tunings."""
        return any(self.tuning(name) in tunings for name in self.cards)

    def encodes(self, *inputs: str, modality: str | None = None) -> bool:
        """Whether an encoder of these inputs, or this modality's, runs in every batch."""
        return any(
            card.input in inputs
            and modality in (None, name)
            and (self.task.no_encoder_cache or self.tuning(name) != FROZEN)
            for name, card in self.cards.items()
        )

    def fusion(self) -> str:
        return fusion_name(self.model, len(self.cards))


class Rule(NamedTuple):
    """Options; when they act; and what is the matter where they do not."""

    options: Sequence[str]
    acts: Callable[[Run], bool]
    otherwise: str


# -- the tables ------------------------------------------------------------------------------------


def _of_unread(modality: str, *endings: str) -> Rule:
    names = [name.format(modality) for name in endings]
    otherwise = f"--modality {{read}} has no {modality}"
    return Rule(names, lambda run: run.reads(modality), otherwise)


def _reads_tokens(modality: str, run: Run) -> bool:
    return run.reads(modality, TOKENS)


def _learns(modality: str, run: Run) -> bool:
    return run.tuning(modality) != FROZEN


def _has_layers(modality: str, run: Run) -> bool:
    """Whether there are layers of ours; features have none unless asked for."""
    asked = bool(getattr(run.model, f"{modality}_encoder_layers", None))
    return asked or not run.is_own(modality, "features")


def _in_context(run: Run) -> bool:
    return bool(run.task.context_past or run.task.context_future)


def _pools_beyond_first(run: Run) -> bool:
    """Whether the fusion looks at the text's tokens, and not at the first one alone."""
    pooling = str(getattr(run.model, "text_pooling", None) or "first")
    return run.fusion() == "cross_attention" or pooling != "first"


def _hears_loudness(run: Run) -> bool:
    """Whether the speech encoder does not bring every row to unit variance first."""
    given = run.cards[SPEECH].architecture if SPEECH in run.cards else {}
    return not given.get("normalize") and given.get("front_end") != {"do_normalize": True}


# Augmentation, by what it changes.
_OF_AUDIO = ("augment_noise_snr", "augment_noise_color", "augment_gain", "augment_speed")
_OF_TIME = ("augment_time_masks", "augment_time_mask_width")
_OF_FEATURES = ("augment_feature_masks", "augment_feature_mask_width")
_KEPT = "{} frozen, and its outputs are read from disk without --no-encoder-cache"

TASK_RULES = (
    *(_of_unread(name, "{}_encoder", "init_{}_from") for name in MODALITIES),
    _of_unread(SPEECH, "speech_input"),
    *(
        Rule([f"max_{n}_tokens"], partial(_reads_tokens, n), f"no encoder reads {n} as tokens")
        for n in (TEXT, SPEECH)
    ),
    Rule(
        ["max_speech_seconds"],
        lambda run: run.reads(SPEECH, WAVEFORM, LOG_MEL),
        "no encoder hears audio",
    ),
    Rule(
        ["init_token", "separator_token"],
        lambda run: run.reads_any(TOKENS),
        "no encoder reads tokens",
    ),
    Rule(["max_frames"], lambda run: run.reads_any(FRAMES), "no encoder is features:NAME"),
    Rule(
        ["context_past", "context_future", "context_speakers", "context_pooling"],
        lambda run: run.reads(TEXT, TOKENS),
        "no encoder reads text as tokens",
    ),
    Rule(
        ["context_speakers", "context_pooling"],
        _in_context,
        "there is no --context-past and no --context-future",
    ),
    Rule(
        [
            *("curriculum_pacing", "curriculum_epochs"),
            *("curriculum_preset", "curriculum_final_dropout"),
        ],
        lambda run: str(run.task.curriculum_order) != "none",
        "there is no --curriculum-order",
    ),
    Rule(
        ["curriculum_preset"],
        lambda run: str(run.task.curriculum_order) == "preset",
        "it belongs to --curriculum-order preset",
    ),
    Rule(_OF_AUDIO, lambda run: run.reads(SPEECH, WAVEFORM, LOG_MEL), "no encoder hears audio"),
    Rule(["augment_gain"], _hears_loudness, "the speech encoder makes all utterances equally loud"),
    Rule(
        ["augment_noise_color"],
        lambda run: run.task.augment_noise_snr is not None,
        "there is no --augment-noise-snr",
    ),
    Rule(
        (*_OF_TIME, *_OF_FEATURES),
        lambda run: run.reads_any(LOG_MEL) or run.reads_any(FRAMES),
        "no encoder reads log-mel frames or is features:NAME",
    ),
    Rule(
        ["augment_time_mask_width"],
        lambda run: run.task.augment_time_masks > 0,
        "there is no --augment-time-masks",
    ),
    Rule(
        ["augment_feature_mask_width"],
        lambda run: run.task.augment_feature_masks > 0,
        "there is no --augment-feature-masks",
    ),
    Rule(
        ["augment_token_dropout"],
        lambda run: run.reads(TEXT, TOKENS),
        "no encoder reads text as tokens",
    ),
)

MODEL_RULES = (
    *(
        _of_unread(name, "{}_tuning", "{}_layer", "{}_pooling", "{}_lr_scale")
        for name in MODALITIES
    ),
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
        "pretrained encoders keep their own, and --fusion concat has none",
    ),
    Rule(
        ["attention_dropout"],
        lambda run: any(map(run.is_own, run.cards)) or run.fusion() == "cross_attention",
        "pretrained encoders keep their own, and there is no cross-attention",
    ),
    Rule(["modality_dropout"], lambda run: len(run.cards) > 1, "there is one modality only"),
)

# Options of the task that act by what the model's say.
TASK_BY_MODEL_RULES = (
    Rule(
        ["cache_dir", "cache_dtype", "no_encoder_cache"],
        lambda run: run.tuned(FROZEN),
        "no encoder has --{some}-tuning frozen, and outputs of others are not kept",
    ),
    Rule(
        ["cache_dir", "cache_dtype"],
        lambda run: not run.task.no_encoder_cache,
        "--no-encoder-cache keeps no outputs",
    ),
    Rule(
        ["context_pooling"],
        _pools_beyond_first,
        "--text-pooling first, the default, looks at the first token alone",
    ),
    Rule(
        _OF_AUDIO,
        lambda run: run.encodes(WAVEFORM, LOG_MEL),
        _KEPT.format("the encoder that hears audio is"),
    ),
    Rule(
        (*_OF_TIME, *_OF_FEATURES),
        lambda run: run.encodes(LOG_MEL, FRAMES),
        _KEPT.format("the encoder of frames is"),
    ),
    Rule(
        ["augment_token_dropout"],
        lambda run: run.encodes(TOKENS, modality=TEXT),
        _KEPT.format("the text encoder is"),
    ),
)

# Sizes are only warned of: the seed's commands carry those of what they do not read.
SIZES = (
    *(
        _of_unread(
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

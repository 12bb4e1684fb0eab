"""When each option of the task acts."""

from functools import partial

from emo_fairseq.options.rule import (
    Rule,
    Run,
    of_unread,
)
from emo_fairseq.types import (
    FRAMES,
    FROZEN,
    LOG_MEL,
    MODALITIES,
    SPEECH,
    TEXT,
    TOKENS,
    WAVEFORM,
)


def _reads_tokens(modality: str, run: Run) -> bool:
    return run.reads(modality, TOKENS)


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
    *(of_unread(name, "{}_encoder", "init_{}_from") for name in MODALITIES),
    of_unread(SPEECH, "speech_input"),
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

"""Options that would do nothing are refused, and those that act pass."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.models.config import RobertaEMOConfig
from emo_fairseq.options.checking import (
    check_model_options,
    check_nothing_stays_random,
    check_task_options,
)
from emo_fairseq.options.of_model import (
    MODEL_RULES,
    SIZES,
)
from emo_fairseq.options.of_task import (
    TASK_BY_MODEL_RULES,
    TASK_RULES,
)
from emo_fairseq.options.ranges import RANGES
from emo_fairseq.tasks.config import EmotionPredictionConfig

TEXT = EncoderSpec("scratch:", "tokens")
BERT = EncoderSpec("hf:bert", "tokens")
WAVE = EncoderSpec("scratch:", "waveform")
LOG_MEL = EncoderSpec("scratch:", "log_mel")
CODES = EncoderSpec("scratch:", "tokens")
WAVLM = EncoderSpec("hf:wavlm", "waveform")
STORED = EncoderSpec("features:x", "frames")

Cards = dict[str, EncoderSpec]
Given = dict[str, Any]

AUGMENT_SOUND: Given = {"augment_noise_snr": "5,20", "augment_gain": 3.0, "augment_speed": "0.9,1"}
AUGMENT_FRAMES: Given = {"augment_time_masks": 2, "augment_feature_masks": 2}


def check(cards: Cards, **given: Any) -> None:
    """All that is checked when a model is built; options go to the group that has them."""
    of_task = {n: v for n, v in given.items() if n in EmotionPredictionConfig.__dataclass_fields__}
    of_model = {n: v for n, v in given.items() if n not in of_task}
    task, model = EmotionPredictionConfig(**of_task), RobertaEMOConfig(**of_model)
    check_task_options(task, EmotionPredictionConfig, cards)
    check_model_options(model, RobertaEMOConfig, task, EmotionPredictionConfig, cards)


# For each option: encoders beside which it acts, and some beside which it does not.
CASES: dict[str, tuple[Cards, Cards, Given, Given]] = {
    name: (acting, idle, given, {})
    for idle, acting, options in (
        (
            {"text": TEXT},
            {"text": TEXT, "speech": LOG_MEL},
            {
                "speech_encoder": "hf:x",
                "init_speech_from": "x.pt",
                "speech_input": "log_mel",
                "max_speech_seconds": 3.0,
                "speech_layer": "1",
                "speech_pooling": "attention",
                "speech_lr_scale": 0.1,
                "speech_tuning": "lora",
                "modality_dropout": 0.1,
            },
        ),
        (
            {"speech": WAVE},
            {"text": TEXT},
            {
                "text_encoder": "hf:x",
                "init_text_from": "x.pt",
                "max_text_tokens": 9,
                "text_layer": "1",
                "text_pooling": "mean",
                "text_lr_scale": 0.1,
                "text_tuning": "frozen",
                "context_past": 1,
                "context_future": 1,
                "init_token": 1,
                "separator_token": 1,
            },
        ),
        (
            {"text": TEXT},
            {"text": TEXT, "video": STORED},
            {
                "video_encoder": "features:x",
                "init_video_from": "x.pt",
                "max_frames": 4,
                "video_layer": "0",
                "video_pooling": "attention",
                "video_lr_scale": 2.0,
                "video_tuning": "frozen",
            },
        ),
        ({"speech": WAVE}, {"speech": CODES}, {"max_speech_tokens": 9}),
        ({"speech": CODES}, {"speech": WAVLM}, {"max_speech_seconds": 3.0}),
        ({"text": BERT}, {"text": TEXT}, {"dropout": 0.2, "attention_dropout": 0.2}),
        ({"text": BERT}, {"text": BERT, "speech": WAVLM}, {"dropout": 0.2}),
        ({"text": TEXT}, {"text": BERT}, {"text_encoder_dropout": 0.2}),
        ({"speech": WAVE}, {"speech": WAVLM}, {"speech_encoder_dropout": 0.0}),
        ({"speech": WAVLM}, {"speech": WAVE}, {"speech_conv_layers": "[(8, 10, 5)]"}),
        ({"speech": STORED}, {"speech": LOG_MEL}, {"speech_conv_channels": 8}),
        ({"text": TEXT, "speech": CODES}, {"speech": LOG_MEL}, AUGMENT_SOUND),
        ({"speech": WAVLM}, {"speech": LOG_MEL}, AUGMENT_FRAMES),
        ({"speech": CODES}, {"text": BERT}, {"augment_token_dropout": 0.1}),
    )
    for name, given in ((n, {n: v}) for n, v in options.items())
}
BESIDE: dict[str, tuple[Cards, Cards, Given, Given]] = {
    name: ({"text": TEXT}, {"text": TEXT}, {name: value, **beside}, {name: value, **without})
    for options, beside, without in (
        (
            {"lora_rank": 4, "lora_alpha": 4.0, "lora_dropout": 0.1, "lora_targets": "ffn"},
            {"text_tuning": "lora"},
            {"text_tuning": "frozen"},
        ),
        (
            {"cache_dir": "x", "cache_dtype": "float32"},
            {"text_tuning": "frozen"},
            {"text_tuning": "frozen", "no_encoder_cache": True},
        ),
        ({"no_encoder_cache": True}, {"text_tuning": "frozen"}, {}),
        (
            {
                "curriculum_pacing": "sqrt",
                "curriculum_epochs": 5,
                "curriculum_final_dropout": 0.1,
            },
            {"curriculum_order": "random"},
            {},
        ),
        (
            {"curriculum_preset": "order.txt"},
            {"curriculum_order": "preset"},
            {"curriculum_order": "random"},
        ),
        (
            {"layer_lr_decay": 0.9, "checkpoint_activations": True, "text_lr_scale": 0.1},
            {},
            {"text_tuning": "frozen"},
        ),
        ({"context_speakers": True}, {"context_future": 2}, {}),
        (
            {"context_pooling": "all"},
            {"context_past": 2, "text_pooling": "mean"},
            {"context_past": 2},
        ),
    )
    for name, value in options.items()
}
BESIDE |= {
    name: (
        {"speech": STORED},
        {"speech": STORED},
        {name: 2, "speech_encoder_layers": 1},
        {name: 2},
    )
    for name in ("speech_ffn_embed_dim", "speech_attention_heads")
}
BESIDE |= {
    name: ({"speech": LOG_MEL}, {"speech": LOG_MEL}, {name: value, **beside}, {name: value})
    for name, value, beside in (
        ("augment_noise_color", "pink", {"augment_noise_snr": "5,20"}),
        ("augment_time_mask_width", 9, {"augment_time_masks": 1}),
        ("augment_feature_mask_width", 9, {"augment_feature_masks": 1}),
    )
}
ALL = [*CASES.items(), *BESIDE.items()]

# Augmentations do not reach outputs that were computed once.
KEPT = [
    ({"speech": WAVE}, name, value, "speech_tuning") for name, value in AUGMENT_SOUND.items()
] + [
    *(({"video": STORED}, name, value, "video_tuning") for name, value in AUGMENT_FRAMES.items()),
    ({"text": TEXT, "speech": CODES}, "augment_token_dropout", 0.1, "text_tuning"),
]


@pytest.mark.parametrize(("name", "case"), ALL, ids=[name for name, _ in ALL])
def test_an_option_acts_or_is_refused(name: str, case: tuple[Cards, Cards, Given, Given]) -> None:
    acting, idle, given, without = case
    check(acting, **given)
    flag = f"--{name.replace('_', '-')}"
    with pytest.raises(UsageError, match=rf"{flag}.* not act: .*; leave (it|them) out$"):
        check(idle, **(without or given))


@pytest.mark.parametrize(("cards", "name", "value", "tuning"), KEPT, ids=[k[1] for k in KEPT])
def test_augmentation_of_a_frozen_encoder_needs_it_to_run(
    cards: Cards, name: str, value: Any, tuning: str
) -> None:
    given = {name: value, tuning: "frozen"}
    check(cards, **given, no_encoder_cache=True)
    check(cards, **(given | {tuning: "lora"}))
    with pytest.raises(UsageError, match="not act: .* frozen, .*without --no-encoder-cache; leave"):
        check(cards, **given)


def test_augmentation_acts_if_one_of_two_encoders_runs() -> None:
    both = {"speech": LOG_MEL, "video": STORED}
    check(both, augment_time_masks=2, speech_tuning="frozen")
    with pytest.raises(UsageError, match="--augment-time-masks does not act"):
        check(both, augment_time_masks=2, speech_tuning="frozen", video_tuning="frozen")


@pytest.mark.parametrize(
    ("spec", "normalizing", "other"),
    [
        ("hf:x", {"front_end": {"do_normalize": True}}, {"front_end": {"do_normalize": False}}),
        ("fairseq:x.pt", {"normalize": True}, {"normalize": False}),
    ],
)
def test_gain_does_not_reach_an_encoder_that_normalizes(
    spec: str, normalizing: Given, other: Given
) -> None:
    check({"speech": EncoderSpec(spec, "waveform", other)}, augment_gain=3.0)
    with pytest.raises(UsageError, match="not act: .* makes all utterances equally loud"):
        check({"speech": EncoderSpec(spec, "waveform", normalizing)}, augment_gain=3.0)


def test_every_option_of_the_tables_is_tested_here() -> None:
    tables = (TASK_RULES, MODEL_RULES, TASK_BY_MODEL_RULES)
    known = {name for rules in tables for rule in rules for name in rule.options}
    alike = {f"video_{part}" for part in ("ffn_embed_dim", "attention_heads")}
    alike |= {f"text_{part}" for part in ("ffn_embed_dim", "attention_heads")}
    assert known - alike == {name for name, _ in ALL}
    fields = {*EmotionPredictionConfig.__dataclass_fields__, *RobertaEMOConfig.__dataclass_fields__}
    sizes = {name for rule in SIZES for name in rule.options}
    assert known | sizes | RANGES.keys() <= fields


def test_the_sentence_says_why() -> None:
    with pytest.raises(UsageError) as caught:
        check({"text": TEXT}, speech_encoder="hf:x", init_speech_from="x.pt")
    assert str(caught.value) == (
        "--speech-encoder, --init-speech-from do not act: --modality text has no speech; "
        "leave them out"
    )
    with pytest.raises(UsageError) as caught:
        check({"speech": WAVE}, lora_rank=2)
    assert str(caught.value) == (
        "--lora-rank does not act: no encoder has --speech-tuning lora; leave it out"
    )


@pytest.mark.parametrize("cards", [{"text": TEXT}, {"speech": CODES}, {"text": BERT}])
def test_the_seeds_idle_sizes_are_warned_of(cards: Cards, caplog: pytest.LogCaptureFixture) -> None:
    """Its commands for one modality carry the sizes of the other one."""
    given = dict.fromkeys([f"{n}_embed_dim" for n in ("text", "speech", "video") if n not in cards])
    with caplog.at_level(logging.WARNING):
        check(cards, **dict.fromkeys(given, 8), speech_conv_layers="[(8, 10, 5)]")
    heard = [record.getMessage() for record in caplog.records]
    assert len(heard) == 3
    assert all("nothing to act on, " in message for message in heard)


def test_defaults_pass_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    for cards in ({"text": TEXT}, {"speech": WAVLM}, {"text": BERT, "video": STORED}):
        check(cards, max_speech_seconds=20.0, cache_dtype="float16", lora_rank=8)
    assert not caplog.records


OUT_OF_RANGE = {
    "context_past": -1,
    "context_future": -1,
    "max_frames": 0,
    "max_text_tokens": 1,
    "max_speech_tokens": 1,
    "lmf_rank": 0,
    "curriculum_epochs": 0,
    "curriculum_final_dropout": 1.0,
    "modality_dropout": 1.0,
    "dropout": -0.1,
    "attention_dropout": 1.0,
    "text_encoder_dropout": 1.0,
    "speech_encoder_dropout": -0.1,
    **dict.fromkeys(
        (
            *(f"{name}_embed_dim" for name in ("text", "speech", "video", "fusion")),
            *(f"{name}_ffn_embed_dim" for name in ("text", "speech", "video")),
            *(f"{name}_attention_heads" for name in ("text", "speech", "video", "encoder")),
            *("embedding_dim", "speech_conv_channels", "lora_rank", "encoder_layers_cross"),
        ),
        0,
    ),
    **{f"{name}_encoder_layers": 10_000_000 for name in ("text", "speech", "video")},
    "pooler_dropout": 1.5,
    "lora_dropout": 1.0,
    "augment_gain": -3.0,
    "augment_time_masks": -1,
    "augment_time_mask_width": 0,
    "augment_feature_masks": -1,
    "augment_feature_mask_width": 0,
    "augment_token_dropout": 1.0,
}


def test_every_range_is_tested_here() -> None:
    assert OUT_OF_RANGE.keys() == RANGES.keys()


@pytest.mark.parametrize("name", OUT_OF_RANGE)
def test_numbers_out_of_range_are_refused(name: str) -> None:
    value = OUT_OF_RANGE[name]
    with pytest.raises(UsageError, match=rf"--{name.replace('_', '-')} {value}: .*give .* or more"):
        check({"text": TEXT, "speech": CODES}, **{name: value})


@pytest.mark.parametrize(
    ("cards", "model", "task", "message"),
    [
        ({"text": TEXT}, {"text_tuning": "frozen"}, {}, "--text-tuning frozen: the text encoder"),
        ({"text": TEXT}, {"text_tuning": "lora"}, {}, "--text-tuning lora: .* random weights"),
        ({"video": STORED}, {"video_tuning": "frozen"}, {}, "add --init-from or --init-video-from"),
        ({"text": TEXT}, {"fusion_tuning": "frozen"}, {"init_text_from": "x"}, "add --init-from"),
        ({"text": TEXT}, {"text_tuning": "frozen"}, {"init_text_from": "x"}, None),
        ({"text": TEXT}, {"text_tuning": "lora", "fusion_tuning": "frozen"}, {"init_from": "x"}, 0),
        ({"text": BERT}, {"text_tuning": "lora"}, {}, None),
        ({"text": TEXT}, {}, {}, None),
    ],
)
def test_random_weights_are_not_kept(
    cards: Cards, model: Given, task: Given, message: str | None
) -> None:
    blank = {"init_from": None, **{f"init_{name}_from": None for name in cards}}
    options = SimpleNamespace(**{**blank, **task})
    if message:
        with pytest.raises(UsageError, match=message):
            check_nothing_stays_random(RobertaEMOConfig(**model), options, cards)
    else:
        check_nothing_stays_random(RobertaEMOConfig(**model), options, cards)

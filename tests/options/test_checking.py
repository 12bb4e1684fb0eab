"""Options out of range, or without effect, are refused; each option's rule is beside it."""

import logging
import math
from typing import Any

import pytest
from codes import raises

from emo_fairseq.criterions.registered import EmotionSupConConfig
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.models.config import RobertaEMOConfig
from emo_fairseq.models.fusions import FUSIONS
from emo_fairseq.options.checking import (
    check_nothing_stays_random,
    check_options,
    check_ranges,
)
from emo_fairseq.options.conditions import OptionContext
from emo_fairseq.options.option import Kind, Rule, flag, rules_of
from emo_fairseq.options.registered import kind_of, registered_schemas
from emo_fairseq.targets import TARGETS
from emo_fairseq.tasks.config import EmotionPredictionConfig

TEXT = EncoderSpec("scratch:", "tokens")
BERT = EncoderSpec("hf:bert", "tokens")
WAVE = EncoderSpec("scratch:", "waveform")
LOG_MEL = EncoderSpec("scratch:", "log_mel")
CODES = EncoderSpec("scratch:", "tokens")
WAVLM = EncoderSpec("hf:wavlm", "waveform")
WHISPER = EncoderSpec("hf:whisper", "waveform", {"config": {"model_type": "whisper"}})
STORED = EncoderSpec("features:x", "frames")

Encoders = dict[str, EncoderSpec]
Given = dict[str, Any]
EVERY = [
    pytest.param(schema, name, rule, id=f"{schema.__name__}.{name}")
    for schemas in registered_schemas().values()
    for schema in dict.fromkeys(schemas.values())
    for name, rule in rules_of(schema).items()
]


def check(encoders: Encoders, target: str = "emotion", **given: Any) -> None:
    """Check options as a training does; each goes to the group that has it."""
    groups: dict[type, Given] = {
        schema: {name: given.pop(name) for name in list(given) if name in rules_of(schema)}
        for schema in (EmotionPredictionConfig, RobertaEMOConfig, EmotionSupConConfig)
    }
    assert not given
    task, model, criterion = (schema(**options) for schema, options in groups.items())
    context = OptionContext(encoders, task, TARGETS[target])
    check_options(context, task, EmotionPredictionConfig)
    context = OptionContext(encoders, task, TARGETS[target], model=model)
    check_options(context, model, RobertaEMOConfig)
    check_options(context, task, EmotionPredictionConfig)
    context = OptionContext(encoders, task, TARGETS[target], criterion=criterion)
    check_options(context, criterion, EmotionSupConConfig)


# -- every option's rule ---------------------------------------------------------------------------


@pytest.mark.parametrize(("schema", "name", "rule"), EVERY)
def test_a_rule_is_complete_and_permits_the_default(schema: type, name: str, rule: Rule) -> None:
    assert rule.help
    assert not rule.is_given(rule.default)
    for condition in rule.acts:
        assert condition.needs in OptionContext.__dataclass_fields__
        assert "{" not in condition.describe()
    if rule.range is None:
        return
    assert rule.default is None or rule.default in rule.range
    ends = [rule.range.least - 1, rule.range.above, rule.range.below, rule.range.most + 1]
    for value in (*ends, math.nan, math.inf, -math.inf):
        cfg = schema()
        setattr(cfg, name, value)
        with raises("option-out-of-range") as error:
            check_ranges(cfg, schema)
        assert f"{flag(name)} {value}: " in str(error.value)


def test_every_field_has_a_rule_and_every_option_of_a_fusion_is_one() -> None:
    for schemas in registered_schemas().values():
        for schema in schemas.values():
            assert schema.__dataclass_fields__.keys() - rules_of(schema).keys() <= {"_name", "lr"}
    of_fusions = {name for entry in FUSIONS.values() for name in entry.options}
    assert of_fusions <= rules_of(RobertaEMOConfig).keys()


# -- options without effect ------------------------------------------------------------------------

BOTH = {"text": TEXT, "speech": LOG_MEL}


@pytest.mark.parametrize(
    ("acting", "idle", "options"),
    [
        (BOTH, {"text": TEXT}, {"speech_encoder": "hf:x"}),
        (BOTH, {"text": TEXT}, {"speech_tuning": "lora"}),
        (BOTH, {"text": TEXT}, {"modality_dropout": 0.1}),
        (BOTH, {"text": TEXT}, {"max_speech_seconds": 3.0}),
        (BOTH, {"speech": WAVE}, {"init_token": 1}),
        ({"video": STORED}, {"text": TEXT}, {"max_frames": 4}),
        ({"speech": CODES}, {"speech": WAVE}, {"max_speech_tokens": 9}),
        ({"text": TEXT}, {"text": BERT}, {"dropout": 0.2}),
        ({"text": TEXT}, {"text": BERT}, {"text_embed_dim": 8}),
        ({"text": BERT}, {"text": TEXT}, {"text_encoder_dropout": 0.2}),
        ({"speech": LOG_MEL}, {"speech": STORED}, {"speech_ffn_embed_dim": 8}),
        ({"speech": LOG_MEL}, {"speech": STORED}, {"speech_conv_channels": 8}),
        ({"speech": LOG_MEL}, {"speech": WAVLM}, {"augment_time_masks": 2}),
        ({"speech": WAVLM}, {"speech": WHISPER}, {"cache_dtype": "float32"}),
        ({"speech": WAVLM}, {"speech": CODES}, {"augment_speed": "0.9,1"}),
    ],
)
def test_an_option_acts_by_what_is_read(acting: Encoders, idle: Encoders, options: Given) -> None:
    check(acting, **options)
    with raises("option-idle") as error:
        check(idle, **options)
    assert f"{flag(*options)} does not act: " in str(error.value)


def test_copies_are_of_an_encoder_whose_outputs_are_stored() -> None:
    copies: Given = {"augment_noise_snr": "5,20", "augment_copies": 2}
    check({"speech": WAVLM}, **copies)
    check({"speech": WAVE}, speech_tuning="lora", **copies)  # which freezes the front end
    check({"speech": WHISPER}, speech_tuning="frozen", **copies)
    for options in ({}, {"speech_tuning": "lora"}, {"speech_freeze_layers": 1}):
        with raises("option-idle") as error:
            check({"speech": WHISPER}, **options, **copies)
        assert "--augment-copies does not act: " in str(error.value)


@pytest.mark.parametrize(
    ("options", "beside", "without"),
    [
        ({"lora_rank": 4}, {"text_tuning": "lora"}, {"text_tuning": "frozen"}),
        ({"text_lr_scale": 0.1}, {}, {"text_tuning": "frozen"}),
        ({"checkpoint_weights": "trained"}, {"text_tuning": "frozen"}, {}),
        ({"unfreeze_every": 5}, {}, {"text_tuning": "lora"}),
        ({"cache_dir": "x"}, {"text_tuning": "frozen"}, {}),
        (
            {"cache_dir": "x"},
            {"text_tuning": "frozen"},
            {"text_tuning": "frozen", "no_encoder_cache": True},
        ),
        ({"no_encoder_cache": True}, {"text_tuning": "frozen"}, {}),
        ({"curriculum_pacing": "sqrt"}, {"curriculum_order": "random"}, {}),
        (
            {"curriculum_preset": "x"},
            {"curriculum_order": "preset"},
            {"curriculum_order": "random"},
        ),
        ({"context_speakers": True}, {"context_future": 2}, {}),
        (
            {"context_pooling": "all"},
            {"context_past": 2, "text_pooling": "mean"},
            {"context_past": 2},
        ),
        ({"prototype_alpha": 2.0}, {"supcon_weighting": "v1"}, {"supcon_weighting": "v2"}),
        (
            {"prototype_quantile": 0.3},
            {"supcon_weighting": "v3"},
            {"supcon_weighting": "v3", "prototype_threshold": 0.3},
        ),
        ({"prototype_momentum": 0.5}, {"prototype_learning": "ema", "supcon_weighting": "v1"}, {}),
        (
            {"effective_number_beta": 0.9},
            {"class_weighting": "effective_number"},
            {"class_weighting": "inverse_frequency"},
        ),
        ({"adversary_warmup_updates": 5}, {"speaker_adversary_weight": 1.0}, {}),
        ({"auxiliary_weights": "vad=1"}, {"auxiliary_targets": "vad"}, {}),
    ],
)
def test_an_option_acts_beside_others(options: Given, beside: Given, without: Given) -> None:
    text = {"text": BERT if "checkpoint_weights" in options else TEXT}
    check(text, **options, **beside)
    with raises("option-idle"):
        check(text, **options, **without)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_an_option_of_fusions_acts_on_those_that_use_it(fusion: str) -> None:
    values: Given = {"cross_attention_query": "first_token", "cross_attention_no_ffn": True}
    for name in {name for entry in FUSIONS.values() for name in entry.options}:
        given = {name: values.get(name, 8), "fusion": fusion}
        if name in FUSIONS[fusion].options:
            check(BOTH, **given)
        else:
            with raises("option-idle"):
                check(BOTH, **given)


def test_options_of_a_loss_act_on_its_kind_of_target() -> None:
    check({"text": TEXT}, "vad", regression_loss="l1")
    check({"text": TEXT}, "emotion", label_smoothing=0.1)
    for target, given in (("emotion", {"regression_loss": "l1"}), ("vad", {"focal_gamma": 1.0})):
        with raises("option-idle"):
            check({"text": TEXT}, target, **given)


@pytest.mark.parametrize(
    ("encoders", "option", "tuning"),
    [
        ({"speech": WAVE}, {"augment_gain": 3.0}, "speech_tuning"),
        ({"video": STORED}, {"augment_feature_masks": 2}, "video_tuning"),
        ({"text": TEXT, "speech": CODES}, {"augment_token_dropout": 0.1}, "text_tuning"),
    ],
)
def test_augmentation_does_not_reach_outputs_computed_once(
    encoders: Encoders, option: Given, tuning: str
) -> None:
    check(encoders, **option, **{tuning: "frozen"}, no_encoder_cache=True)
    check(encoders, **option, **{tuning: "lora"})
    with raises("option-idle"):
        check(encoders, **option, **{tuning: "frozen"})


def test_augmentation_acts_if_one_of_two_encoders_runs() -> None:
    both = {"speech": LOG_MEL, "video": STORED}
    check(both, augment_time_masks=2, speech_tuning="frozen")
    with raises("option-idle"):
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
    with raises("option-idle"):
        check({"speech": EncoderSpec(spec, "waveform", normalizing)}, augment_gain=3.0)


def test_options_without_effect_for_one_reason_share_a_sentence() -> None:
    with raises("option-idle") as error:
        check({"text": TEXT}, speech_encoder="hf:x", init_speech_from="x.pt")
    assert str(error.value) == (
        "--speech-encoder, --init-speech-from do not act: --modality text has no speech; "
        "leave them out"
    )


@pytest.mark.parametrize(
    "options",
    [
        {"speech_embed_dim": 8, "video_embed_dim": 8},
        {"speech_conv_layers": "[(8, 10, 5)]"},
        {"encoder_layers_cross": 2, "encoder_attention_heads": 2},
    ],
)
def test_unused_sizes_of_legacy_commands_are_warned_of(
    options: Given, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        check({"text": TEXT}, **options)
    messages = " ".join(record.getMessage() for record in caplog.records)
    assert all(flag(name) in messages for name in options)


@pytest.mark.parametrize("name", ["save_predictions", "save_attention", "attention_ids"])
def test_a_training_writes_no_predictions(name: str) -> None:
    with raises("option-idle"):
        check({"text": TEXT}, **{name: "x"})


def test_defaults_pass_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    for encoders in ({"text": TEXT}, {"speech": WAVLM}, {"text": BERT, "video": STORED}):
        check(encoders, max_speech_seconds=20.0, cache_dtype="float16", lora_rank=8)
    assert not caplog.records


# -- random weights, and kinds ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoders", "model", "task", "is_refused"),
    [
        ({"text": TEXT}, {"text_tuning": "frozen"}, {}, True),
        ({"text": TEXT}, {"text_tuning": "lora"}, {}, True),
        ({"video": STORED}, {"video_tuning": "frozen"}, {}, True),
        ({"text": TEXT}, {"fusion_tuning": "frozen"}, {"init_text_from": "x"}, True),
        ({"text": TEXT}, {"text_tuning": "frozen"}, {"init_text_from": "x"}, False),
        (BOTH, {"text_tuning": "lora", "fusion_tuning": "frozen"}, {"init_from": "x"}, False),
        ({"text": BERT}, {"text_tuning": "lora"}, {}, False),
        ({"text": TEXT}, {}, {}, False),
    ],
)
def test_random_weights_are_not_kept(
    encoders: Encoders, model: Given, task: Given, is_refused: bool
) -> None:
    cfg, task_cfg = RobertaEMOConfig(**model), EmotionPredictionConfig(**task)
    if is_refused:
        with raises("weights-random"):
            check_nothing_stays_random(cfg, task_cfg, encoders)
    else:
        check_nothing_stays_random(cfg, task_cfg, encoders)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("task.init_speech_from", Kind.OTHER_RUN),
        ("task.prototypes", Kind.OTHER_RUN),
        ("criterion.teacher_checkpoint", Kind.OTHER_RUN),
        ("checkpoint.restore_file", Kind.OTHER_RUN),
        ("checkpoint.finetune_from_model", Kind.OTHER_RUN),
        ("checkpoint.continue_once", Kind.OTHER_RUN),
        ("task.save_predictions", Kind.OUTPUT),
        ("task.cache_dir", Kind.OUTPUT),
        ("task.fold", Kind.DATA),
        ("task.a_only", Kind.LEGACY),
        ("model.dropout", Kind.SETTING),
        ("common.seed", Kind.SETTING),
    ],
)
def test_kinds_of_options_by_their_place_in_a_configuration(name: str, kind: Kind) -> None:
    assert kind_of(name) is kind

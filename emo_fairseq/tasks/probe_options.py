"""What ``--probe`` makes of the options of a run: those it implies, and those that are idle."""

from collections.abc import Iterable, Mapping
from typing import Any

from omegaconf import DictConfig, open_dict

from emo_fairseq.data.augmentation import AugmentationConfig
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import FRAMES, LOG_MEL, SPEECH, TOKENS
from emo_fairseq.models.config import LINEAR, RobertaEMOConfig
from emo_fairseq.option_values import CONCAT, FROZEN
from emo_fairseq.options.option import flag, rules_of
from emo_fairseq.task_state import NO_DIALOGUE_ENCODER
from emo_fairseq.tasks.config import CurriculumConfig, EmotionPredictionConfig

OPTION = "--probe"
# Options that act beside it, of the model and of the criterion.
_OF_MODEL = ("{}_layer", "{}_frozen_pooling", "{}_pooling", "{}_embed_dim", "{}_encoder_layers")
_OF_CONVOLUTIONS = ("speech_conv_layers", "speech_conv_channels")
_OF_MODEL_TOO = ("{}_ffn_embed_dim", "{}_attention_heads", *_OF_CONVOLUTIONS)
_OF_CRITERION = ("class_weighting", "effective_number_beta", "regression_loss", "axis_weights")
_LEARNED = {
    "pooling": ("attention", "attentive_statistics", "channel_statistics"),
    "layer": ("weighted",),
}


def complete_model_options(
    cfg: DictConfig, task_cfg: EmotionPredictionConfig, encoders: Mapping[str, EncoderSpec]
) -> None:
    """Put what the probe implies into the options of the model, in place.

    Frozen encoders, frames as they are, concatenated means (and deviations), and a linear head.

    Raises:
        UsageError: an option that contradicts this, or an encoder with random weights.
    """
    implied = _implied(cfg, task_cfg, encoders)
    acting = {*implied, "checkpoint_weights"}
    acting |= {
        name.format(modality) for name in (*_OF_MODEL, *_OF_MODEL_TOO) for modality in encoders
    }
    _refuse_idle(cfg, RobertaEMOConfig, acting)
    for name, value in implied.items():
        given = getattr(cfg, name, None)
        if rules_of(RobertaEMOConfig)[name].is_given(given) and str(given) != str(value):
            raise UsageError(
                f"{flag(name)} {given}: {OPTION} is a linear layer on pooled outputs of frozen "
                f"encoders, and has {flag(name)} {value}; leave one of the two out",
                "probe-contradicted",
            )
    with open_dict(cfg):
        cfg.update(implied)
        for name, spec in encoders.items():
            is_pooled = getattr(cfg, f"{name}_frozen_pooling", None) is not None
            if not is_pooled and getattr(cfg, f"{name}_pooling", None) is None:
                setattr(cfg, f"{name}_pooling", "mean" if spec.input == TOKENS else "mean_std")


def _implied(
    cfg: DictConfig, task_cfg: EmotionPredictionConfig, encoders: Mapping[str, EncoderSpec]
) -> dict[str, Any]:
    implied: dict[str, Any] = {"head": LINEAR, "pooler_dropout": 0.0}
    if len(encoders) > 1:
        implied["fusion"] = CONCAT
    for name, spec in encoders.items():
        for kind, learned in _LEARNED.items():
            given = str(getattr(cfg, f"{name}_{kind}", None))
            if given in learned and not task_cfg.init_from:
                raise UsageError(
                    f"{flag(f'{name}_{kind}')} {given}: its weights are learned, and {OPTION} "
                    "learns those of the linear layer alone; choose another one",
                    "probe-contradicted",
                )
        if task_cfg.init_from or getattr(task_cfg, f"init_{name}_from") or spec.is_pretrained:
            implied[f"{name}_tuning"] = FROZEN
        elif spec.input in (FRAMES, LOG_MEL):
            implied[f"{name}_embed_dim"] = 0
        else:
            other = " or --speech-input log_mel" if name == SPEECH else ""
            raise UsageError(
                f"{OPTION}: the {name} encoder has random weights, which stay as they are; give "
                f"--{name}-encoder hf:FOLDER, fairseq:CHECKPOINT or features:NAME{other}",
                "probe-without-encoder",
            )
    return implied


def check_task_options(cfg: EmotionPredictionConfig) -> None:
    """Refuse options of the task that act in a training with updates only.

    Raises:
        UsageError: one is given.
    """
    for schema in (AugmentationConfig, CurriculumConfig):
        _refuse_idle(cfg, schema, ())
    if cfg.auxiliary_targets:
        raise _idle(["auxiliary_targets"])
    if str(cfg.dialogue_encoder) != NO_DIALOGUE_ENCODER:
        raise _idle(["dialogue_encoder"])


def check_criterion_options(cfg: object, schema: type) -> None:
    """Refuse options of the criterion that are no part of a logistic or a ridge regression.

    Raises:
        UsageError: one is given.
    """
    _refuse_idle(cfg, schema, _OF_CRITERION)


def parse_strengths(text: str) -> list[float]:
    """Read ``--probe-strengths``.

    >>> parse_strengths("1, 1e-2")
    [0.01, 1.0]

    Raises:
        UsageError: one is no positive number.
    """
    try:
        strengths = sorted({float(word) for word in text.split(",")})
    except ValueError:
        strengths = []
    if not strengths or not 0 < strengths[0] <= strengths[-1] < float("inf"):
        raise UsageError(
            f"--probe-strengths {text}: write positive numbers, joined by commas",
            "option-malformed",
        )
    return strengths


def _refuse_idle(cfg: object, schema: type, acting: Iterable[str]) -> None:
    rules, acts = rules_of(schema), set(acting)
    given = [name for name, rule in rules.items() if rule.is_given(getattr(cfg, name, None))]
    if idle := [name for name in given if name not in acts]:
        raise _idle(idle)


def _idle(names: list[str]) -> UsageError:
    do, it = ("does", "it") if len(names) == 1 else ("do", "them")
    return UsageError(
        f"{', '.join(map(flag, names))} {do} not act: {OPTION} makes no updates; leave {it} out",
        "option-idle",
    )

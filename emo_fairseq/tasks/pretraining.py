"""What a criterion of pretraining requires of the options and the model of a run."""

from collections.abc import Mapping
from typing import Any

from emo_fairseq.data.augmentation import AugmentationConfig
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import TEXT, TOKENS
from emo_fairseq.models.modality_encoder import ModalityEncoder
from emo_fairseq.options.option import rules_of
from emo_fairseq.task_state import NO_DIALOGUE_ENCODER, TaskState
from emo_fairseq.tasks.config import EmotionPredictionConfig

# The criterions whose default --target is none.
CRITERIONS = ("emotion_pretraining", "emotion_masked_lm")


def augments_inputs(cfg: EmotionPredictionConfig) -> bool:
    """Return whether an option changes the inputs at random."""
    rules = rules_of(AugmentationConfig)
    return any(rule.is_given(getattr(cfg, name)) for name, rule in rules.items())


def check_pretraining(cfg: EmotionPredictionConfig) -> None:
    """Check the options of the task.

    Raises:
        UsageError: turns are read within their dialogues.
    """
    if str(cfg.dialogue_encoder) != NO_DIALOGUE_ENCODER:
        raise UsageError(
            f"--dialogue-encoder {cfg.dialogue_encoder}: pretraining reads utterances one by one; "
            "give the option to the training after it",
            "pretraining-of-dialogues",
        )


def check_masks_text(encoders: Mapping[str, ModalityEncoder], state: TaskState) -> None:
    """Check that there are tokens of text to be masked, and that their encoder is trained.

    Raises:
        UsageError: there are none, or it is not.
    """
    if TEXT not in encoders or state.encoders[TEXT].input != TOKENS:
        raise UsageError(
            "--criterion emotion_masked_lm masks tokens of text, and the model reads none; give "
            "--modality text, and no features to --text-encoder",
            "pretraining-without-tokens",
        )
    if encoders[TEXT].frozen:
        raise UsageError(
            "--criterion emotion_masked_lm trains the text encoder, and --text-tuning frozen keeps "
            "it; leave one of them out",
            "options-conflict",
        )


def is_pretraining(criterion: Any) -> bool:
    """Return whether a run's options of the criterion name one of pretraining."""
    return getattr(criterion, "_name", None) in CRITERIONS

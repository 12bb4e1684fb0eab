"""The order in which training reads the train split: its batch sampler and its curriculum."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from emo_fairseq.data.annotations import group_ids, group_names
from emo_fairseq.data.curriculum import (
    BY_DIFFICULTY,
    CLASS_BALANCE,
    MODEL_CONFIDENCE,
    NONE,
    PRESET,
    CurriculumDataset,
    CurriculumTraits,
    read_preset,
)
from emo_fairseq.data.dialogue_dataset import EmotionDataset
from emo_fairseq.data.manifest import Split
from emo_fairseq.data.samplers import SAMPLERS, RowTraits
from emo_fairseq.data.utterance_dataset import UtteranceDataset
from emo_fairseq.errors import UsageError
from emo_fairseq.tasks.class_prototypes import ClassPrototypes
from emo_fairseq.tasks.confidence import ModelConfidence
from emo_fairseq.tasks.config import EmotionPredictionConfig

_OF_SPEAKERS = ("speaker_aware", "speaker_grouped")
_OF_CLASSES = ("class_balanced", "speaker_aware")
_CLASS_ORDERS = (*BY_DIFFICULTY, CLASS_BALANCE)


def order_for_training(
    dataset: EmotionDataset,
    split: Split,
    rows: np.ndarray,
    *,
    cfg: EmotionPredictionConfig,
    has_labels: bool,
    seed: int,
    prototypes: Callable[[], ClassPrototypes],
    confidence: ModelConfidence | None,
) -> EmotionDataset | CurriculumDataset:
    """Order the train split by ``--batch-sampler`` and ``--curriculum-order``.

    Args:
        dataset: of the rows.
        split: that they are of.
        rows: (M,) numbers of the rows in the split.
        cfg: options of the task.
        has_labels: whether labels are predicted.
        seed: of the batches.
        prototypes: gives the classes and, for some orders, the distances to their prototypes.
        confidence: of the model, for the order of that name.

    Raises:
        UsageError: a sampler or an order for which the manifest lacks a column, or the options a
            file.
    """
    sampler, order = str(cfg.batch_sampler), str(cfg.curriculum_order)
    labels = np.full(len(rows), -1)
    names: Sequence[str] = ()
    if has_labels or sampler in _OF_CLASSES or order in _CLASS_ORDERS:
        classes = prototypes().classes
        labels, names = classes.ids(split)[rows], classes.names
    if sampler in _OF_CLASSES and (labels < 0).all():
        raise _column_missing(sampler, split, "emotion")
    speakers = group_ids(split, "speaker", group_names(split, "speaker"))[rows]
    if sampler in _OF_SPEAKERS and (speakers < 0).all():
        raise _column_missing(sampler, split, "speaker")
    if isinstance(dataset, UtteranceDataset):  # dialogues have batches of their own
        traits = RowTraits(dataset.num_tokens_vec(np.arange(len(rows))), labels, speakers)
        dataset.draw_batches(SAMPLERS[sampler], traits, seed)
    if order == NONE:
        return dataset
    by = CurriculumTraits(len(rows), labels=labels)
    if order in BY_DIFFICULTY:
        prototypes().require(f"--curriculum-order {order}")
        by = by._replace(difficulty=prototypes().distances(split)[rows])
    elif order == PRESET:
        if cfg.curriculum_preset is None:
            raise UsageError(
                "--curriculum-order preset: give the file with --curriculum-preset",
                "option-incomplete",
            )
        preset = read_preset(Path(cfg.curriculum_preset), dataset.utterance_ids)
        by = by._replace(preset=preset)
    return CurriculumDataset(
        dataset,
        order,
        str(cfg.curriculum_pacing),
        cfg.curriculum_epochs,
        by,
        seed,
        confidence if order == MODEL_CONFIDENCE else None,
        names,
    )


def _column_missing(sampler: str, split: Split, column: str) -> UsageError:
    return UsageError(
        f"--batch-sampler {sampler}: {split.file} names no {column}s; fill the column {column}, "
        "or leave the option out",
        "column-empty",
    )

"""The order of a task's train split: batch samplers, and the curriculum."""

from pathlib import Path
from typing import Any

import numpy as np

from emo_fairseq.data.annotations import (
    group_ids,
    group_names,
)
from emo_fairseq.data.curriculum import (
    MODEL_CONFIDENCE,
    NONE,
    CurriculumDataset,
    CurriculumTraits,
    read_preset,
)
from emo_fairseq.data.manifest import Split
from emo_fairseq.data.raw_audio_text_dataset import RawAudioTextDataset
from emo_fairseq.data.samplers import (
    SAMPLERS,
    RowTraits,
)
from emo_fairseq.errors import UsageError

_OF_SPEAKERS = ("speaker_aware", "speaker_grouped")
_OF_CLASSES = ("class_balanced", "speaker_aware")
BY_DIFFICULTY = ("difficulty", "inverse_difficulty")
_CLASS_ORDERS = (*BY_DIFFICULTY, "class_balance")


def in_training_order(
    task: Any, dataset: RawAudioTextDataset, part: Split, rows: np.ndarray
) -> Any:
    """The train split as ``--batch-sampler`` and ``--curriculum-order`` show it.

    Args:
        task: an :class:`emo_fairseq.tasks.emotion_prediction.EmotionPredictionTask`.
        dataset: of the rows.
        part: the split.
        rows: (M,) those that are trained on.

    Raises:
        UsageError: a sampler of speakers where the manifest names none, or an order that lacks what
            it goes by.
    """
    cfg = task.cfg
    sampler, order = str(cfg.batch_sampler), str(cfg.curriculum_order)
    labels, names = np.full(len(rows), -1), ()
    if task.target.has_labels or sampler in _OF_CLASSES or order in _CLASS_ORDERS:
        classes = task.class_prototypes.classes
        labels, names = classes.ids(part)[rows], classes.names
    if sampler in _OF_CLASSES and (labels < 0).all():
        raise UsageError(
            f"--batch-sampler {sampler}: {part.file} names no emotions; fill the column emotion, "
            "or leave the option out"
        )
    speakers = group_ids(part, "speaker", group_names(part, "speaker"))[rows]
    if sampler in _OF_SPEAKERS and (speakers < 0).all():
        raise UsageError(
            f"--batch-sampler {sampler}: {part.file} names no speakers; fill the column speaker, "
            "or leave the option out"
        )
    traits = RowTraits(dataset.num_tokens_vec(np.arange(len(rows))), labels, speakers)
    dataset.draw_batches(SAMPLERS[sampler], traits, task.surroundings.seed())
    if order == NONE:
        return dataset
    return CurriculumDataset(
        dataset,
        order,
        str(cfg.curriculum_pacing),
        cfg.curriculum_epochs,
        _curriculum_traits(task, order, dataset, part, rows, labels),
        task.surroundings.seed(),
        task.confidence if order == MODEL_CONFIDENCE else None,
        names,
    )


def _curriculum_traits(
    task: Any,
    order: str,
    dataset: RawAudioTextDataset,
    part: Split,
    rows: np.ndarray,
    labels: np.ndarray,
) -> CurriculumTraits:
    traits = CurriculumTraits(len(rows), labels=labels)
    if order in BY_DIFFICULTY:
        task.class_prototypes.require(f"--curriculum-order {order}")
        return traits._replace(difficulty=task.class_prototypes.distances(part)[rows])
    if order == "preset":
        if task.cfg.curriculum_preset is None:
            raise UsageError("--curriculum-order preset: give the file with --curriculum-preset")
        preset = read_preset(Path(task.cfg.curriculum_preset), dataset.utterance_ids)
        return traits._replace(preset=preset)
    return traits

"""The dataset of a split: rows, inputs and truth, and the order in which training reads them."""

import logging
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from fairseq.data import FairseqDataset

from emo_fairseq.data.annotations import (
    group_ids,
    group_names,
    truth_array,
)
from emo_fairseq.data.augmentation import augment
from emo_fairseq.data.curriculum import (
    MODEL_CONFIDENCE,
    NONE,
    CurriculumDataset,
    CurriculumTraits,
    read_preset,
)
from emo_fairseq.data.fit import check_vocabularies
from emo_fairseq.data.inputs import unchanged
from emo_fairseq.data.manifest import (
    Split,
    read_corpus_file,
    select_rows,
)
from emo_fairseq.data.modality_dataset import MissingDataset, RowsDataset
from emo_fairseq.data.raw_audio_text_dataset import RawAudioTextDataset, presence_cases
from emo_fairseq.data.samplers import (
    SAMPLERS,
    RowTraits,
)
from emo_fairseq.errors import UsageError
from emo_fairseq.types import LabeledTarget, masked_modalities

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


# -- The dataset of a split: its rows, their inputs, their truth, and what criterions asked for

logger = logging.getLogger(__name__)


def build_split(task: Any, name: str, for_training: bool) -> Any:
    """Read a split; rows without truth or input are left out, and counted in the log.

    Args:
        task: an :class:`emo_fairseq.tasks.emotion_prediction.EmotionPredictionTask`.
        name: of the split.
        for_training: shuffled, augmented, and with the annotations of the criterion's terms; or in
            a fixed order, as it is, with the truth of the auxiliary targets alone.

    Raises:
        UsageError: no row can be used, or there is a modality that training would never see.
    """
    source, part = task.source, task.source.split(name)
    if not task.trains:
        task.check_scored(part)
    check_vocabularies(source, part, task.vocabularies())
    masked = masked_modalities(task.cfg.mask_modality, task.modalities)
    present = {
        modality: source.present(modality, part) & (modality not in masked)
        for modality in task.modalities
    }
    rows = select_rows(part, task.target, present)
    heard = {modality: int(here[rows].sum()) for modality, here in present.items()}
    if for_training and masked:
        raise UsageError(f"--mask-modality {task.cfg.mask_modality}: leave it out in training")
    if for_training and 0 in heard.values():
        silent = ", ".join(modality for modality, count in heard.items() if count == 0)
        raise UsageError(f"{part.file}: no row has {silent}; leave it out of --modality")
    if warning := task.missing_warning(masked):
        logger.warning("--mask-modality %s: %s", task.cfg.mask_modality, warning)
    inputs = {
        modality: MissingDataset(len(part.utterances))
        if modality in masked
        else _build_input(task, modality, part, for_training)
        for modality in task.modalities
    }
    dataset = RawAudioTextDataset(
        name,
        [part.utterances[row].id for row in rows],
        {modality: RowsDataset(dataset, rows) for modality, dataset in inputs.items()},
        truth_array(part, task.target, task.labels)[rows],
        shuffle=for_training,
        cases=presence_cases({modality: here[rows] for modality, here in present.items()}),
        annotations={
            key: values[rows] for key, values in _annotations(task, part, for_training).items()
        },
    )
    by_modality = ", ".join(f"{count} with {modality}" for modality, count in heard.items())
    logger.info("%s: %d utterances, %s", name, len(rows), by_modality)
    return in_training_order(task, dataset, part, rows) if for_training else dataset


def _build_input(task: Any, modality: str, part: Split, for_training: bool) -> FairseqDataset:
    """Build the dataset of one modality; of a frozen encoder that of its outputs."""
    is_frozen = task.frozen is not None and modality in task.frozen.encoders
    dataset: FairseqDataset = task.source.build_dataset(
        modality,
        part,
        task.vocabularies().get(modality),
        task.frame_statistics(modality),
        partial(
            augment,
            modality,
            cfg=task.cfg,
            seed=task.surroundings.seed(),
            data_dir=task.source.folder,
        )
        if for_training and not is_frozen
        else unchanged,
    )
    return task.frozen.encode(modality, dataset, part.stored.name) if is_frozen else dataset


def _foreign_labels(task: Any, auxiliary: LabeledTarget) -> list[str]:
    """Labels of the corpus that is scored which the checkpoint, of another corpus, does not know.

    In training there are none: a label beside those of corpus.yaml is a mistake.
    """
    if task.trains or not auxiliary.target.has_labels:
        return []
    (column,) = auxiliary.target.columns
    corpus = read_corpus_file(task.source.folder)
    named = corpus.labels.get(column, ()) if corpus is not None else ()
    return [label for label in named if label not in auxiliary.labels]


def _annotations(task: Any, part: Split, for_training: bool) -> dict[str, np.ndarray]:
    found = {
        name: truth_array(part, other.target, other.labels, _foreign_labels(task, other))
        for name, other in task.auxiliary.items()
    }
    if for_training:
        found |= {name: provide(part) for name, provide in task.annotators.items()}
    return found

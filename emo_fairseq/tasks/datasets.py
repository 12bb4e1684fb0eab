"""The dataset of a split: rows, inputs and truth, and the order in which training reads them."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from fairseq.data import FairseqDataset

from data_prep.manifest.table import ids_of, values
from emo_fairseq.data.annotations import (
    group_ids,
    group_names,
    truth_array,
)
from emo_fairseq.data.augmentation import augment, changes_inputs
from emo_fairseq.data.curriculum import (
    MODEL_CONFIDENCE,
    NONE,
    CurriculumDataset,
    CurriculumTraits,
    read_preset,
)
from emo_fairseq.data.data_dir import DataDir
from emo_fairseq.data.dialogue_dataset import DialogueDataset, EmotionDataset
from emo_fairseq.data.dialogue_rows import DialogueRows, report_hidden_turns, select_turns
from emo_fairseq.data.encoded import EncodedCopies
from emo_fairseq.data.fit import check_vocabularies
from emo_fairseq.data.inputs import unchanged
from emo_fairseq.data.manifest import (
    Split,
    read_corpus_file,
    select_rows,
)
from emo_fairseq.data.masking import MaskedTokens, find_mask
from emo_fairseq.data.modality_dataset import MissingDataset, RowsDataset
from emo_fairseq.data.samplers import (
    SAMPLERS,
    RowTraits,
)
from emo_fairseq.data.utterance_dataset import UtteranceDataset, presence_cases
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import TEXT, TOKENS, masked_modalities
from emo_fairseq.targets import TARGETS, LabeledTarget
from emo_fairseq.task_state import TaskState
from emo_fairseq.tasks.class_prototypes import ClassPrototypes
from emo_fairseq.tasks.confidence import ModelConfidence
from emo_fairseq.tasks.config import BY_DIFFICULTY, EmotionPredictionConfig
from emo_fairseq.tasks.encoder_cache import FrozenEncoders

logger = logging.getLogger(__name__)

Annotate = Callable[[Split], np.ndarray]  # split -> (N, ...), a value for each row

_SEED_OF_COPIES = 0  # of --augment-copies: all seeds of a run read the same, computed once
_OTHER_VIEW = 1_000_003  # by which its seed differs: larger than the seeds that people choose
_OF_SPEAKERS = ("speaker_aware", "speaker_grouped")
_OF_CLASSES = ("class_balanced", "speaker_aware")
_CLASS_ORDERS = (*BY_DIFFICULTY, "class_balance")


@dataclass
class PretrainingInputs:
    """What batches carry for a criterion of pretraining, of every split.

    Attributes:
        has_two_views: another view of each row, with augmentations of its own.
        masked_share: of the tokens of text that are masked.
    """

    has_two_views: bool = False
    masked_share: float = 0.0


def build_dataset(
    split: Split,
    annotators: Mapping[str, Annotate],
    for_training: bool,
    *,
    cfg: EmotionPredictionConfig,
    data: DataDir,
    state: TaskState,
    seed: int,
    frozen: FrozenEncoders | None,
    pretraining: PretrainingInputs,
) -> tuple[EmotionDataset, np.ndarray]:
    """Build the dataset of a split; rows without truth or input are left out, and counted.

    For a model of dialogues, rows without truth are read as context of others.

    Args:
        split: of the data dir.
        annotators: give what batches carry of each row beside input and truth, by name.
        for_training: whether inputs are augmented, and batches drawn anew for every epoch.
        cfg: options of the task.
        data: the data dir.
        state: of the task.
        seed: of augmentations.
        frozen: encoders whose outputs are read in place of their input; None without.
        pretraining: what batches carry for a criterion of pretraining.

    Returns:
        The dataset, and the numbers of its rows in the split; each has a truth.

    Raises:
        UsageError: no row can be used, or there is a modality that training would never see.
    """
    check_vocabularies(data, split, dict(state.vocabularies))
    masked = masked_modalities(cfg.mask_modality, state.modalities)
    present = {
        modality: data.present(modality, split) & (modality not in masked)
        for modality in state.modalities
    }
    dialogues = _select_turns(split, data, state, present)
    if dialogues is None:
        rows = select_rows(split, state.target, present, state.labels)
    else:
        rows = dialogues.rows
    counts = {modality: int(is_present[rows].sum()) for modality, is_present in present.items()}
    if for_training:
        _check_modalities(split, counts, cfg.mask_modality)
    augments = for_training or pretraining.has_two_views
    seeds = [seed, seed + _OTHER_VIEW] if pretraining.has_two_views else [seed]
    views = []
    for own_seed in seeds:
        build = partial(
            _build_input, split, augments, cfg, data, state, own_seed, frozen, pretraining
        )
        inputs = {
            modality: MissingDataset(len(split.utterances))
            if modality in masked
            else build(modality)
            for modality in state.modalities
        }
        views.append({modality: RowsDataset(x, rows) for modality, x in inputs.items()})
    dataset = UtteranceDataset(
        split.name,
        ids_of(split.utterances).take(rows),
        views[0],
        truth_array(split, state.target, state.labels)[rows],
        shuffle=for_training,
        cases=None if dialogues is not None else _cases(present, rows),
        annotations={name: annotate(split)[rows] for name, annotate in annotators.items()},
        other_view=views[1] if len(views) > 1 else {},
    )
    by_modality = ", ".join(f"{count} with {modality}" for modality, count in counts.items())
    logger.info("%s: %d utterances, %s", split.name, len(rows), by_modality)
    if dialogues is None:
        return dataset, rows
    scored = rows[dialogues.is_scored]
    speakers = values(split.utterances, "speaker").take(rows)
    cases = _cases(present, scored)
    return DialogueDataset(dataset, dialogues.windows, speakers, cases), scored


def _cases(present: Mapping[str, np.ndarray], rows: np.ndarray) -> list[str] | None:
    return presence_cases({modality: is_present[rows] for modality, is_present in present.items()})


def _select_turns(
    split: Split, data: DataDir, state: TaskState, present: Mapping[str, np.ndarray]
) -> DialogueRows | None:
    """Return the turns that a model of dialogues reads; None for one of single utterances."""
    options = state.options
    if not options.has_dialogue_encoder:
        return None
    size, causal = options.dialogue_window, options.dialogue_causal
    turns = select_turns(split, state.target, present, size, causal, state.labels)
    if split.whole is not None:
        stored = [data.present(modality, split.stored) for modality in state.modalities]
        report_hidden_turns(split, np.any(stored, axis=0), size, causal)
    return turns


def _check_modalities(split: Split, counts: Mapping[str, int], mask: str | None) -> None:
    """Refuse a modality that training would never see."""
    if mask:
        raise UsageError(
            f"--mask-modality {mask}: leave it out in training", "option-of-validation"
        )
    if absent := [modality for modality, count in counts.items() if count == 0]:
        raise UsageError(
            f"{split.file}: no row has {', '.join(absent)}; leave it out of --modality",
            "modality-absent",
        )


def _build_input(
    split: Split,
    augments: bool,
    cfg: EmotionPredictionConfig,
    data: DataDir,
    state: TaskState,
    seed: int,
    frozen: FrozenEncoders | None,
    pretraining: PretrainingInputs,
    modality: str,
) -> FairseqDataset:
    """Build the dataset of one modality; of a frozen encoder that of its outputs."""
    stores_outputs = frozen is not None and modality in frozen.encoders
    changes = augments and changes_inputs(cfg, modality, state.encoders[modality].input)
    reads_tokens = state.encoders[modality].input == TOKENS
    token_folder = data.token_folder(modality) if reads_tokens else None
    augmented = partial(
        augment,
        modality,
        cfg=cfg,
        seed=_SEED_OF_COPIES if stores_outputs else seed,
        data_dir=data.folder,
        token_folder=token_folder,
        speakers=_speakers(modality, split, data) if cfg.augment_babble_snr else (),
    )
    build = partial(
        data.build_dataset,
        modality,
        split,
        state.vocabularies.get(modality),
        state.frame_statistics.get(modality),
        normalize_by=state.normalize_by,
    )
    dataset = build(augmented if augments and not stores_outputs else unchanged)
    if modality == TEXT and pretraining.masked_share:
        vocabulary = state.vocabularies[TEXT]
        mask = find_mask(token_folder, vocabulary, state.encoders[TEXT])
        return MaskedTokens(dataset, pretraining.masked_share, vocabulary, mask, seed)
    if frozen is None or not stores_outputs:
        return dataset
    encoded = frozen.encode(modality, dataset, split.stored.name)
    if not (changes and cfg.augment_copies):
        return encoded
    copies = [build(augmented) for _ in range(cfg.augment_copies)]
    for number, copy in enumerate(copies, start=1):
        copy.set_epoch(number)
    return EncodedCopies(
        [encoded, *(frozen.encode(modality, copy, split.stored.name) for copy in copies)]
    )


def _speakers(modality: str, split: Split, data: DataDir) -> list[str | None]:
    """Return the speakers of the rows on disk that are of this split and have the modality."""
    speakers: list[str | None] = [None] * len(split.stored.utterances)
    named = values(split.utterances, "speaker")
    for row in np.flatnonzero(data.present(modality, split)).tolist():
        speakers[int(split.stored_rows[row])] = named[row]
    return speakers


def auxiliary_annotators(
    auxiliary: Mapping[str, LabeledTarget], data: DataDir, is_training: bool
) -> dict[str, Annotate]:
    """Return what gives the truth of each auxiliary target.

    Args:
        auxiliary: the targets, by name.
        data: the data dir.
        is_training: then a label that corpus.yaml does not name is refused; in scoring, labels of
            another corpus that the checkpoint was not trained on are taken for missing.
    """
    corpus = None if is_training else read_corpus_file(data.folder)
    annotators: dict[str, Annotate] = {}
    for name, other in auxiliary.items():
        if name not in TARGETS:
            annotators[name] = partial(_truth_of_column, other=other)
            continue
        foreign: list[str] = []
        if corpus is not None and other.target.has_labels:
            column = other.target.label_column
            foreign = [x for x in corpus.labels.get(column or "", ()) if x not in other.labels]
        annotators[name] = partial(
            truth_array, target=other.target, labels=other.labels, foreign=foreign
        )
    return annotators


def _truth_of_column(split: Split, other: LabeledTarget) -> np.ndarray:
    """Return the truth of a column, in which labels that the train split lacks are missing."""
    (column,) = other.target.columns
    unknown = [name for name in group_names(split, column) if name not in other.labels]
    return truth_array(split, other.target, other.labels, unknown)


# -- the order of the train split ------------------------------------------------------------------


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
    elif order == "preset":
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

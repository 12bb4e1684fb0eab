"""The dataset of a split: its rows, their inputs and their truth."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from fairseq.data import FairseqDataset

from data_prep.manifest.table import ids_of, values
from emo_fairseq.data.annotations import group_names, truth_array
from emo_fairseq.data.augmentation import augment, changes_inputs
from emo_fairseq.data.data_dir import DataDir
from emo_fairseq.data.dialogue_dataset import DialogueDataset, EmotionDataset
from emo_fairseq.data.dialogue_rows import DialogueRows, report_hidden_turns, select_turns
from emo_fairseq.data.encoded import EncodedCopies
from emo_fairseq.data.fit import check_vocabularies
from emo_fairseq.data.inputs import Augment, unchanged
from emo_fairseq.data.manifest import Split, read_corpus_file
from emo_fairseq.data.masking import MaskedTokens, find_mask
from emo_fairseq.data.modality_dataset import MissingDataset, RowsDataset
from emo_fairseq.data.usable_rows import select_rows
from emo_fairseq.data.utterance_dataset import UtteranceDataset, presence_cases
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import TEXT, TOKENS, masked_modalities
from emo_fairseq.targets import TARGETS, LabeledTarget
from emo_fairseq.task_state import TaskState
from emo_fairseq.tasks.config import EmotionPredictionConfig
from emo_fairseq.tasks.frozen_encoders import FrozenEncoders

logger = logging.getLogger(__name__)

Annotate = Callable[[Split], np.ndarray]  # split -> (N, ...), a value for each row

_SEED_OF_COPIES = 0  # of --augment-copies: all seeds of a run read the same, computed once
_OTHER_VIEW = 1_000_003  # by which its seed differs: larger than the seeds that people choose


@dataclass
class PretrainingInputs:
    """What batches carry for a criterion of pretraining, of every split.

    Attributes:
        has_two_views: another view of each row, with augmentations of its own.
        masked_share: of the tokens of text that are masked.
    """

    has_two_views: bool = False
    masked_share: float = 0.0


@dataclass(frozen=True)
class DatasetBuilder:
    """Builds the datasets of splits for one model.

    Attributes:
        cfg: options of the task.
        data: the data dir.
        state: of the task.
        seed: of augmentations.
        frozen: encoders whose outputs are read in place of their input; None without.
        pretraining: what batches carry for a criterion of pretraining.
    """

    cfg: EmotionPredictionConfig
    data: DataDir
    state: TaskState
    seed: int
    frozen: FrozenEncoders | None
    pretraining: PretrainingInputs

    def build(
        self, split: Split, annotators: Mapping[str, Annotate], for_training: bool
    ) -> tuple[EmotionDataset, np.ndarray]:
        """Build the dataset of a split; rows without truth or input are left out, and counted.

        For a model of dialogues, rows without truth are read as context of others.

        Args:
            split: of the data dir.
            annotators: give what batches carry of each row beside input and truth, by name.
            for_training: whether inputs are augmented, and batches drawn anew for every epoch.

        Returns:
            The dataset, and the numbers of its rows in the split; each has a truth.

        Raises:
            UsageError: no row can be used, or there is a modality that training would never see.
        """
        state = self.state
        check_vocabularies(self.data, split, dict(state.vocabularies))
        masked = masked_modalities(self.cfg.mask_modality, state.modalities)
        present = {
            modality: self.data.present(modality, split) & (modality not in masked)
            for modality in state.modalities
        }
        dialogues = self._select_turns(split, present)
        if dialogues is None:
            rows = select_rows(split, state.target, present, state.labels)
        else:
            rows = dialogues.rows
        counts = {modality: int(is_present[rows].sum()) for modality, is_present in present.items()}
        if for_training:
            _check_modalities(split, counts, self.cfg.mask_modality)
        views = self._build_views(split, rows, masked, for_training)
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

    def stored_outputs(self, split: Split, modality: str) -> RowsDataset:
        """Return the outputs of a frozen encoder for the rows of a split that have the modality."""
        rows = np.flatnonzero(self.data.present(modality, split))
        return RowsDataset(self._build_input(split, modality, augments=False), rows)

    def _select_turns(self, split: Split, present: Mapping[str, np.ndarray]) -> DialogueRows | None:
        """Return the turns that a model of dialogues reads; None for one of single utterances."""
        state, options = self.state, self.state.options
        if not options.has_dialogue_encoder:
            return None
        size, causal = options.dialogue_window, options.dialogue_causal
        turns = select_turns(split, state.target, present, size, causal, state.labels)
        if split.whole is not None:
            stored = [self.data.present(modality, split.stored) for modality in state.modalities]
            report_hidden_turns(split, np.any(stored, axis=0), size, causal)
        return turns

    def _build_views(
        self, split: Split, rows: np.ndarray, masked: Sequence[str], for_training: bool
    ) -> list[dict[str, FairseqDataset]]:
        """Build the inputs of the rows by modality, with two views those of each."""
        has_two = self.pretraining.has_two_views
        views = []
        for number in range(2 if has_two else 1):
            view = {}
            for modality in self.state.modalities:
                inputs: FairseqDataset = MissingDataset(len(split.utterances))
                if modality not in masked:
                    inputs = self._build_input(split, modality, for_training or has_two, number)
                view[modality] = RowsDataset(inputs, rows)
            views.append(view)
        return views

    def _build_input(
        self, split: Split, modality: str, augments: bool, view: int = 0
    ) -> FairseqDataset:
        """Build the dataset of one modality; of a frozen encoder that of its outputs."""
        state, frozen = self.state, self.frozen
        seed = self.seed + view * _OTHER_VIEW
        open_rows = partial(
            self.data.build_dataset,
            modality,
            split,
            state.vocabularies.get(modality),
            state.frame_statistics.get(modality),
            normalize_by=state.normalize_by,
        )
        if frozen is None or modality not in frozen.encoders:
            change = self._augmentation(split, modality, seed) if augments else unchanged
            return self._masked(open_rows(change), modality, seed)
        encode = partial(frozen.encode, modality, split=split.stored.name)
        encoded = encode(open_rows(unchanged))
        changes = changes_inputs(self.cfg, modality, state.encoders[modality].input)
        if not (augments and changes and self.cfg.augment_copies):
            return encoded
        copies = [encoded]
        for number in range(1, self.cfg.augment_copies + 1):
            copy = open_rows(self._augmentation(split, modality, _SEED_OF_COPIES))
            copy.set_epoch(number)
            copies.append(encode(copy))
        return EncodedCopies(copies, first=view)

    def _augmentation(self, split: Split, modality: str, seed: int) -> Augment:
        """Return what wraps the inputs of a modality in the augmentations of the options."""
        return partial(
            augment,
            modality,
            cfg=self.cfg,
            seed=seed,
            data_dir=self.data.folder,
            token_folder=self._token_folder(modality),
            speakers=_speakers(modality, split, self.data) if self.cfg.augment_babble_snr else (),
        )

    def _masked(self, dataset: FairseqDataset, modality: str, seed: int) -> FairseqDataset:
        """Mask tokens of text, where the criterion is one of masked language models."""
        share = self.pretraining.masked_share
        if modality != TEXT or not share:
            return dataset
        vocabulary = self.state.vocabularies[TEXT]
        mask = find_mask(self._token_folder(TEXT), vocabulary, self.state.encoders[TEXT])
        return MaskedTokens(dataset, share, vocabulary, mask, seed)

    def _token_folder(self, modality: str) -> Path | None:
        if self.state.encoders[modality].input != TOKENS:
            return None
        return self.data.token_folder(modality)


def _cases(present: Mapping[str, np.ndarray], rows: np.ndarray) -> list[str] | None:
    return presence_cases({modality: is_present[rows] for modality, is_present in present.items()})


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

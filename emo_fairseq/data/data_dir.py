"""One data dir, as the task's options want it read: its splits and the leaves over them."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from fairseq.data import FairseqDataset
from omegaconf import OmegaConf

from data_prep.audio.frames import num_frames
from data_prep.audio.segment import audio_of
from data_prep.features.log_mel import LOG_MEL as LOG_MEL_FEATURES
from data_prep.features.stored import StoredFeatures, open_features
from data_prep.manifest.provenance import (
    TRAINED,
    Provenance,
    seen_rows,
)
from data_prep.schema import SAMPLE_RATE
from emo_fairseq.data import legacy
from emo_fairseq.data.audio import ComputedFrames, WaveformDataset
from emo_fairseq.data.frames import FrameStatistics, NormalizedFrames, StoredFrames
from emo_fairseq.data.inputs import InputLimits
from emo_fairseq.data.leaks import (
    HeldOut,
    LeakGuard,
)
from emo_fairseq.data.manifest import (
    FOLD_SETS,
    Split,
    check_data_dir,
    read_corpus_file,
    read_fold,
    read_split,
    report_rows,
)
from emo_fairseq.data.tokens import token_leaf
from emo_fairseq.data.vocabulary import Vocabulary
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.types import (
    FRAMES,
    LOG_MEL,
    SPEECH,
    TOKENS,
    WAVEFORM,
)

logger = logging.getLogger(__name__)

Wrap = Callable[[FairseqDataset, str], FairseqDataset]

TRAIN = "train"


def as_it_is(leaf: FairseqDataset, kind: str) -> FairseqDataset:
    """The leaf itself."""
    return leaf


class DataDir(InputLimits):
    """A data dir of either layout.

    Args:
        cfg: the task's options.
        modalities: those that are read.

    Attributes:
        folder: ``--data``.
        is_legacy: whether it has the seed's layout.
        corpus: its name; None without corpus.yaml.
        guard: compares what is taken into a run with the rows that are held out.

    Raises:
        UsageError: the folder is no data dir, or lacks the input that is asked for.
    """

    def __init__(self, cfg: Any, modalities: tuple[str, ...]) -> None:
        super().__init__(cfg, modalities)
        if OmegaConf.is_missing(cfg, "data"):
            raise UsageError("--data is missing: give the folder that holds {split}.tsv")
        self.folder = Path(cfg.data)
        self.audio_root = Path(cfg.data_raw or cfg.data)
        check_data_dir(self.folder)
        self.is_legacy = bool(self.split_names()) and not (self.folder / f"{TRAIN}.tsv").exists()
        corpus = None if self.is_legacy else read_corpus_file(self.folder)
        self.corpus = None if corpus is None else corpus.name
        self.guard = LeakGuard(self.held_out, bool(getattr(cfg, "allow_leak", False)))
        if corpus is not None and corpus.sample_rate != SAMPLE_RATE and SPEECH in modalities:
            raise UsageError(
                f"{self.folder}/corpus.yaml: n_samples counts at {corpus.sample_rate} Hz; encoders "
                f"hear {SAMPLE_RATE} Hz, so prepare the corpus again with sample_rate {SAMPLE_RATE}"
            )
        self._splits: dict[str, Split] = {}
        self._whole: Split | None = None  # that a fold divides
        self._features_of: dict[tuple[str, str], StoredFeatures] = {}

    def read_for(self, cards: Mapping[str, EncoderSpec]) -> None:
        """Settle which encoder each modality is read for.

        Raises:
            UsageError: the layout has no such input.
        """
        super().read_for(cards)
        for name, card in cards.items():
            if self.is_legacy and card.input != TOKENS:
                raise UsageError(
                    f"{name} as {card.input}: {self.folder} is in the seed's layout, which holds "
                    f"tokens only; give an encoder of tokens to --{name}-encoder, or leave out "
                    f"--{name}-encoder and --{name}-input"
                )

    def split(self, name: str) -> Split:
        """A split, read once: one on disk, or under ``--fold`` a set of the fold."""
        if name not in self._splits:
            self._splits[name] = self._read(name)
        return self._splits[name]

    def _read(self, name: str) -> Split:
        if self.cfg.fold is not None and name in FOLD_SETS:
            base, ids = read_fold(self.folder, self.cfg.fold)
            if self._whole is None:
                self._whole = read_split(self.folder, self.audio_root, base, self.modalities)
            return self._whole.part(name, ids[name])
        return read_split(self.folder, self.audio_root, name, self.modalities)

    def held_out(self) -> HeldOut:
        """The rows that training must not see: of the fold's other sets, or the other splits."""
        names = [name for name in FOLD_SETS if name != TRAIN]
        if self.cfg.fold is None:
            corpus = None if self.is_legacy else read_corpus_file(self.folder)
            there = self.split_names() if corpus is None else list(corpus.splits)
            files = [name for name in names if (self.folder / f"{name}.tsv").is_file()]
            names = [name for name in there or files if name != TRAIN]
        rows = {name: self.split(name).utterances for name in names}
        return HeldOut(rows, self.corpus, self.cfg.fold)

    def provenance(self, name: str, use: str = TRAINED) -> Provenance:
        """The record of a split's rows, for what is made from them."""
        fold = self.cfg.fold if name in FOLD_SETS else None
        return seen_rows(self.split(name).utterances, self.corpus, name, fold, use)

    def split_names(self) -> list[str]:
        """The splits of the seed's layout; none in ours, whose corpus.yaml names them."""
        return legacy.split_names(self.folder)

    def present(self, modality: str, split: Split) -> np.ndarray:
        """Which rows have this modality: (N,) bool."""
        if self.cards[modality].input == FRAMES:
            whole = np.diff(self.features(modality, split.stored).offsets) > 0
            return whole[split.stored_rows]
        return split.present(modality)

    def leaf(
        self,
        modality: str,
        split: Split,
        vocabulary: Vocabulary | None = None,
        statistics: FrameStatistics | None = None,
        wrap: Wrap = as_it_is,
    ) -> FairseqDataset:
        """The dataset of one modality, an item a row of the stored split.

        Args:
            modality: which one.
            split: from :meth:`split`; its `stored_rows` are its own among the items, and context
                is taken from these alone.
            vocabulary: of the modality; needed for tokens only.
            statistics: of the train split; needed for frames only.
            wrap: puts a leaf of an input kind inside another one. It gets waveforms also where
                log-mel frames are then computed from them.
        """
        kind = self.cards[modality].input
        if kind == TOKENS:
            if vocabulary is None:
                raise ValueError("token input needs its vocabulary")
            return wrap(token_leaf(self.folder, self, modality, split, vocabulary.specials), kind)
        if kind == WAVEFORM:
            self._report_cuts(split)
            return wrap(self._waveforms(split.stored), kind)
        if statistics is None:
            raise ValueError("frames need the statistics of the train split")
        if kind == LOG_MEL:
            self._report_cuts(split)
        return wrap(NormalizedFrames(self.frames(modality, split, wrap), statistics), kind)

    def frames(self, modality: str, split: Split, wrap: Wrap = as_it_is) -> FairseqDataset:
        """The stored split's frames, as they are; `wrap` gets the audio that they are made of."""
        if self.cards[modality].input == FRAMES:
            return self._features(modality, split)
        return self._log_mel(split.stored, wrap)

    def _report_cuts(self, split: Split) -> None:
        n_samples = np.array([row.n_samples or 0 for row in split.utterances])
        limit = f"--max-speech-seconds {self.cfg.max_speech_seconds:g}"
        report_rows(split, n_samples > self.max_samples(), f"are cut at {limit}")

    def _log_mel(self, split: Split, wrap: Wrap) -> FairseqDataset:
        """The split's log-mel frames: from disk where they were extracted, else from the audio."""
        folder = self.folder / "features" / LOG_MEL_FEATURES
        try:
            stored = open_features(folder, split.name, split.utterances)
        except ValueError as error:
            raise UsageError(str(error)) from error
        if stored is None:
            return ComputedFrames(wrap(self._waveforms(split), WAVEFORM))
        logger.info("%s: frames of %s from disk", split.name, folder)
        return StoredFrames(stored, num_frames(self.max_samples()))

    def features(self, modality: str, split: Split) -> StoredFeatures:
        """What ``--{modality}-encoder features:NAME`` names, for one split.

        Raises:
            UsageError: the split is not there, or does not fit the manifest.
        """
        if (modality, split.name) in self._features_of:  # opening may pack, and warn of rows
            return self._features_of[modality, split.name]
        folder = self.folder / "features" / self.cards[modality].place
        try:
            stored = open_features(folder, split.name, split.utterances)
        except ValueError as error:
            raise UsageError(str(error)) from error
        if stored is None:
            raise UsageError(
                f"{folder}/{split.name}.npy: not there; write it with "
                "`python -m data_prep.extract_features`, or put your own frames there"
            )
        self._features_of[modality, split.name] = stored
        return stored

    def _features(self, modality: str, split: Split) -> StoredFrames:
        stored = self.features(modality, split.stored)
        limit = self.cfg.max_frames
        if limit is not None:
            lengths = np.diff(stored.offsets)[split.stored_rows]
            report_rows(split, lengths > limit, f"have {modality} cut at --max-frames {limit}")
        return StoredFrames(stored, limit)

    def _waveforms(self, split: Split) -> WaveformDataset:
        audio = [audio_of(row, self.audio_root) for row in split.utterances]
        n_samples = np.array([row.n_samples or 0 for row in split.utterances])
        names = [f"{split.file}: {row.id}" for row in split.utterances]
        return WaveformDataset(audio, n_samples, self.max_samples(), names)

"""One data dir, as the task's options want it read: its splits and the leaves over them."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
from fairseq.data import FairseqDataset
from omegaconf import OmegaConf

from data_prep.audio import num_frames
from data_prep.extract_features import LOG_MEL
from data_prep.schema import SAMPLE_RATE
from data_prep.stored_features import open_features
from emo_fairseq.data import legacy
from emo_fairseq.data.log_mel import (
    ComputedFrames,
    LogMelDataset,
    LogMelStatistics,
    StoredFrames,
)
from emo_fairseq.data.manifest import (
    Split,
    check_data_dir,
    read_corpus_file,
    read_split,
    report_rows,
)
from emo_fairseq.data.tokens import TokenDataset, open_binarised
from emo_fairseq.data.waveform import MIN_SAMPLES, WaveformDataset
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import SPEECH, TEXT

logger = logging.getLogger(__name__)

TRAIN = "train"


class DataSource:
    """A data dir of either layout.

    Args:
        cfg: the task's options.
        modalities: those that are read.

    Attributes:
        folder: ``--data``.
        is_legacy: whether it has the seed's layout.
        speech_input: ``waveform``, ``log_mel`` or ``tokens``.

    Raises:
        UsageError: the folder is no data dir, or lacks the input that is asked for.
    """

    def __init__(self, cfg: Any, modalities: tuple[str, ...]) -> None:
        self.cfg = cfg
        self.modalities = modalities
        if OmegaConf.is_missing(cfg, "data"):
            raise UsageError("--data is missing: give the folder that holds {split}.tsv")
        self.folder = Path(cfg.data)
        self.audio_root = Path(cfg.data_raw or cfg.data)
        check_data_dir(self.folder)
        self.is_legacy = bool(self.split_names()) and not (self.folder / f"{TRAIN}.tsv").exists()
        self.speech_input = cfg.speech_input or ("tokens" if self.is_legacy else "waveform")
        if self.is_legacy and SPEECH in modalities and self.speech_input != "tokens":
            raise UsageError(
                f"--speech-input {self.speech_input}: {self.folder} is in the seed's layout, "
                "which holds speech as tokens only; leave the option out"
            )
        corpus = None if self.is_legacy else read_corpus_file(self.folder)
        if corpus is not None and corpus.sample_rate != SAMPLE_RATE and SPEECH in modalities:
            raise UsageError(
                f"{self.folder}/corpus.yaml: n_samples counts at {corpus.sample_rate} Hz; encoders "
                f"hear {SAMPLE_RATE} Hz, so prepare the corpus again with sample_rate {SAMPLE_RATE}"
            )
        self._splits: dict[str, Split] = {}

    def split(self, name: str) -> Split:
        """A split, read once."""
        if name not in self._splits:
            self._splits[name] = read_split(self.folder, self.audio_root, name, self.modalities)
        return self._splits[name]

    def split_names(self) -> list[str]:
        """The splits of the seed's layout; none in ours, whose corpus.yaml names them."""
        return legacy.split_names(self.folder)

    def is_tokens(self, modality: str) -> bool:
        """Whether this modality is read as tokens."""
        return modality == TEXT or self.speech_input == "tokens"

    def max_tokens(self, modality: str) -> int:
        """The longest token sequence of this modality."""
        return self.cfg.max_text_tokens if modality == TEXT else self.cfg.max_speech_tokens

    def leaf(
        self, modality: str, split: Split, statistics: LogMelStatistics | None
    ) -> FairseqDataset:
        """The dataset of one modality, an item a row of the split.

        Args:
            modality: which one.
            split: from :meth:`split`.
            statistics: of the train split; needed for log-mel input only.
        """
        if self.is_tokens(modality):
            return self._tokens(modality, split)
        n_samples = np.array([row.n_samples or 0 for row in split.utterances])
        limit = f"--max-speech-seconds {self.cfg.max_speech_seconds:g}"
        report_rows(split, n_samples > self._max_samples(), f"are cut at {limit}")
        if self.speech_input == "waveform":
            return self._waveforms(split)
        if statistics is None:
            raise ValueError("log-mel input needs the statistics of the train split")
        return LogMelDataset(self.frames(split), statistics)

    def frames(self, split: Split) -> FairseqDataset:
        """The split's log-mel frames: from disk where they were extracted, else from the audio."""
        folder = self.folder / "features" / LOG_MEL
        try:
            stored = open_features(folder, split.name, split.utterances)
        except ValueError as error:
            raise UsageError(str(error)) from error
        if stored is None:
            return ComputedFrames(self._waveforms(split))
        logger.info("%s: frames of %s from disk", split.name, folder)
        return StoredFrames(stored, num_frames(self._max_samples()))

    def _max_samples(self) -> int:
        limit = int(self.cfg.max_speech_seconds * SAMPLE_RATE)
        if limit < MIN_SAMPLES:
            raise UsageError(
                f"--max-speech-seconds {self.cfg.max_speech_seconds:g} is shorter than one window "
                f"of {MIN_SAMPLES / SAMPLE_RATE:g} seconds"
            )
        return limit

    def _waveforms(self, split: Split) -> WaveformDataset:
        paths = [
            None if row.audio is None else self.audio_root / row.audio for row in split.utterances
        ]
        n_samples = np.array([row.n_samples or 0 for row in split.utterances])
        names = [f"{split.file}: {row.id}" for row in split.utterances]
        return WaveformDataset(paths, n_samples, self._max_samples(), names)

    def _tokens(self, modality: str, split: Split) -> TokenDataset:
        if split.tokens:
            source = split.tokens[modality]
            lengths = np.array([len(ids) for ids in source])
        else:
            source = open_binarised(self.folder / modality, split.name, split.utterances)
            lengths = np.asarray(source.sizes)
        limit = self.max_tokens(modality)
        whole = lengths if split.tokens else lengths + 1  # data_prep stores no <s>
        report_rows(split, whole > limit, f"are cut at --max-{modality}-tokens {limit}")
        return TokenDataset(
            source,
            lengths,
            split.present(modality),
            self.cfg.init_token,
            self.cfg.separator_token,
            self.max_tokens(modality),
        )

"""From a split and its modalities to the leaves that a model's encoders want."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fairseq.data import FairseqDataset

from emo_fairseq.data.log_mel import LogMelDataset, LogMelStatistics
from emo_fairseq.data.manifest import Split
from emo_fairseq.data.tokens import TokenDataset, open_binarised
from emo_fairseq.data.waveform import SAMPLE_RATE, WaveformDataset
from emo_fairseq.modalities import SPEECH, TEXT


@dataclass(frozen=True)
class InputOptions:
    """What the task's options say of the inputs; see the task's help for each."""

    data_dir: Path
    data_raw: Path
    speech_input: str
    init_token: int
    separator_token: int
    max_text_tokens: int
    max_speech_tokens: int
    max_speech_seconds: float


@dataclass(frozen=True)
class InputBuilder:
    """Builds leaves. `log_mel_statistics` is only called for log-mel input."""

    options: InputOptions
    log_mel_statistics: Callable[[], LogMelStatistics]

    def __call__(self, modality: str, split: Split) -> FairseqDataset:
        """The leaf of one modality: as many items as the split has rows."""
        if modality == TEXT:
            return self._tokens(TEXT, "text", split, self.options.max_text_tokens)
        if self.options.speech_input == "tokens":
            return self._tokens(SPEECH, "speech", split, self.options.max_speech_tokens)
        waveforms = self.waveforms(split)
        if self.options.speech_input == "waveform":
            return waveforms
        return LogMelDataset(waveforms, self.log_mel_statistics())

    def waveforms(self, split: Split) -> WaveformDataset:
        """The split's audio files as waveforms."""
        paths = [
            None if row.audio is None else self.options.data_raw / row.audio
            for row in split.utterances
        ]
        n_samples = np.array([row.n_samples or 0 for row in split.utterances])
        return WaveformDataset(paths, n_samples, int(self.options.max_speech_seconds * SAMPLE_RATE))

    def _tokens(self, modality: str, folder: str, split: Split, max_tokens: int) -> TokenDataset:
        if split.tokens:
            source = split.tokens[modality]
            lengths = np.array([len(ids) for ids in source])
        else:
            path = self.options.data_dir / folder
            source = open_binarised(path, split.name, len(split.utterances))
            lengths = np.asarray(source.sizes)
        return TokenDataset(
            source,
            lengths,
            split.present(modality),
            self.options.init_token,
            self.options.separator_token,
            max_tokens,
        )

"""How much of each input is read: limits that options and encoders set, wherever rows come from."""

from collections.abc import Mapping
from typing import Protocol

from data_prep.audio.part import WINDOW_MS
from data_prep.schema import SAMPLE_RATE
from data_prep.video.loading import PictureOptions
from emo_fairseq.data.neighbors import ContextOptions
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import SPEECH, TEXT

# One analysis window, which is also the receptive field of wav2vec 2.0's convolutions.
MIN_SAMPLES = SAMPLE_RATE * WINDOW_MS // 1000
_MAX_TOKENS = {TEXT: 512, SPEECH: 2048}


class InputOptions(ContextOptions, Protocol):
    """The options of a task that limit the input."""

    max_text_tokens: int | None
    max_speech_tokens: int | None
    max_frames: int | None
    max_speech_seconds: float
    frames_per_second: float
    max_video_seconds: float
    face_detector: str | None


class InputLimits:
    """The limits of the input that options and encoders set, wherever the rows come from.

    Attributes:
        encoders: for each modality the encoder that reads it, from :meth:`set_encoders` on.
    """

    def __init__(self, cfg: InputOptions, modalities: tuple[str, ...]) -> None:
        self.cfg = cfg
        self.modalities = modalities
        self.encoders: Mapping[str, EncoderSpec] = {}

    def set_encoders(self, encoders: Mapping[str, EncoderSpec]) -> None:
        """Set which encoder reads each modality."""
        self.encoders = encoders

    def modalities_of(self, kind: str) -> list[str]:
        """Return the modalities whose encoders read this kind of input."""
        return [name for name in self.modalities if self.encoders[name].input == kind]

    def max_tokens(self, modality: str) -> int:
        """Return the length of the longest token sequence, its boundary tokens included.

        Raises:
            UsageError: the option exceeds the positions of the encoder.
        """
        positions = self.encoders[modality].max_tokens
        limit: int | None = getattr(self.cfg, f"max_{modality}_tokens")
        if limit is None:
            return min(_MAX_TOKENS[modality], positions or _MAX_TOKENS[modality])
        if positions and limit > positions:
            raise UsageError(
                f"--max-{modality}-tokens {limit}: the encoder {self.encoders[modality].spec} "
                f"has {positions} positions; give at most as many",
                "max-tokens-too-large",
            )
        return limit

    def max_samples(self) -> int:
        """Return the length of the longest audio, in samples at 16 kHz.

        Raises:
            UsageError: shorter than one window.
        """
        limit = int(self.cfg.max_speech_seconds * SAMPLE_RATE)
        if limit < MIN_SAMPLES:
            raise UsageError(
                f"--max-speech-seconds {self.cfg.max_speech_seconds:g} is shorter than one window "
                f"of {MIN_SAMPLES / SAMPLE_RATE:g} seconds",
                "max-seconds-too-small",
            )
        return limit

    def picture_options(self, modality: str) -> PictureOptions:
        """Return which pictures of a video the encoder of a modality reads."""
        return PictureOptions(
            self.cfg.frames_per_second,
            self.cfg.max_video_seconds,
            self.encoders[modality].picture_size,
            self.cfg.face_detector,
        )

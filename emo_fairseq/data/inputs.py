"""How much of an utterance is read: limits of the options and of the encoders."""

from collections.abc import Mapping
from typing import Any

from data_prep.schema import SAMPLE_RATE
from emo_fairseq.data.audio import MIN_SAMPLES
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.types import (
    SPEECH,
    TEXT,
)

_MAX_TOKENS = {TEXT: 512, SPEECH: 2048}


class InputLimits:
    """What the options say of the input, wherever that comes from.

    Args:
        cfg: the task's options.
        modalities: those that are read.

    Attributes:
        cards: which encoder reads each modality, once :meth:`read_for` has said so.
    """

    def __init__(self, cfg: Any, modalities: tuple[str, ...]) -> None:
        self.cfg = cfg
        self.modalities = modalities
        self.cards: Mapping[str, EncoderSpec] = {}

    def read_for(self, cards: Mapping[str, EncoderSpec]) -> None:
        """Settle which encoder each modality is read for."""
        self.cards = cards

    def modalities_of(self, kind: str) -> list[str]:
        """The modalities whose encoders read this kind of input."""
        return [name for name in self.modalities if self.cards[name].input == kind]

    def max_tokens(self, modality: str) -> int:
        """The longest token sequence of this modality.

        Raises:
            UsageError: longer than the encoder's positions reach.
        """
        reach = self.cards[modality].max_tokens
        asked: int | None = getattr(self.cfg, f"max_{modality}_tokens")
        if asked is None:
            return min(_MAX_TOKENS[modality], reach or _MAX_TOKENS[modality])
        if reach and asked > reach:
            raise UsageError(
                f"--max-{modality}-tokens {asked}: the encoder {self.cards[modality].spec} "
                f"reaches {reach} tokens; ask for so many at most"
            )
        return asked

    def max_samples(self) -> int:
        """The longest audio, in samples at 16 kHz.

        Raises:
            UsageError: shorter than one window.
        """
        limit = int(self.cfg.max_speech_seconds * SAMPLE_RATE)
        if limit < MIN_SAMPLES:
            raise UsageError(
                f"--max-speech-seconds {self.cfg.max_speech_seconds:g} is shorter than one window "
                f"of {MIN_SAMPLES / SAMPLE_RATE:g} seconds"
            )
        return limit

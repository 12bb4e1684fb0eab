"""What lies beyond a model's reach: it is cut as in training, and an answer has to say so."""

import math

from data_prep.tokens.text_tokenizers import TextTokenizer, load_text_tokenizer
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.loading import LoadedModel
from emo_fairseq.inference.predictor import EmotionPredictor
from emo_fairseq.types import (
    FRAMES,
    SPEECH,
    TEXT,
    TOKENS,
)


class Reach:
    """Knows how much of a text and of a recording one model reads at once.

    Args:
        predictor: whose limits are asked; its tokenizer of texts is read a second time.

    Raises:
        UsageError: the tokenizer cannot be read.
    """

    def __init__(self, predictor: EmotionPredictor) -> None:
        self._loaded = predictor.loaded
        self._predictor = predictor
        self._readable = set(predictor.modalities) - set(self._loaded.front_end.missing)
        self._tokenizer = _tokenizer(self._loaded) if TEXT in self._readable else None

    def cuts(self, text: str | None = None, seconds: float | None = None) -> list[str]:
        """A sentence for the text and one for the recording, each where it is cut.

        Args:
            text: as the model reads it: :attr:`Prediction.text`.
            seconds: length of the recording.
        """
        of_text = "" if text is None or self._tokenizer is None else self._of_text(text)
        heard = seconds is not None and SPEECH in self._readable
        return list(filter(None, [of_text, self._of_sound(seconds or 0.0) if heard else ""]))

    def heard_seconds(self) -> float:
        """The longest recording that is heard whole; infinite where no limit is in seconds."""
        return self._predictor.longest_seconds() if SPEECH in self._readable else math.inf

    def _of_text(self, text: str) -> str:
        assert self._tokenizer is not None
        # Both end with the separator, which stays; a content has no initial token yet.
        n_tokens, most = len(self._tokenizer.encode(text)) - 1, self._text_tokens() - 2
        if n_tokens <= most:
            return ""
        return (
            f"The text is too long for the model: of its {n_tokens} tokens (words or pieces of "
            f"words) the first {most} are read, and the rest has no part in the answer."
        )

    def _text_tokens(self) -> int:
        """The longest sequence of tokens, both boundaries included."""
        task = self._loaded.task
        if task.encoder_cards()[TEXT].input == TOKENS:
            return int(task.source.max_tokens(TEXT))
        settings = self._loaded.front_end.recipes[TEXT].settings
        reach = int(settings["max_tokens"])
        frames = task.cfg.max_frames if settings.get("pool", "none") == "none" else None
        return reach if frames is None else min(reach, frames)

    def _of_sound(self, seconds: float) -> str:
        task = self._loaded.task
        kind = task.encoder_cards()[SPEECH].input
        if kind == TOKENS:  # how many a recording has, only encoding it again would tell
            if seconds <= task.cfg.max_speech_seconds:
                return ""
            most = task.source.max_tokens(SPEECH)
            return (
                f"The model reads at most {most} tokens of speech: of {seconds:.4g} s that may be "
                "the beginning alone; a timeline hears all of it."
            )
        heard = self.heard_seconds()
        if seconds <= heard:
            return ""
        return (
            f"The model hears {heard:g} s at once: this is about the first {heard:g} s of "
            f"{seconds:.4g} s; a timeline hears all of it."
        )


def _tokenizer(loaded: LoadedModel) -> TextTokenizer | None:
    kind = loaded.task.encoder_cards()[TEXT].input
    folder = loaded.tokenizers[TEXT] if kind == TOKENS else None
    if kind == FRAMES:
        folder = loaded.front_end.recipes[TEXT].tokenizer
    if folder is None:
        return None
    try:
        return load_text_tokenizer(folder)
    except ValueError as error:
        raise UsageError(str(error)) from error

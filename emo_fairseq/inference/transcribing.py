"""Transcribe recordings that come without a text, by faster-whisper or by any other function.

Silence and noise have no transcript: faster-whisper's voice activity detection (Silero) removes
them first, since Whisper alone makes words of them. Decoding is without sampling, so that the same
recording has the same transcript.
"""

import importlib
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.audio.decoding import FloatArray
from data_prep.messages import one_line
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.stopping import ShouldStop, StoppedError, never
from emo_fairseq.modalities import TEXT

logger = logging.getLogger(__name__)

_MODEL_FILES = ("model.bin", "tokenizer.json")  # of a converted model
# Length of a text by that of its zlib compression, above which Whisper takes a text for a phrase
# that is repeated without end (Radford et al. 2022, section 4.5). There it decodes again with
# sampling; here the text is left out.
_REPEATING = 2.4


@dataclass(frozen=True)
class Word:
    """One word, from `start` to `end` in seconds; its text begins with the space before it."""

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class Transcript:
    """What is said in a recording.

    Attributes:
        text: empty where nothing is said.
        language: its code, such as ``en``; None where it is unknown.
        words: with their times, where these were computed; else empty.
    """

    text: str
    language: str | None = None
    words: tuple[Word, ...] = ()

    def within(self, start: float, end: float) -> "Transcript":
        """Return the words whose middle is in an interval; all of a transcript without words.

        >>> words = (Word(0.0, 0.4, " Well,"), Word(0.5, 0.9, " fine."))
        >>> Transcript("Well, fine.", "en", words).within(0.4, 1.0).text
        'fine.'
        """
        if not self.words:
            return self
        words = tuple(word for word in self.words if start <= (word.start + word.end) / 2 < end)
        return Transcript("".join(word.text for word in words).strip(), self.language, words)


Transcribe = Callable[[FloatArray], str | Transcript]  # from (T,) mono float32 samples at 16 kHz


def check_reads_text(modalities: Collection[str]) -> None:
    """Raise a `UsageError` if a model reads no text: its transcripts would have no effect."""
    if TEXT not in modalities:
        raise UsageError(
            f"--transcribe: the model reads {' and '.join(modalities)} and no text; leave it out",
            "modality-not-read",
        )


def transcribed(name: str, samples: FloatArray, transcribe: Transcribe) -> Transcript:
    """Transcribe one recording.

    Raises:
        StoppedError: `transcribe` raised it.
        UsageError: `transcribe` failed, or returned something else; names the item.
    """
    try:
        transcript = transcribe(samples)
    except StoppedError:
        raise
    except Exception as error:  # a function of others, which may raise anything
        raise UsageError(
            f"{name}: transcribe failed ({type(error).__name__}: {error}); give the text of this "
            "item, or another transcribe",
            "transcribe-failed",
        ) from error
    if isinstance(transcript, str):
        return Transcript(transcript.strip())
    if not isinstance(transcript, Transcript):
        raise UsageError(
            f"{name}: transcribe returned {type(transcript).__name__}, and neither a string nor a "
            "Transcript",
            "transcribe-type",
        )
    return transcript


class FasterWhisper:
    """Whisper, as faster-whisper runs it; several threads may use it at once.

    Args:
        model: a folder with a converted model; or a name, whose files the library downloads from
            the hub unless they are there already.
        device: ``cpu`` or ``cuda``.
        compute_type: the number type that it computes with.
        language: of the speech, such as ``en``; by default it is detected in each recording.
        options: further ones of its ``transcribe``.

    Attributes:
        name: of the model, for users.

    Raises:
        UsageError: the library is not installed, cannot load the model, or the model does not know
            the language.
    """

    def __init__(
        self,
        model: str | Path = "tiny.en",
        device: str = "cpu",
        compute_type: str = "int8",
        language: str | None = None,
        **options: Any,
    ) -> None:
        self.name = Path(model).resolve().name if Path(model).is_dir() else str(model)
        self._whisper = _load_whisper(str(model), device, compute_type)
        self._options = {
            "vad_filter": True,
            "temperature": 0.0,
            "condition_on_previous_text": False,  # with it one wrong phrase may repeat to the end
            "language": language,
            **options,
        }
        languages: Sequence[str] = self._whisper.supported_languages
        if language is not None and language not in languages:
            known = ", ".join(languages)
            raise UsageError(
                f"language {language}: Whisper {self.name} transcribes {known}; give one of them, "
                "or another model",
                "language-unknown",
            )

    def __call__(
        self, samples: FloatArray, words: bool = False, should_stop: ShouldStop = never
    ) -> Transcript:
        """Transcribe one recording.

        Args:
            samples: (T,) mono float32 at 16 kHz, of any length.
            words: whether to compute the times of words.
            should_stop: called between two segments, of up to 30 s each.

        Raises:
            StoppedError: `should_stop` returned True.
        """
        decoded, info = self._whisper.transcribe(samples, word_timestamps=words, **self._options)
        segments = []
        for segment in decoded:  # each is computed when it is taken
            if should_stop():
                raise StoppedError
            if segment.compression_ratio > _REPEATING:
                logger.warning(
                    "Whisper %s repeats a phrase without end from %.2f s to %.2f s of its input; "
                    "this part has no transcript",
                    self.name,
                    segment.start,
                    segment.end,
                )
                continue
            segments.append(segment)
        return Transcript(
            " ".join(segment.text.strip() for segment in segments),
            info.language if segments else None,
            tuple(
                Word(float(word.start), float(word.end), word.word)
                for segment in segments
                for word in segment.words or ()
            ),
        )


def faster_whisper(
    model: str | Path = "tiny.en",
    device: str = "cpu",
    compute_type: str = "int8",
    language: str | None = None,
    **options: Any,
) -> FasterWhisper:
    """Load Whisper to transcribe items without text; see :class:`FasterWhisper`.

    ::

        predictor.predict("call.wav", transcribe=faster_whisper("models/whisper-small"))
    """
    return FasterWhisper(model, device, compute_type, language, **options)


def _load_whisper(model: str, device: str, compute_type: str) -> Any:
    try:
        library = importlib.import_module("faster_whisper")
    except ImportError as error:
        raise UsageError(
            'transcribing needs the library faster-whisper: `pip install -e ".[asr]"`',
            "library-missing",
        ) from error
    logging.getLogger("faster_whisper").setLevel(logging.WARNING)  # it logs lines for each file
    folder = Path(model)
    if folder.is_dir():
        if missing := [name for name in _MODEL_FILES if not (folder / name).is_file()]:
            raise _unreadable(model, f"the folder has no {' and no '.join(missing)}")
    elif model not in library.available_models() and not _may_be_on_hub(model):
        known = ", ".join(library.available_models())
        raise UsageError(
            f"Whisper {model}: there is no such folder, and no model of this name; give a folder "
            f"with a converted model, or one of {known}",
            "whisper-unknown",
        )
    try:
        return library.WhisperModel(model, device=device, compute_type=compute_type)
    except Exception as error:  # its libraries raise errors of many types, plain Exception too
        if folder.is_dir():
            raise _unreadable(model, one_line(str(error))) from error
        raise UsageError(
            f"Whisper {model}: is not on this machine and cannot be downloaded "
            f"({one_line(str(error).partition(chr(10))[0])}); run it once with a connection to the "
            "hub, or give a folder with a converted model",
            "whisper-not-downloaded",
        ) from error


def _may_be_on_hub(model: str) -> bool:
    """Return whether a name has the form OWNER/NAME of the hub, and is no path.

    >>> [_may_be_on_hub(name) for name in ("owner/whisper", "small", "models/a/b", "./whisper")]
    [True, False, False, False]
    """
    owner, slash, name = model.partition("/")
    return bool(owner.strip(".") and slash and name) and "/" not in name and owner[0] != "~"


def _unreadable(model: str, reason: str) -> UsageError:
    return UsageError(
        f"Whisper {model}: cannot be loaded ({reason}); give a folder that "
        "ct2-transformers-converter has written, with its tokenizer.json",
        "whisper-unreadable",
    )

"""Recordings and texts as a user gives them: one or many, files or arrays, read and checked."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data_prep.audio.loading import (
    AudioError,
    FloatArray,
    load_with_warnings,
)
from data_prep.audio.segment import AudioSegment, as_segment
from data_prep.manifest.cells import read_text
from data_prep.schema import SAMPLE_RATE
from emo_fairseq.errors import UsageError
from emo_fairseq.types import (
    SPEECH,
    TEXT,
)

Audio = str | Path | AudioSegment | np.ndarray | torch.Tensor


def load_item_audio(
    audio: Audio, sample_rate: float | None, name: str
) -> tuple[FloatArray, tuple[str, ...]]:
    """Load the audio of an item by the rules of :mod:`data_prep.audio.loading`.

    Args:
        audio: a file, or a segment of it; or an array or tensor (T,) or (T, channels), floating in
            [-1, 1], or int16, int32 or uint8.
        sample_rate: of an array, in Hz; a file states its own.
        name: of the item, for messages.

    Returns:
        Mono float32 samples (T,) at 16 kHz, and warnings, such as of digital silence.

    Raises:
        UsageError: it cannot be used; names the item, the file and the reason.
    """
    try:
        if isinstance(audio, str | Path | AudioSegment):
            part = as_segment(audio)
            return load_with_warnings(part.path, start=part.start, end=part.end)
        return load_with_warnings(_as_array(audio, name), source_rate=sample_rate)
    except AudioError as error:
        is_file = isinstance(audio, str | Path | AudioSegment)
        where = f"{name}: {audio}" if is_file else name
        raise UsageError(f"{where}: {error}") from error


def _as_array(audio: Any, name: str) -> np.ndarray:
    try:
        if isinstance(audio, torch.Tensor):
            audio = audio.detach().cpu()
            # numpy has not all of torch's floats, such as bfloat16
            audio = (audio.float() if audio.is_floating_point() else audio).numpy()
        return np.asarray(audio)
    except (NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(
            f"{name}: audio of {type(audio).__name__} that is no array of numbers ({reason}); give "
            "a file, or numbers (T,) or (T, channels)"
        ) from error


# -- items: recordings, texts or both --------------------------------------------------------------

Transcribe = Callable[[FloatArray], str]
_MANY = (list, tuple)


@dataclass(frozen=True)
class Item:
    """One recording, one text, or both.

    Attributes:
        name: for messages.
        sound: mono float32 samples at 16 kHz.
        text: as the tokenizer is to have it.
        seconds: length of the recording, also where the model does not hear it.
        warnings: what is odd about the recording.
    """

    name: str
    sound: FloatArray | None
    text: str | None
    seconds: float | None = None
    warnings: tuple[str, ...] = ()

    def has(self, modality: str) -> bool:
        """Whether the item has text or speech."""
        return {TEXT: self.text, SPEECH: self.sound}.get(modality) is not None


def pair_up(audio: Any, text: Any) -> tuple[list[tuple[str, Any, Any]], bool]:
    """(name, audio, text) of each item, and whether a list was given.

    Raises:
        UsageError: two lists of different lengths, or a list beside one alone.
    """
    is_many = isinstance(audio, _MANY) or isinstance(text, _MANY)
    if not is_many:
        return [("the input", audio, text)], False
    columns = {"audio": audio, "text": text}
    for name, column in columns.items():
        if column is not None and not isinstance(column, _MANY):
            raise UsageError(f"{name} is one alone beside a list; give a list of the same length")
    lengths = {len(column) for column in columns.values() if column is not None}
    if len(lengths) > 1:
        raise UsageError(
            f"{len(audio)} recordings and {len(text)} texts; give lists of the same length, with "
            "None where an item has none"
        )
    (n_items,) = lengths
    none = [None] * n_items
    pairs = zip(audio or none, text or none, strict=True)
    return [(f"item {number}", *pair) for number, pair in enumerate(pairs, start=1)], True


def check_batch_size(batch_size: int) -> None:
    """Raise a `UsageError` unless it is a whole number of at least 1."""
    if not isinstance(batch_size, int | np.integer) or batch_size < 1:
        raise UsageError(f"batch_size {batch_size}: give a whole number of at least 1")


class ItemReader:
    """Makes items of what was given, and refuses what a model cannot be asked.

    Args:
        modalities: that the model reads.
        cleans_text: whether texts are brought to the form of :mod:`data_prep.manifest.cells`.
    """

    def __init__(self, modalities: Sequence[str], cleans_text: bool) -> None:
        self._modalities = modalities
        self._cleans_text = cleans_text

    def read(
        self,
        name: str,
        audio: Audio | None,
        text: str | None,
        sample_rate: float | None = None,
        transcribe: Transcribe | None = None,
    ) -> Item:
        """One item.

        Raises:
            UsageError: nothing that the model reads, or something that it does not, or that is
                broken; names the item.
        """
        hears_words = transcribe is not None and TEXT in self._modalities
        self._check_read(name, audio, text, hears_words)
        sound: FloatArray | None = None
        warnings: tuple[str, ...] = ()
        if audio is not None:
            sound, warnings = load_item_audio(audio, sample_rate, _named(name, audio))
        if text is not None:
            text = self._clean(name, text)
            if not text:
                raise UsageError(f"{name}: the text is empty; leave it out (None) if there is none")
        elif transcribe is not None and sound is not None and hears_words:
            text = self._clean(name, _transcribed(name, sound, transcribe))
        heard = sound if SPEECH in self._modalities else None
        if heard is None and text is None:
            what = " and ".join(self._modalities)
            unheard = "no words were heard in it" if sound is not None else "there is nothing"
            raise UsageError(f"{name}: {unheard}, and the model reads {what}; give some of that")
        seconds = None if sound is None else len(sound) / SAMPLE_RATE
        return Item(name, heard, text, seconds, warnings)

    def _check_read(self, name: str, audio: Any, text: Any, hears_words: bool) -> None:
        reads = " and ".join(self._modalities)
        if audio is not None and SPEECH not in self._modalities and not hears_words:
            raise UsageError(
                f"{name}: audio, but the model reads {reads}; leave the audio out, or give "
                "transcribe, which makes text of it"
            )
        if text is not None and TEXT not in self._modalities:
            raise UsageError(f"{name}: text, but the model reads {reads}; leave the text out")

    def _clean(self, name: str, text: Any) -> str | None:
        if not isinstance(text, str):
            raise UsageError(f"{name}: the text is {type(text).__name__}, and not a string")
        try:
            return read_text(text, self._cleans_text)
        except ValueError as error:
            raise UsageError(f"{name}: {error}") from None


def _transcribed(name: str, sound: FloatArray, transcribe: Transcribe) -> Any:
    try:
        return transcribe(sound)
    except Exception as error:  # a function of others, which may raise anything
        raise UsageError(
            f"{name}: transcribe failed ({type(error).__name__}: {error}); give the text of this "
            "item, or another transcribe"
        ) from error


def _named(name: str, audio: Audio) -> str:
    if isinstance(audio, str | Path | AudioSegment):
        return f"{name} ({as_segment(audio).name})"
    return name


# -- transcripts, for models that read both text and speech ----------------------------------------
# Any function from (T,) mono float32 samples at 16 kHz to text will do::
#
#     predictor.predict("call.wav", transcribe=my_predictor_of_speech)


def faster_whisper(
    model: str = "tiny.en", device: str = "cpu", compute_type: str = "int8", **options: Any
) -> Transcribe:
    """Whisper as faster-whisper runs it.

    Args:
        model: a folder with a converted model; or a name, whose files the library fetches from the
            hub unless they are there already.
        device: ``cpu`` or ``cuda``.
        compute_type: the numbers that it computes with.
        options: of its ``transcribe``, such as ``language="en"``.

    Raises:
        UsageError: the library is not installed, or cannot read the model.
    """
    try:
        library = importlib.import_module("faster_whisper")
    except ImportError as error:
        raise UsageError(
            'transcribing needs the library faster-whisper: `pip install -e ".[asr]"`'
        ) from error
    try:
        whisper = library.WhisperModel(model, device=device, compute_type=compute_type)
    except (OSError, RuntimeError, ValueError) as error:
        raise UsageError(
            f"Whisper {model}: cannot be loaded ({error}); give the folder of a converted model"
        ) from error

    def transcribe(samples: FloatArray) -> str:
        segments, _ = whisper.transcribe(samples, **options)
        return " ".join(segment.text.strip() for segment in segments)

    return transcribe

"""Recordings, texts and videos as a user gives them: one or many, read and checked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Union

import numpy as np

from data_prep.audio.decoding import AudioError, FloatArray
from data_prep.audio.loading import load_with_warnings
from data_prep.audio.segment import AudioSegment, as_segment
from data_prep.manifest.cells import read_text
from data_prep.schema import SAMPLE_RATE
from data_prep.video.segment import VideoSegment
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.transcribing import Transcribe, Transcript, transcribed
from emo_fairseq.inference.videos import Clips, Video, VideoReader, sound_of
from emo_fairseq.modalities import SPEECH, TEXT, VIDEO

if TYPE_CHECKING:
    from torch import Tensor

Audio = Union[str, Path, bytes, AudioSegment, np.ndarray, "Tensor"]
LoadSegment = Callable[[AudioSegment], tuple[FloatArray, tuple[str, ...]]]


@dataclass(frozen=True)
class Item:
    """One recording, text or video, or several of them.

    Attributes:
        name: for messages.
        samples: (T,) mono float32 at 16 kHz; None without, or where the model reads no speech.
        text: as the tokenizer reads it; None without.
        seconds: length of the recording, also where the model does not read it; None without.
        warnings: sentences about the recording, such as that it is digital silence.
        transcript: of the recording; None where it was not transcribed.
        speaker: who speaks, for models with --normalize-by speaker and models of dialogues; None
            where that is not known.
        dialogue: that the item is a turn of; None where it is a dialogue of its own.
        clips: pictures of the video, by the options of those who read it; empty without one.
    """

    name: str
    samples: FloatArray | None
    text: str | None
    seconds: float | None = None
    warnings: tuple[str, ...] = ()
    transcript: Transcript | None = None
    speaker: str | None = None
    dialogue: str | None = None
    clips: Clips = field(default_factory=dict)

    def get(self, modality: str) -> "FloatArray | str | Clips | None":
        """Return the input of a modality; None where the item lacks it."""
        has_pictures = any(len(clip.pictures) for clip in self.clips.values())
        clips = self.clips if has_pictures else None
        return {TEXT: self.text, SPEECH: self.samples, VIDEO: clips}.get(modality)

    def has(self, modality: str) -> bool:
        """Return whether the item has an input of a modality."""
        return self.get(modality) is not None

    @property
    def n_bytes(self) -> int:
        """Size of the recording and of the pictures."""
        n_bytes = 0 if self.samples is None else self.samples.nbytes
        return n_bytes + sum(clip.pictures.nbytes for clip in self.clips.values())

    def without_recordings(self) -> "Item":
        """Return the item with its text alone."""
        return replace(self, samples=None, clips={})


class ItemReader:
    """Reads items for one model, and refuses what it cannot predict from.

    Args:
        modalities: that the model reads.
        normalizes_text: whether texts are normalized by :mod:`data_prep.manifest.cells`.
        videos: reads videos; None where none can be read.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        normalizes_text: bool,
        videos: VideoReader | None = None,
    ) -> None:
        self._modalities = modalities
        self._normalizes_text = normalizes_text
        self._videos = videos or VideoReader(())

    def read(
        self,
        name: str,
        audio: Audio | None,
        text: str | None,
        sample_rate: float | None = None,
        transcribe: Transcribe | None = None,
        load: LoadSegment | None = None,
        video: Video | None = None,
    ) -> Item:
        """Read one item.

        Args:
            name: of the item, for messages.
            audio: see :func:`load_item_audio`.
            text: one, or None.
            sample_rate: of an array, in Hz.
            transcribe: see :mod:`emo_fairseq.inference.transcribing`, for an item without text.
            load: see :func:`load_item_audio`.
            video: see :meth:`VideoReader.read`. Its sound is read, too, where the model reads
                speech and no audio is given.

        Raises:
            UsageError: the item has nothing that the model reads, or something that it does not
                read, or an input is broken; names the item.
        """
        if TEXT not in self._modalities:
            transcribe = None
        self._check_modalities(name, audio, text, video, transcribe is not None)
        clips: Clips = {}
        warnings: tuple[str, ...] = ()
        if video is not None:
            clips = self._videos.read(video, name)
            warnings = _video_warnings(clips)
            if audio is None and (SPEECH in self._modalities or transcribe is not None):
                audio, load = sound_of(video, name), None
        samples: FloatArray | None = None
        transcript: Transcript | None = None
        where = name if audio is None else _audio_name(name, audio)
        if audio is not None:
            samples, of_audio = load_item_audio(audio, sample_rate, where, load)
            warnings += of_audio
        if text is not None:
            text = self.read_text(name, text)
            if not text:
                raise UsageError(
                    f"{name}: the text is empty; leave it out (None) if there is none", "text-empty"
                )
        elif transcribe is not None and samples is not None:
            transcript = transcribed(name, samples, transcribe)
            text = self.read_text(name, transcript.text)
        seconds = None if samples is None else len(samples) / SAMPLE_RATE
        speech = samples if SPEECH in self._modalities else None
        item = Item(where, speech, text, seconds, warnings, transcript, clips=clips)
        if speech is None and text is None and not item.has(VIDEO):
            reason = "its transcript is empty" if samples is not None else "there is nothing"
            if clips:
                reason = "there is no face in its pictures"
            raise UsageError(
                f"{name}: {reason}, and the model reads {' and '.join(self._modalities)}; give "
                "some of that",
                "item-empty",
            )
        return item

    def read_pictures(self, item: Item, video: VideoSegment) -> Item:
        """Return an item with the pictures of a segment, which its speech is of.

        Pictures that end before the segment begins are masked, with a warning.

        Raises:
            UsageError: the video cannot be decoded; names the item.
        """
        try:
            clips = self._videos.read(video, item.name)
        except UsageError as error:
            if error.code != "segment-outside":
                raise
            return replace(item, warnings=(*item.warnings, f"video is masked: {error}"))
        return replace(item, clips=clips, warnings=(*item.warnings, *_video_warnings(clips)))

    def _check_modalities(
        self, name: str, audio: Any, text: Any, video: Any, uses_transcript: bool
    ) -> None:
        reads = " and ".join(self._modalities)
        if audio is not None and SPEECH not in self._modalities and not uses_transcript:
            raise UsageError(
                f"{name}: audio, but the model reads {reads}; leave the audio out, or give "
                "transcribe, which makes text of it",
                "modality-not-read",
            )
        if text is not None and TEXT not in self._modalities:
            raise UsageError(
                f"{name}: text, but the model reads {reads}; leave the text out",
                "modality-not-read",
            )
        if video is not None and VIDEO not in self._modalities:
            raise UsageError(
                f"{name}: video, but the model reads {reads}; leave the video out, or give it as "
                "audio for its sound",
                "modality-not-read",
            )

    def read_text(self, name: str, text: Any) -> str | None:
        """Return a text as the model reads it; None for an empty one. Raises a `UsageError`."""
        if not isinstance(text, str):
            raise UsageError(
                f"{name}: the text is {type(text).__name__}, and not a string", "text-type"
            )
        try:
            return read_text(text, self._normalizes_text)
        except ValueError as error:
            raise UsageError(f"{name}: {error}", "text-invalid") from None


class Given(NamedTuple):
    """One item of :meth:`EmotionPredictor.predict`, before it is read.

    Attributes:
        name: for messages.
        audio: see :func:`load_item_audio`.
        text: what is said.
        speaker: who speaks.
        dialogue: that it is a turn of.
        video: see :meth:`VideoReader.read`.
    """

    name: str
    audio: Audio | None = None
    text: str | None = None
    speaker: str | None = None
    dialogue: str | None = None
    video: Video | None = None


def pair_inputs(
    audio: Any, text: Any, speaker: Any = None, dialogue: Any = None, video: Any = None
) -> tuple[list[Given], bool]:
    """Pair the arguments of :meth:`EmotionPredictor.predict`.

    >>> for item in pair_inputs(None, ["a", "b"], "ann")[0]:
    ...     print(item.name, item.text, item.speaker)
    item 1 a ann
    item 2 b ann
    >>> pair_inputs("a.wav", "a")[0][0].name
    'the input'

    Returns:
        The items, and whether lists were given.

    Raises:
        UsageError: lists of different lengths, a list and no list, or a name that is no string.
    """
    columns = {"audio": audio, "text": text, "video": video}
    is_list = {name: isinstance(column, list | tuple) for name, column in columns.items()}
    if not any(is_list.values()):
        (who,), (where,) = _names(speaker, 1, "speaker"), _names(dialogue, 1, "dialogue")
        return [Given("the input", audio, text, who, where, video)], False
    for name, column in columns.items():
        if column is not None and not is_list[name]:
            raise UsageError(
                f"{name} is no list, and others are; give lists of the same length",
                "batch-mixed",
            )
    lengths = {len(column) for column in columns.values() if column is not None}
    if len(lengths) > 1:
        nouns = {"audio": "recordings", "text": "texts", "video": "videos"}
        counted = [f"{len(x)} {nouns[name]}" for name, x in columns.items() if x is not None]
        raise UsageError(
            f"{' and '.join(counted)}; give lists of the same length, with None where an item has "
            "none",
            "batch-lengths-differ",
        )
    n_items = lengths.pop()
    none = [None] * n_items
    rows = zip(
        audio or none,
        text or none,
        _names(speaker, n_items, "speaker"),
        _names(dialogue, n_items, "dialogue"),
        video or none,
        strict=True,
    )
    return [Given(f"item {number}", *row) for number, row in enumerate(rows, start=1)], True


def _names(names: Any, n_items: int, option: str) -> list[str | None]:
    """Return the speaker or the dialogue of each item.

    Raises:
        UsageError: a list of another length, or something that is no string.
    """
    if not isinstance(names, list | tuple):
        names = [names] * n_items
    if len(names) != n_items:
        raise UsageError(
            f"{len(names)} {option}s for {n_items} items; give one for each, None where it is not "
            "known, or one for all",
            "batch-lengths-differ",
        )
    for number, name in enumerate(names, start=1):
        if name is not None and not isinstance(name, str):
            raise UsageError(
                f"item {number}: the {option} is {type(name).__name__}, and not a string; give its "
                "name, or None",
                "name-type",
            )
    return list(names)


def check_batch_size(batch_size: int) -> None:
    """Raise a `UsageError` unless it is a whole number of at least 1."""
    if not isinstance(batch_size, int | np.integer) or batch_size < 1:
        raise UsageError(
            f"batch_size {batch_size}: give a whole number of at least 1", "batch-size-invalid"
        )


def _video_warnings(clips: Clips) -> tuple[str, ...]:
    """Return the warning of pictures without a face."""
    without = [clip for clip in clips.values() if clip.n_without_face]
    if not without:
        return ()
    clip = without[0]
    return (f"no face in {clip.n_without_face} of {clip.n_read} pictures, which are masked",)


# -- audio -----------------------------------------------------------------------------------------


def load_item_audio(
    audio: Audio, sample_rate: float | None, name: str, load: LoadSegment | None = None
) -> tuple[FloatArray, tuple[str, ...]]:
    """Load the audio of an item by the rules of :mod:`data_prep.audio.loading`.

    Args:
        audio: a file, a segment of it, or the content of a file; or an array or tensor (T,) or
            (T, channels), floating in [-1, 1], or int16, int32 or uint8.
        sample_rate: of an array, in Hz; a file states its own.
        name: of the item, for messages.
        load: loads a segment of a file; None: by itself.

    Returns:
        Mono float32 samples (T,) at 16 kHz, and warnings, such as of digital silence.

    Raises:
        UsageError: it cannot be used; names the item, the file and the reason.
    """
    is_file = isinstance(audio, str | Path | AudioSegment)
    try:
        if isinstance(audio, str | Path | AudioSegment):
            part = as_segment(audio)
            if load is not None:
                return load(part)
            return load_with_warnings(
                part.path, start=part.start, end=part.end, channel=part.channel
            )
        if isinstance(audio, bytes):  # of a video
            return load_with_warnings(audio)
        return load_with_warnings(_as_array(audio, name), source_rate=sample_rate)
    except AudioError as error:
        where = f"{name}: {audio}" if is_file else name  # type: ignore[str-bytes-safe]
        raise UsageError(f"{where}: {error}", error.code) from error


def _as_array(audio: Any, name: str) -> np.ndarray:
    try:
        if hasattr(audio, "is_floating_point"):  # a tensor of torch, which need not be installed
            audio = audio.detach().cpu()
            # numpy has not all of torch's floats, such as bfloat16
            audio = (audio.float() if audio.is_floating_point() else audio).numpy()
        return np.asarray(audio)
    except (NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(
            f"{name}: audio of {type(audio).__name__} that is no array of numbers ({reason}); give "
            "a file, or numbers (T,) or (T, channels)",
            "audio-type",
        ) from error


def _audio_name(name: str, audio: Audio) -> str:
    if isinstance(audio, str | Path | AudioSegment):
        return f"{name} ({as_segment(audio).name})"
    return name

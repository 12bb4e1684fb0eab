"""Items: recordings, texts and videos that are read and checked."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from data_prep.audio.decoding import FloatArray
from data_prep.audio.segment import AudioSegment, as_segment
from data_prep.manifest.cells import read_text
from data_prep.schema import SAMPLE_RATE
from data_prep.video.segment import VideoSegment
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.item_audio import Audio, LoadSegment, load_item_audio
from emo_fairseq.inference.transcribing import Transcribe, Transcript, transcribed
from emo_fairseq.inference.videos import Clips, Video, VideoReader, sound_of
from emo_fairseq.modalities import SPEECH, TEXT, VIDEO


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


def _video_warnings(clips: Clips) -> tuple[str, ...]:
    """Return the warning of pictures without a face."""
    without = [clip for clip in clips.values() if clip.n_without_face]
    if not without:
        return ()
    clip = without[0]
    return (f"no face in {clip.n_without_face} of {clip.n_read} pictures, which are masked",)


def _audio_name(name: str, audio: Audio) -> str:
    if isinstance(audio, str | Path | AudioSegment):
        return f"{name} ({as_segment(audio).name})"
    return name

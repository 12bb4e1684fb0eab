"""The sound of video clips (mp4, avi, ...) as mono FLAC, decoded by FFmpeg through PyAV.

Channels are mixed to one, then resampled by soxr (HQ) and stored in 16 bits. Stereo is averaged;
surround is mixed as in ITU-R BS.775, so that the centre, where films put speech, is not drowned.
Of PyAV only this file knows, which is not among our dependencies: `pip install av`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from tqdm import tqdm

from data_prep.audio.decoding import AudioError
from data_prep.audio.length import default_workers, measure_audio
from data_prep.files.replacing import replacing
from data_prep.records import SAMPLE_RATE

FloatArray = npt.NDArray[np.float32]

# Sound may be so much shorter than the container says: encoders round up to whole packets.
LOST_SECONDS = 0.25
# A clip that was cut out of a stream may begin and end in the middle of a packet.
BROKEN_PACKETS = 2
# ITU-R BS.775: five channels to one. The bass channel (LFE) holds no speech and is left out.
_WEIGHTS = {
    **dict.fromkeys(("FL", "FR"), 0.5**0.5),
    "FC": 1.0,
    "LFE": 0.0,
    **dict.fromkeys(("BL", "BR", "SL", "SR"), 0.5),
}


def extract_all(
    clips: Sequence[tuple[Path, Path]],
    *,
    max_seconds: float,
    workers: int | None = None,
    progress: bool = False,
) -> list[int | AudioError]:
    """`extract_audio` over (video, target) pairs, in order and in threads.

    An error takes its clip's place. What an interrupted run has finished is not made again. Raises
    ValueError where PyAV is not installed.
    """
    load_av()

    def extract(clip: tuple[Path, Path]) -> int | AudioError:
        try:
            return extract_audio(*clip, max_seconds=max_seconds)
        except AudioError as error:
            return error

    with ThreadPoolExecutor(workers or default_workers()) as pool:
        try:
            found = pool.map(extract, clips)
            hide = not progress or not clips
            return list(tqdm(found, "sound of videos", len(clips), unit="clip", disable=hide))
        finally:
            pool.shutdown(cancel_futures=True)  # at Ctrl-C do not wait for those not begun


def extract_audio(
    video: Path, target: Path, *, max_seconds: float, sample_rate: int = SAMPLE_RATE
) -> int:
    """Write the sound of `video` to `target`, a FLAC, whole or not at all; returns its samples.

    A `target` that can be decoded, and whose comment names this video and its size, is kept. Raises
    AudioError for a clip that is absent, unreadable or corrupt, has no audio stream or no samples
    in it, or is longer than `max_seconds`; nothing is written then.
    """
    _refuse_absent(video)
    n_samples = _samples_made(video, target, sample_rate)
    if n_samples is None:
        waveform, rate = decode_video(video, max_seconds)
        if rate != sample_rate:
            waveform = soxr.resample(waveform, rate, sample_rate)
        n_samples = len(waveform)
        if not n_samples:
            raise AudioError("holds no sound (0 samples)")
        _write(target, waveform, sample_rate, _stamp(video))
    _refuse_long(n_samples / sample_rate, max_seconds)
    return n_samples


def _samples_made(video: Path, target: Path, sample_rate: int) -> int | None:
    """The length of a target that needs no making, or None."""
    try:
        n_samples = measure_audio(target, sample_rate)
    except AudioError:
        return None
    with soundfile.SoundFile(target) as sound:
        return n_samples if sound.comment == _stamp(video) else None


def _stamp(video: Path) -> str:
    """By which a clip is told from one that was put in its place."""
    return f"{video.name}, {video.stat().st_size} bytes"


def _write(target: Path, waveform: FloatArray, sample_rate: int, comment: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    form = {"format": "FLAC", "subtype": "PCM_16"}
    try:
        with (
            replacing(target, is_locked=True) as part,
            soundfile.SoundFile(part, "w", sample_rate, channels=1, **form) as sound,
        ):
            sound.comment = comment
            sound.write(waveform)
    except soundfile.SoundFileError as error:
        raise OSError(f"{target}: cannot be written ({error})") from error


def decode_video(path: Path, max_seconds: float) -> tuple[FloatArray, int]:
    """The sound of a video as (n_samples,) mono float32, and its sample rate. Raises AudioError."""
    _refuse_absent(path)
    _refuse_cut_riff(path)
    av = load_av()
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            stream = container.streams.best("audio")
            if stream is None:
                raise AudioError("holds no audio stream")
            return _decode_stream(container, stream, max_seconds)
    except av.FFmpegError as error:
        raise AudioError(f"unreadable: {error.strerror}") from None


def _decode_stream(container: Any, stream: Any, max_seconds: float) -> tuple[FloatArray, int]:
    stated = None if stream.duration is None else float(stream.duration * stream.time_base)
    if stated is not None:
        _refuse_long(stated, max_seconds)
    blocks: list[FloatArray] = []
    first, n_samples = None, 0
    for frame in _frames(container, stream):
        first = first or frame
        if (frame.sample_rate, frame.layout.name) != (first.sample_rate, first.layout.name):
            raise AudioError("changes its sample rate or its channels midway")
        blocks.append(_to_mono(frame))
        n_samples += len(blocks[-1])
        _refuse_long(n_samples / frame.sample_rate, max_seconds)
    if first is None or not n_samples:
        raise AudioError("holds no sound (0 samples)")
    seconds = n_samples / first.sample_rate
    if stated is not None and seconds < stated - LOST_SECONDS:
        raise AudioError(f"truncated: {seconds:.2f} of {stated:.2f} s decode")
    waveform = np.concatenate(blocks)
    if not np.isfinite(waveform).all():
        raise AudioError("holds samples that are NaN or infinite")
    return waveform, int(first.sample_rate)


def _frames(container: Any, stream: Any) -> Iterator[Any]:
    """Decoded frames of planar float32, whatever the codec's own format. Raises AudioError."""
    av = load_av()
    to_float = av.AudioResampler(format="fltp")  # of the format alone
    broken, packets = 0, 0
    for packet in container.demux(stream):
        packets += 1
        try:
            frames = packet.decode()
        except av.FFmpegError:
            broken += 1
            continue
        for frame in frames:
            yield from to_float.resample(frame)
    if broken > BROKEN_PACKETS:
        raise AudioError(f"corrupt: {broken} of {packets} packets cannot be decoded")


def _to_mono(frame: Any) -> FloatArray:
    """(channels, n) planar frame -> (n,), its channels weighted to a sum of 1."""
    channels: FloatArray = frame.to_ndarray()
    names = [channel.name for channel in frame.layout.channels]
    known = len(names) == len(channels) and all(name in _WEIGHTS for name in names)
    weights = np.array([_WEIGHTS[name] if known else 1.0 for name in names or channels])
    if not weights.sum():
        weights = np.ones(len(channels))
    return (weights / weights.sum() @ channels).astype(np.float32)


def _refuse_absent(path: Path) -> None:
    if not path.is_file():
        raise AudioError("there is no such file")
    if not path.stat().st_size:
        raise AudioError("the file is empty (0 bytes)")


def _refuse_long(seconds: float, max_seconds: float) -> None:
    if seconds > max_seconds:
        raise AudioError(f"{seconds:.1f} s long or more, over the limit of {max_seconds:g} s")


def _refuse_cut_riff(path: Path) -> None:
    """An avi that was cut short still reads to its end; its first chunk's length tells."""
    with path.open("rb") as file:
        head = file.read(8)
    size, stated = path.stat().st_size, 8 + int.from_bytes(head[4:8], "little")
    if head[:4] == b"RIFF" and size < stated:
        raise AudioError(f"truncated: {size} of {stated} bytes")


def load_av() -> Any:
    """The module `av`. Raises ValueError where PyAV is not installed."""
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise ValueError("sound out of videos needs PyAV: `pip install av`") from error

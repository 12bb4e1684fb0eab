"""Kinds of audio files, good and bad, with the verdict that every command has to give on them."""

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import soundfile

from data_prep.audio.part import SILENCE

RATE = 16_000
VOICE = (0.4 * np.sin(np.arange(8000) ** 1.3 / 90)).astype(np.float32)
ANTIPHASE = "channels in antiphase"
IN_DOUBT = "length in doubt"


@dataclass(frozen=True)
class Kind:
    """A file's content, and its samples at 16 kHz or a part of the reason to refuse it."""

    make: Callable[[], bytes]
    verdict: int | str
    warnings: tuple[str, ...] = ()  # up to their colon
    tolerance: int = 0  # samples by which codecs pad


def encode(samples: np.ndarray, kind: str, subtype: str, rate: int = RATE) -> bytes:
    """Content of a file, by soundfile."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def encode_by_pyav(container: str, codec: str, rate: int = RATE, sound: bool = True) -> bytes:
    """Content of a file, by PyAV; without sound a gray picture."""
    av = pytest.importorskip("av")
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        if sound:
            stream = output.add_stream(codec, rate=rate, layout="mono")
            n_frames = stream.codec_context.frame_size or 1024
            for start in range(0, len(VOICE), n_frames):
                part = np.ascontiguousarray(VOICE[None, start : start + n_frames])
                frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
                frame.sample_rate, frame.pts = RATE, start
                output.mux(stream.encode(frame))
        else:
            stream = output.add_stream(codec, rate=10)
            stream.width = stream.height = 32
            stream.pix_fmt = "yuv420p"
            gray = np.full((32, 32, 3), 128, np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(gray, format="rgb24")))
        output.mux(stream.encode(None))
    return file.getvalue()


def wav(samples: np.ndarray = VOICE, subtype: str = "PCM_16") -> bytes:
    """Content of a WAV."""
    return encode(samples, "WAV", subtype)


def with_size(content: bytes, size: int, riff: int | None = None) -> bytes:
    """A WAV whose chunk of samples states another size."""
    at = content.index(b"data") + 4
    changed = content[:at] + struct.pack("<I", size) + content[at + 4 :]
    return changed if riff is None else changed[:4] + struct.pack("<I", riff) + changed[8:]


def with_rate(content: bytes, rate: int) -> bytes:
    """A WAV of 16 bits that states another rate."""
    return content[:24] + struct.pack("<II", rate, 2 * rate) + content[32:]


def without_length(flac: bytes) -> bytes:
    """A FLAC whose STREAMINFO counts 0 samples, as a pipe leaves it."""
    return flac[:21] + bytes([flac[21] & 0xF0]) + bytes(4) + flac[26:]


def stereo(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(T, 2)."""
    return np.stack([left, right], axis=1)


def holed(value: float) -> np.ndarray:
    """The voice with one sample replaced."""
    return np.where(np.arange(len(VOICE)) == 5000, np.float32(value), VOICE)


WAVS = ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW")
OTHERS = {
    "WAVEX float": ("WAVEX", "FLOAT"),
    "AIFF": ("AIFF", "PCM_16"),
    "AIFF float": ("AIFF", "FLOAT"),
    "AU float": ("AU", "FLOAT"),
    "CAF float": ("CAF", "FLOAT"),
    "W64 float": ("W64", "FLOAT"),
    "RF64": ("RF64", "PCM_24"),
    "FLAC": ("FLAC", "PCM_16"),
    "NIST SPHERE": ("NIST", "PCM_16"),
    "Ogg Vorbis": ("OGG", "VORBIS"),
    "MP3": ("MP3", "MPEG_LAYER_III"),
}
ONE_HERTZ = "a sample rate of 1 Hz; supported are 1000 to 1000000 Hz"
SCALE = "where full scale is 1; divide them by the full scale"

KINDS: dict[str, Kind] = {
    **{f"WAV {name}": Kind(lambda name=name: wav(subtype=name), 8000) for name in WAVS},  # type: ignore[misc]
    **{
        name: Kind(lambda form=form: encode(VOICE, *form), 8000)  # type: ignore[misc]
        for name, form in OTHERS.items()
    },
    "stereo at 48 kHz": Kind(
        lambda: encode(stereo(VOICE, VOICE / 2), "WAV", "PCM_16", 48_000), 2667
    ),
    "GSM 6.10": Kind(lambda: encode(VOICE, "WAV", "GSM610", 8000), 16_000, tolerance=640),
    "m4a": Kind(lambda: encode_by_pyav("ipod", "aac"), 8000, tolerance=2048),
    "mp4": Kind(lambda: encode_by_pyav("mp4", "aac"), 8000, tolerance=2048),
    "webm": Kind(lambda: encode_by_pyav("webm", "libopus", 48_000), 8000, tolerance=2048),
    "data size 0": Kind(lambda: with_size(wav(), 0), 8000),
    "data size 0 in RIFF 36": Kind(lambda: with_size(wav(), 0, 36), 8000),
    "data size ffffffff": Kind(lambda: with_size(wav(), 0xFFFFFFFF, 0xFFFFFFFF), 8000),
    "half the data size": Kind(lambda: with_size(wav(), 8000), 4000, (IN_DOUBT,)),
    "FLAC of 0 samples": Kind(lambda: without_length(encode(VOICE, "FLAC", "PCM_16")), 8000),
    "one window": Kind(lambda: wav(VOICE[:400]), 400),
    "399 samples": Kind(lambda: wav(VOICE[:399]), "24.9 ms of sound are less than one window"),
    "1 sample": Kind(lambda: wav(VOICE[:1]), "0.0625 ms of sound are less than one window"),
    "no samples": Kind(lambda: wav(VOICE[:0]), "holds no sound (0 samples)"),
    "no samples, but a note": Kind(
        lambda: wav(VOICE[:0]) + b"LIST" + struct.pack("<I", 4000) + b"INFO" * 1000,
        "holds no sound (0 samples)",
    ),
    "digital silence": Kind(lambda: wav(0 * VOICE), 8000, (SILENCE.partition(":")[0],)),
    "antiphase": Kind(lambda: wav(stereo(VOICE, -VOICE)), 8000, (ANTIPHASE,)),
    "one channel of two": Kind(lambda: wav(stereo(VOICE, 0 * VOICE)), 8000),
    "overshoot": Kind(lambda: wav(VOICE * 5, "FLOAT"), 8000),
    "float at the scale of int16": Kind(lambda: wav(VOICE * 32768, "FLOAT"), SCALE),
    "1e30": Kind(lambda: wav(holed(1e30), "FLOAT"), SCALE),
    "1e300": Kind(lambda: wav(np.full(8000, 1e300), "DOUBLE"), "NaN or infinite"),
    "NaN": Kind(lambda: wav(holed(np.nan), "FLOAT"), "NaN or infinite"),
    "truncated WAV": Kind(lambda: wav()[:9000], "truncated: 8956 of 16000 bytes"),
    "truncated FLAC": Kind(lambda: encode(VOICE, "FLAC", "PCM_16")[:-2000], "unreadable"),
    "truncated Ogg": Kind(lambda: encode(VOICE, "OGG", "VORBIS")[:-100], "truncated"),
    "truncated AIFF": Kind(lambda: encode(VOICE, "AIFF", "PCM_16")[:9000], "truncated"),
    "empty": Kind(lambda: b"", "the file is empty (0 bytes)"),
    "text": Kind(lambda: b"<html>not found</html>" * 99, "unreadable: Format not recognised"),
    "playlist": Kind(lambda: b"#EXTM3U\n#EXTINF:9,\n/etc/hostname\n", "unreadable: a playlist"),
    "video alone": Kind(lambda: encode_by_pyav("mp4", "mpeg4", sound=False), "no audio stream"),
    "1 Hz": Kind(lambda: with_rate(wav(), 1), ONE_HERTZ),
    "33 channels": Kind(lambda: wav(np.zeros((800, 33))), "33 channels; supported are 1 to 32"),
}

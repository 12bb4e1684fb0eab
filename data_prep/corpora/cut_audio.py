"""Stretches of long recordings as files of their own, since a manifest names whole files only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile

from data_prep.audio.decoding import AudioError
from data_prep.files.replacing import replacing

SUFFIX = ".flac"
_SLACK = 0.02  # seconds by which an end may lie behind that of the recording, as rounding has it
_SIXTEEN = "PCM_16"


@dataclass(frozen=True)
class Stretch:
    """From `start` to `end` (None: the recording's), in seconds, of `source`, into `target`."""

    source: Path
    start: float
    end: float | None
    target: Path


def cut_all(stretches: Sequence[Stretch]) -> list[AudioError | None]:
    """Write every stretch as FLAC, channels and rate as they are; an error takes its place."""
    found: list[AudioError | None] = []
    for stretch in stretches:
        try:
            _cut(stretch)
            found.append(None)
        except AudioError as error:
            found.append(error)
        except (soundfile.SoundFileError, OSError) as error:
            reason = str(error).replace(f"Error opening {str(stretch.source)!r}: ", "").strip()
            found.append(AudioError(f"unreadable: {reason}"))
    return found


def _cut(stretch: Stretch) -> None:
    if not stretch.source.is_file():
        raise AudioError("there is no such file")
    with soundfile.SoundFile(stretch.source) as sound:
        length = sound.frames / sound.samplerate
        end = length if stretch.end is None else stretch.end
        if not 0 <= stretch.start < end <= length + _SLACK:
            raise AudioError(
                f"the stretch from {stretch.start:g} s to {end:g} s is not in its {length:g} s"
            )
        first, last = (round(time * sound.samplerate) for time in (stretch.start, end))
        sound.seek(first)
        is_sixteen = sound.subtype == _SIXTEEN
        samples = sound.read(last - first, dtype="int16" if is_sixteen else "int32")
        rate = sound.samplerate
    if not len(samples):
        raise AudioError("holds no sound (0 samples)")
    stretch.target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(stretch.target) as part:
        subtype = _SIXTEEN if is_sixteen else "PCM_24"
        soundfile.write(part, samples, rate, format="FLAC", subtype=subtype)

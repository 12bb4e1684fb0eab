"""A speech-like voice with audible arousal and without words: source, formants, syllables.

`synthesize` makes a harmonic source with a pitch contour and jitter, shapes it by the formants of
one vowel per syllable, swells it once a syllable and adds background noise. Arousal raises and
widens the pitch, speeds up the syllables, adds energy and flattens the spectral tilt. Speakers
differ in pitch and level by more than arousal changes either, so neither decides alone; the tilt
and syllable rates of the two manners do not meet for any speaker. Plain numpy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Rng = np.random.Generator
Range = tuple[float, float]

SAMPLE_RATE = 16_000
SECONDS: Range = (0.8, 2.0)
NOISE_DB: Range = (-28.0, -18.0)  # background, relative to the voice
MEAN_LEVEL_DB = -28.0  # root mean square below full scale, before speaker and manner
JITTER = 0.01  # relative pitch wobble from one 10 ms to the next
NYQUIST_GUARD = 7_600.0  # no harmonic above this: nothing folds back at 16 kHz
WAVETABLE = 4096

# First three formants (Hz) of i, e, a, o, u: means for men in Peterson and Barney (1952).
VOWELS = np.array(
    [
        [270.0, 2290.0, 3010.0],
        [530.0, 1840.0, 2480.0],
        [730.0, 1090.0, 2440.0],
        [570.0, 840.0, 2410.0],
        [300.0, 870.0, 2240.0],
    ]
)
BANDWIDTHS = np.array([80.0, 110.0, 160.0])


@dataclass(frozen=True)
class Manner:
    """How one level of arousal sounds; every pair is a range that is drawn from uniformly."""

    pitch_ratio: Range  # of the speaker's own pitch
    pitch_span: Range  # semitones between the contour's lowest and highest point
    syllables_per_second: Range
    gain_db: Range
    tilt_db: Range  # per octave of the source's harmonics


CALM = Manner((0.92, 1.05), (1.0, 2.5), (2.6, 3.4), (-3.0, 0.0), (-15.0, -13.0))
AROUSED = Manner((1.20, 1.45), (5.0, 9.0), (4.8, 6.2), (2.0, 5.0), (-7.0, -5.0))


@dataclass(frozen=True)
class Voice:
    """What stays the same in all utterances of one speaker."""

    pitch_hz: float
    formant_ratio: float  # vocal tract length, against VOWELS
    level_db: float
    tilt_db: float
    pace: float  # factor on the syllable rate


def draw_voice(rng: Rng) -> Voice:
    """A new speaker, from low-pitched and long-tracted to the opposite."""
    height = rng.uniform()  # 0 to 1; pitch and formants go together, loosely
    return Voice(
        pitch_hz=float(90.0 * 2.5 ** np.clip(height + rng.normal(0, 0.1), 0, 1)),
        formant_ratio=0.92 + 0.25 * height + rng.uniform(-0.03, 0.03),
        level_db=rng.uniform(-7.0, 7.0),
        tilt_db=rng.uniform(-1.0, 1.0),
        pace=rng.uniform(0.9, 1.1),
    )


def shift_voice(voice: Voice, semitones: float) -> Voice:
    """The same speaker, higher by `semitones` and louder by half as many dB; by 0 unchanged."""
    pitch_hz = voice.pitch_hz * 2.0 ** (semitones / 12)
    return replace(voice, pitch_hz=pitch_hz, level_db=voice.level_db + semitones / 2)


def synthesize(voice: Voice, aroused: bool, rng: Rng) -> npt.NDArray[np.float32]:
    """One utterance, (n_samples,) float32 in [-1, 1] at 16 kHz, 0.8 to 2.0 s.

    The length is drawn independently of `aroused`, so it has no information.
    """
    manner = AROUSED if aroused else CALM
    n_samples = int(SAMPLE_RATE * rng.uniform(*SECONDS))
    seconds = n_samples / SAMPLE_RATE
    rate = voice.pace * rng.uniform(*manner.syllables_per_second)
    n_syllables = max(2, round(rate * seconds))
    pitch = _pitch_contour(voice, manner, n_samples, n_syllables, rng)
    source = _harmonics(pitch, voice.tilt_db + rng.uniform(*manner.tilt_db))
    speech = _articulate(source, voice.formant_ratio, n_syllables, rng)
    level = MEAN_LEVEL_DB + voice.level_db + rng.uniform(*manner.gain_db)
    speech *= _amplitude(level) / np.sqrt(np.mean(speech**2))
    noise = rng.normal(0, _amplitude(level + rng.uniform(*NOISE_DB)), n_samples)
    mixed = speech + noise
    return (mixed / max(1.0, np.abs(mixed).max() / 0.99)).astype(np.float32)


def _amplitude(decibels: float) -> float:
    return float(10 ** (decibels / 20))


def _pitch_contour(
    voice: Voice, manner: Manner, n_samples: int, n_syllables: int, rng: Rng
) -> npt.NDArray[np.float64]:
    """Pitch in Hz at every sample: accents that fall over the utterance, and jitter."""
    accents = rng.uniform(0, 1, n_syllables + 1) + np.linspace(0.5, 0, n_syllables + 1)
    accents = (accents - accents.min()) / np.ptp(accents) - 0.5  # lowest -0.5, highest +0.5
    at = np.linspace(0, n_syllables, n_samples)
    # Cosine interpolation: the contour is flat where it turns, as intonation is.
    left = np.minimum(at.astype(int), n_syllables - 1)
    share = 0.5 - 0.5 * np.cos(np.pi * (at - left))
    contour = accents[left] * (1 - share) + accents[left + 1] * share
    semitones = contour * rng.uniform(*manner.pitch_span)
    n_steps = n_samples // 160 + 2
    wobble = np.interp(np.arange(n_samples) / 160, np.arange(n_steps), rng.normal(0, 1, n_steps))
    base = voice.pitch_hz * rng.uniform(*manner.pitch_ratio)
    return np.asarray(base * 2 ** (semitones / 12) * (1 + JITTER * wobble))


def _harmonics(pitch: npt.NDArray[np.float64], tilt_db: float) -> npt.NDArray[np.float64]:
    """Harmonics of `pitch`, each octave `tilt_db` above the last, read from one period's table."""
    n_harmonics = int(NYQUIST_GUARD / pitch.max())
    number = np.arange(1, n_harmonics + 1)
    spectrum = np.zeros(WAVETABLE // 2 + 1, dtype=complex)
    spectrum[1 : n_harmonics + 1] = 10 ** (tilt_db * np.log2(number) / 20)
    period = np.fft.irfft(spectrum, WAVETABLE)
    phase = np.cumsum(pitch / SAMPLE_RATE) % 1.0
    return np.interp(phase * WAVETABLE, np.arange(WAVETABLE + 1), np.append(period, period[0]))


def _articulate(
    source: npt.NDArray[np.float64], formant_ratio: float, n_syllables: int, rng: Rng
) -> npt.NDArray[np.float64]:
    """Give each syllable a vowel and a swell; vowels change where the swell is near its floor."""
    n_samples = len(source)
    vowels = rng.integers(0, len(VOWELS), n_syllables)
    stress = rng.uniform(0.7, 1.0, n_syllables)
    at = np.linspace(0, n_syllables, n_samples, endpoint=False)
    syllable = at.astype(int)
    swell = 0.04 + 0.96 * stress[syllable] * np.sin(np.pi * (at - syllable)) ** 0.8
    length = 1 << n_samples.bit_length()  # a power of two: fast, and nothing wraps round
    spectrum = np.fft.rfft(source, length)
    frequency = np.fft.rfftfreq(length, 1 / SAMPLE_RATE)
    speech = np.zeros(n_samples)
    for vowel in np.unique(vowels):
        response = _formants(frequency, VOWELS[vowel] * formant_ratio)
        voiced = np.fft.irfft(spectrum * response, length)[:n_samples]
        is_spoken = vowels[syllable] == vowel
        speech[is_spoken] = voiced[is_spoken]
    return np.asarray(speech * swell)


def _formants(
    frequency: npt.NDArray[np.floating[Any]], centers: npt.NDArray[np.float64]
) -> npt.NDArray[np.complex128]:
    """Frequency response of second-order resonances in a row, 1 at 0 Hz."""
    response = np.ones(len(frequency), dtype=np.complex128)
    for center, bandwidth in zip(centers, BANDWIDTHS, strict=True):
        response *= center**2 / (center**2 - frequency**2 + 1j * bandwidth * frequency)
    return response

"""Transforms of audiomentations from a file, and voices of other speakers."""

import random
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from codes import raises
from input_examples import N_ROWS, make_tones

from data_prep.schema import SAMPLE_RATE
from emo_fairseq.data.audio import MIN_SAMPLES, InMemoryWaveforms
from emo_fairseq.data.augmentation import Babble, Transformed

SPEAKERS = ["a", "b", "b", "c", None, None]


def voices(power: float = 0.01, length: int = 4000) -> InMemoryWaveforms:
    """Waveforms of one frequency each, by which a voice is recognized in a mixture."""
    time = np.arange(length) / SAMPLE_RATE
    rows = [
        np.sqrt(2 * power) * np.sin(2 * np.pi * 200 * (row + 1) * time).astype(np.float32)
        for row in range(len(SPEAKERS) - 1)
    ]
    return InMemoryWaveforms([row.astype(np.float32) for row in rows] + [None], 10**6)


def heard(samples: torch.Tensor) -> dict[int, float]:
    """Return the power of each row's frequency in samples of 4000."""
    spectrum = np.abs(np.fft.rfft(samples.double().numpy()) / len(samples)) ** 2
    bins = [200 * (row + 1) * len(samples) // SAMPLE_RATE for row in range(len(SPEAKERS) - 1)]
    return {row: 2 * float(spectrum[place]) for row, place in enumerate(bins)}


def babble(n_speakers: int = 2, snr: tuple[float, float] = (10.0, 10.0), seed: int = 1) -> Babble:
    return Babble(voices(), voices(), SPEAKERS, n_speakers, snr, seed)


# -- babble ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("snr", [0.0, 10.0])
def test_babble_is_of_other_speakers_at_the_ratio_and_all_equally_loud(snr: float) -> None:
    dataset = babble(snr=(snr, snr))
    for epoch in range(1, 9):
        dataset.set_epoch(epoch)
        for row in (0, 1, 3):
            own, (samples, present) = voices()[row][0], dataset[row]
            assert present
            added = samples - own
            assert 10 * np.log10(float(own.square().mean() / added.square().mean())) == (
                pytest.approx(snr, abs=0.01)
            )
            powers = {other: power for other, power in heard(added).items() if power > 1e-6}
            speakers = {SPEAKERS[other] for other in powers}
            assert SPEAKERS[row] not in speakers
            assert None not in speakers
            assert len(speakers) == len(powers) == 2
            assert max(powers.values()) == pytest.approx(min(powers.values()), rel=0.01)


def test_every_other_row_is_drawn_at_some_time() -> None:
    dataset = babble(n_speakers=1)
    drawn = set()
    for epoch in range(1, 41):
        dataset.set_epoch(epoch)
        added = dataset[0][0] - voices()[0][0]
        drawn |= {row for row, power in heard(added).items() if power > 1e-6}
    assert drawn == {1, 2, 3}


def test_a_row_without_a_known_speaker_or_audio_stays_as_it_is() -> None:
    dataset = babble()
    assert torch.equal(dataset[4][0], voices()[4][0])
    assert not dataset[5][1]


def test_a_shorter_voice_is_repeated_and_silence_adds_nothing() -> None:
    long, short = np.full(3000, 0.1, np.float32), np.linspace(-1, 1, 700, dtype=np.float32)
    dataset = InMemoryWaveforms([long, short, np.zeros(3000, np.float32)], 10**6)
    added = Babble(dataset, dataset, ["a", "b", None], 3, (0, 0), seed=1)[0][0] - dataset[0][0]
    torch.testing.assert_close(added[:2300], added[700:], rtol=1e-4, atol=1e-6)
    silent = Babble(dataset, dataset, ["a", None, "c"], 3, (0, 0), seed=1)
    assert torch.equal(silent[0][0], dataset[0][0])


def test_babble_depends_on_seed_epoch_and_row_alone() -> None:
    first, again, other = babble(), babble(), babble(seed=2)
    expected = [first[row][0] for row in range(4)]
    assert all(torch.equal(again[row][0], expected[row]) for row in (3, 1, 0, 2))
    assert not torch.equal(other[0][0], expected[0])
    again.set_epoch(2)
    assert not torch.equal(again[0][0], expected[0])
    again.set_epoch(1)
    assert torch.equal(again[0][0], expected[0])


# -- transforms ------------------------------------------------------------------------------------


@pytest.fixture
def transforms(tmp_path: Path) -> Path:
    """A file with a room, recorded noise, pitch, a telephone and a codec."""
    pytest.importorskip("audiomentations", reason="the extra augment is not installed")
    (tmp_path / "noises").mkdir()
    generator = np.random.default_rng(0)
    for name in "ba":
        noise = 0.1 * generator.standard_normal(SAMPLE_RATE)
        soundfile.write(tmp_path / "noises" / f"{name}.wav", noise, SAMPLE_RATE)
    file = tmp_path / "scene.yaml"
    file.write_text(
        f"""\
- RoomSimulator: {{use_ray_tracing: true, leave_length_unchanged: true, p: 1.0}}
- AddBackgroundNoise: {{sounds_path: {tmp_path}/noises, p: 0.5}}
- PitchShift: {{min_semitones: -2, max_semitones: 2}}
- Compose:
    p: 0.5
    transforms:
      - HighPassFilter: {{min_cutoff_freq: 300, max_cutoff_freq: 300, p: 1.0}}
      - LowPassFilter: {{min_cutoff_freq: 3400, max_cutoff_freq: 3400, p: 1.0}}
- Mp3Compression: {{p: 0.5}}
"""
    )
    return file


def test_transforms_depend_on_seed_epoch_and_row_alone(tmp_path: Path, transforms: Path) -> None:
    first, again = (Transformed(make_tones(tmp_path), str(transforms), 10**6, 1) for _ in range(2))
    expected = [first[row][0] for row in range(N_ROWS - 1)]
    for row in (3, 1, 0, 2, 4):
        assert torch.equal(again[row][0], expected[row])
        assert expected[row].isfinite().all()
        assert len(expected[row]) >= MIN_SAMPLES
        assert not torch.equal(expected[row][: len(first.dataset[row][0])], first.dataset[row][0])
    again.set_epoch(2)
    assert not torch.equal(again[0][0], expected[0])
    assert not again[N_ROWS - 1][1]


def test_global_random_numbers_are_those_of_before(tmp_path: Path, transforms: Path) -> None:
    dataset = Transformed(make_tones(tmp_path), str(transforms), 10**6, seed=1)
    random.seed(5)
    np.random.seed(5)
    expected = random.random(), np.random.random()
    random.seed(5)
    np.random.seed(5)
    first = dataset[3][0]
    assert (random.random(), np.random.random()) == expected
    assert torch.equal(dataset[3][0], first)


def test_what_becomes_longer_is_truncated(tmp_path: Path) -> None:
    pytest.importorskip("audiomentations", reason="the extra augment is not installed")
    file = tmp_path / "slower.yaml"
    file.write_text(
        "- TimeStretch: {min_rate: 0.8, max_rate: 0.8, leave_length_unchanged: false, p: 1.0}\n"
    )
    dataset = Transformed(make_tones(tmp_path), str(file), 7000, seed=1)
    assert len(dataset[2][0]) == pytest.approx(4800 / 0.8, abs=2)
    assert len(dataset[4][0]) == 7000


@pytest.mark.parametrize(
    "content",
    [
        "- Reverberation: {}",
        "- PitchShift: {semitones: 2}",
        "- PitchShift: {min_semitones: 3, max_semitones: 1}",
        "- OneOf: {p: 0.5}",
        "- AddBackgroundNoise: {sounds_path: nowhere}",
    ],
)
def test_files_that_name_no_transforms_are_refused(tmp_path: Path, content: str) -> None:
    pytest.importorskip("audiomentations", reason="the extra augment is not installed")
    file = tmp_path / "scene.yaml"
    file.write_text(content)
    with raises("transforms-invalid"):
        Transformed(make_tones(tmp_path), str(file), 10**6, seed=1)


def test_what_is_no_list_of_transforms_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "scene.yaml"
    for content, code in (("PitchShift", "document-invalid"), ("[]", "transforms-invalid")):
        file.write_text(content)
        with raises(code):
            Transformed(make_tones(tmp_path), str(file), 10**6, seed=1)


def test_a_missing_library_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "audiomentations", None)
    file = tmp_path / "scene.yaml"
    file.write_text("- PitchShift: {}")
    with pytest.raises(ValueError, match=r"needs audiomentations; `pip install .*\[augment\]`"):
        Transformed(make_tones(tmp_path), str(file), 10**6, seed=1)

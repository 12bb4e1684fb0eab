"""Audio packed as 16-bit samples: what is stored, what is done again, and what is refused."""

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import three_tones
from codes import raises

from data_prep.audio.segment import audio_of
from data_prep.commands.pack_audio import main, pack_audio
from data_prep.commands.validate import validate
from data_prep.packed_audio import decoding, packing
from data_prep.packed_audio.card import (
    CARD_FILE,
    DIGESTS_FILE,
    FOLDER,
    PackedSplit,
    read_card,
    write_card,
)
from data_prep.packed_audio.opening import open_packed
from data_prep.packed_audio.quantizing import dequantize, quantize
from data_prep.packed_audio.rows import State
from data_prep.packed_audio.stored import PackedAudio
from data_prep.schema import SAMPLE_RATE, Corpus, Utterance, read_manifest, write_corpus

UNIT = 1 / 32768
# file -> rate, channels, subtype, peak; the first three have 16 bits at 16 kHz, or fewer
SOURCES = {
    "plain.wav": (16_000, 1, "PCM_16", 0.5),
    "plain.flac": (16_000, 1, "PCM_16", 1.0),
    "phone.wav": (16_000, 1, "ULAW", 0.5),
    "deep.wav": (16_000, 1, "PCM_24", 0.5),
    "loud.wav": (16_000, 1, "FLOAT", 1.7),
    "louder.wav": (16_000, 1, "FLOAT", 3.9),
    "music.wav": (44_100, 2, "FLOAT", 1.0),
    "phone8.wav": (8_000, 1, "PCM_16", 0.5),
}


def write_sources(folder: Path) -> list[Utterance]:
    """A row each, and one without audio; of all different lengths."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, (name, (rate, channels, subtype, peak)) in enumerate(SOURCES.items()):
        noise = np.random.default_rng(number).uniform(-1, 1, (rate // 10 + 16 * number, channels))
        soundfile.write(folder / name, peak * noise / np.abs(noise).max(), rate, subtype)
        n_samples = round(len(noise) * SAMPLE_RATE / rate)
        rows.append(Utterance(f"row{number}", audio=name, n_samples=n_samples, emotion="sad"))
    return [*rows[:4], Utterance("silent", text="words", emotion="sad"), *rows[4:]]


def write(data_dir: Path, rows: list[Utterance]) -> Path:
    write_corpus(data_dir, Corpus("noises", labels={"emotion": ("sad",)}), {"train": rows})
    return data_dir


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return write(tmp_path, write_sources(tmp_path))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were decoded."""
    names: list[str] = []
    load = decoding._load_one

    def load_one(part, sample_rate):  # type: ignore[no-untyped-def]
        names.append(part.path.name)
        return load(part, sample_rate)

    monkeypatch.setattr(decoding, "_load_one", load_one)
    return names


def card_of(data_dir: Path) -> PackedSplit:
    card = read_card(data_dir / FOLDER)
    assert card is not None
    return card.splits["train"]


def opened(data_dir: Path, root: Path | None = None) -> PackedAudio | None:
    manifest = data_dir / "train.tsv"
    rows = read_manifest(manifest)
    return open_packed(data_dir / FOLDER, manifest, rows, root or data_dir, SAMPLE_RATE)


def differences(data_dir: Path, root: Path | None = None) -> list[float]:
    """The largest difference of each row to its file, in units of 16 bits; after all checks."""
    packed = opened(data_dir)
    assert packed is not None
    largest = []
    for number, row in enumerate(read_manifest(data_dir / "train.tsv")):
        audio = audio_of(row, root or data_dir)
        packed.check(number)
        if audio is None:
            assert not packed.has_samples(number)
            largest.append(0.0)
            continue
        samples = packed.read(number)
        assert samples.dtype == np.float32
        largest.append(float(np.abs(samples - audio.load()).max()) / UNIT)
    return largest


def content(data_dir: Path) -> dict[str, bytes]:
    files = (data_dir / FOLDER).iterdir()
    skipped = (".lock", DIGESTS_FILE)
    return {file.name: file.read_bytes() for file in files if file.name not in skipped}


# -- What is stored --------------------------------------------------------------------------------


def test_16_bit_files_are_stored_as_they_are_and_others_within_their_bound(data_dir: Path) -> None:
    pack_audio(data_dir)
    *exact, deep, silent, loud, louder, music, phone8 = differences(data_dir)
    assert exact == [0.0, 0.0, 0.0]
    assert silent == 0.0
    assert 0 < deep <= 0.5
    assert 0 < phone8 <= 0.5
    assert 0.5 < loud <= 1.0  # it was halved, and not clipped
    assert 1.0 < louder <= 2.0
    assert 0 < music <= 1.0
    card = card_of(data_dir)
    assert (card.rows, card.without_audio, card.exact, card.rounded) == (9, 1, 3, 5)
    assert card.halved >= 2
    assert card.max_error == 2.0
    assert card.unreadable.rows == 0
    values = np.fromfile(data_dir / FOLDER / "train.s16le", "<i2")
    assert card.samples == len(values) == sum(map(len_of(data_dir), range(9)))
    plain = soundfile.read(data_dir / "plain.wav", dtype="int16")[0]
    np.testing.assert_array_equal(values[: len(plain)], plain)


def len_of(data_dir: Path) -> Callable[[int], int]:
    rows = read_manifest(data_dir / "train.tsv")
    return lambda row: rows[row].n_samples or 0


@pytest.mark.parametrize("peak", [1e-6, 0.1, 32767 / 32768, 1.0, 1.2, 2.1, 5.0])
def test_the_error_of_16_bits_is_bounded(peak: float) -> None:
    noise = np.random.default_rng(0).uniform(-1, 1, 4096)
    samples = np.append(noise, [-1.0, 1.0]).astype(np.float32) * np.float32(peak)
    values, shift, is_exact = quantize(samples)
    error = np.abs(dequantize(values, shift).astype(np.float64) - samples).max() / UNIT
    assert error <= 0.5 * 2**shift
    assert not is_exact
    assert shift == max(0, int(np.ceil(np.log2(peak * 32768 / 32767.5))))


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_every_integer_is_kept(shift: int) -> None:
    integers = np.arange(-32768, 32768).astype(np.int16)
    quantized = quantize(dequantize(integers, shift))
    np.testing.assert_array_equal(quantized.values, integers)
    assert quantized[1:] == (shift, True)


def test_segments_are_those_of_their_recording(tmp_path: Path) -> None:
    three_tones.write_recording(tmp_path / "long.wav", rate=16_000, subtype="PCM_16")
    plain = write_sources(tmp_path)[0]
    write(tmp_path, [*three_tones.rows(), replace(plain, emotion="sad")])
    pack_audio(tmp_path)
    assert differences(tmp_path) == [0.0] * 4
    packed = opened(tmp_path)
    assert packed is not None
    assert [three_tones.pitch(packed.read(row)) for row in range(3)] == [300, 900, 2100]
    assert len(packed.read(0, 100)) == 100
    assert len(packed.sources) == 2  # a recording once, however many segments it has


def test_processes_and_chunks_do_not_matter(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pack_audio(data_dir)
    alone = content(data_dir)
    monkeypatch.setattr(packing, "_CHUNK_ROWS", 2)
    folder = data_dir / "again" / FOLDER
    assert main([str(data_dir), "--out-dir", str(folder), "--workers", "2"]) == 0
    assert content(data_dir / "again") == alone
    printed = capsys.readouterr().out.splitlines()
    assert printed[-4] == str(folder)
    assert " ".join(printed[-2].split()) == "train 9 1 0.00 0.00 GB 3 5 2 2"


def test_what_is_odd_is_reported(data_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    soundfile.write(data_dir / "plain.wav", np.zeros(1600), 16_000)
    rows = read_manifest(data_dir / "train.tsv")
    write(data_dir, [*rows[:5], replace(rows[5], n_samples=1700), *rows[6:]])
    pack_audio(data_dir)
    warnings = card_of(data_dir).warnings
    assert {kind: odd.first for kind, odd in warnings.items()} == {
        "digital silence": ["row0"],
        "n_samples of the manifest is not the length of the audio": ["row4"],
    }
    assert opened(data_dir) is not None
    assert "digital silence, 1 rows: row0" in caplog.text


# -- What is done again ----------------------------------------------------------------------------


def test_nothing_is_decoded_twice(data_dir: Path, decoded: list[str]) -> None:
    pack_audio(data_dir)
    assert sorted(decoded) == sorted(SOURCES)
    before = content(data_dir)
    decoded.clear()
    pack_audio(data_dir)
    assert decoded == []
    assert content(data_dir) == before


def test_an_interrupted_run_continues(
    data_dir: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pack_audio(data_dir, out_dir=data_dir / "whole" / FOLDER)
    monkeypatch.setattr(packing, "_CHUNK_ROWS", 2)
    write_rows = packing._Rows._write

    def interrupt(self, start, stop, chunk):  # type: ignore[no-untyped-def]
        if start == 4:
            raise KeyboardInterrupt
        write_rows(self, start, stop, chunk)

    with monkeypatch.context() as patch:
        patch.setattr(packing._Rows, "_write", interrupt)
        with pytest.raises(KeyboardInterrupt):
            pack_audio(data_dir)
    assert not (data_dir / FOLDER / CARD_FILE).exists()
    assert opened(data_dir) is None
    decoded.clear()
    pack_audio(data_dir)
    assert sorted(decoded) == sorted(list(SOURCES)[4:])
    assert content(data_dir) == content(data_dir / "whole")


@pytest.mark.parametrize("damage", ["cut", "flip", "tail", "file"])
def test_a_journal_is_continued_up_to_what_is_damaged(
    data_dir: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    pack_audio(data_dir, out_dir=data_dir / "whole" / FOLDER)
    with monkeypatch.context() as patch:
        patch.setattr(packing.PartialPack, "finish", fail)
        with pytest.raises(RuntimeError):
            pack_audio(data_dir)
    samples = data_dir / FOLDER / ".train.partial" / "samples"
    with samples.open("rb+") as file:
        if damage == "cut":
            file.truncate(3300)
        elif damage == "flip":
            file.seek(3300)
            file.write(b"\x55\x55\x55")
        elif damage == "tail":
            file.seek(0, os.SEEK_END)
            file.write(b"more")
    if damage == "file":  # the second row's has another content by now
        rows = read_manifest(data_dir / "train.tsv")
        soundfile.write(data_dir / "plain.flac", np.full(rows[1].n_samples or 0, 0.25), 16_000)
        pack_audio(data_dir, out_dir=data_dir / "whole" / FOLDER)
    decoded.clear()
    pack_audio(data_dir)
    assert sorted(decoded) == ([] if damage == "tail" else sorted(list(SOURCES)[1:]))
    assert content(data_dir)["train.s16le"] == content(data_dir / "whole")["train.s16le"]
    assert max(differences(data_dir)) <= 2.0


def fail(partial_pack: object) -> None:
    raise RuntimeError("the power fails")


def test_after_a_change_of_the_manifest_only_new_rows_are_decoded(
    data_dir: Path, decoded: list[str]
) -> None:
    rows = read_manifest(data_dir / "train.tsv")
    write(data_dir, [rows[6], *rows[:3]])
    pack_audio(data_dir)
    write(data_dir, [*rows[1:]])
    assert opened(data_dir) is None  # of another manifest
    decoded.clear()
    pack_audio(data_dir)
    assert sorted(decoded) == ["deep.wav", "loud.wav", "music.wav", "phone8.wav"]
    assert max(differences(data_dir)) <= 2.0
    assert card_of(data_dir).exact == 2


# -- What cannot be read ---------------------------------------------------------------------------


def test_unreadable_files_are_listed_and_the_others_packed(
    data_dir: Path, decoded: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    whole = (data_dir / "plain.flac").read_bytes()
    (data_dir / "plain.flac").write_bytes(whole[:100])
    (data_dir / "deep.wav").unlink()
    with raises("audio-invalid") as error:
        pack_audio(data_dir)
    listed = [str(fault) for fault in validate(data_dir) if fault.code == "audio-invalid"]
    assert len(listed) == 2
    assert str(error.value).splitlines()[:2] == listed
    assert f"{data_dir / 'train.tsv'}: row 3: audio plain.flac: " in listed[0]
    assert card_of(data_dir).unreadable.first == ["row1", "row3"]
    packed = opened(data_dir)
    assert packed is not None
    assert packed.rows["state"].tolist().count(State.UNREADABLE) == 2
    assert "is read from files, 2 rows: row1, row3" in caplog.text

    before = (data_dir / FOLDER / "train.s16le").stat().st_mtime_ns
    with raises("audio-invalid") as again:  # without writing all of it again
        pack_audio(data_dir)
    assert str(again.value) == str(error.value)
    assert (data_dir / FOLDER / "train.s16le").stat().st_mtime_ns == before

    (data_dir / "plain.flac").write_bytes(whole)
    rows = read_manifest(data_dir / "train.tsv")
    write(data_dir, [row for row in rows if row.id != "row3"])
    decoded.clear()
    pack_audio(data_dir)
    assert decoded == ["plain.flac"]
    assert differences(data_dir)[1] == 0.0


def test_a_folder_without_recordings_is_named_once(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with raises("recordings-missing"):
        pack_audio(data_dir, tmp_path / "empty")


def test_a_disk_that_is_too_small_is_refused_before_decoding(
    data_dir: Path, decoded: list[str]
) -> None:
    rows = read_manifest(data_dir / "train.tsv")
    write(data_dir, [replace(rows[0], n_samples=10**15), *rows[1:]])
    with raises("disk-too-small") as error:
        pack_audio(data_dir)
    assert "2000000.00 GB" in str(error.value)
    assert decoded == []


# -- What is out of date, or damaged ---------------------------------------------------------------


def test_files_that_have_changed_are_noticed(
    data_dir: Path, decoded: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    pack_audio(data_dir)
    plain = data_dir / "plain.wav"
    os.utime(plain, ns=(1, 1))  # as a copy has
    assert opened(data_dir) is not None
    changed = bytearray(plain.read_bytes())
    changed[-1] ^= 1
    plain.write_bytes(changed)  # of the same size
    assert opened(data_dir) is None
    assert "1 of its 8 files have changed since" in caplog.text
    assert str(plain) in caplog.text
    assert [fault.code for fault in validate(data_dir)] == ["packed-audio-outdated"]
    decoded.clear()
    pack_audio(data_dir)
    assert decoded == ["plain.wav"]
    assert differences(data_dir)[0] == 0.0


def test_a_file_of_the_same_size_and_time_is_another(data_dir: Path, decoded: list[str]) -> None:
    pack_audio(data_dir)
    plain, other = data_dir / "plain.wav", data_dir / "other.wav"
    decoded.clear()
    for exchanged in (plain, other):  # in place, and by another file
        status = plain.stat()
        content = bytearray(plain.read_bytes())
        content[-1] ^= 1
        exchanged.write_bytes(content)
        os.utime(exchanged, ns=(status.st_atime_ns, status.st_mtime_ns))
        exchanged.replace(plain)
        assert opened(data_dir) is None
        assert [fault.code for fault in validate(data_dir)] == ["packed-audio-outdated"]
        pack_audio(data_dir)
        assert differences(data_dir)[0] == 0.0
    assert decoded == ["plain.wav"] * 2


def test_a_file_that_changes_while_it_is_decoded_is_not_packed(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = decoding._load_one

    def load_one(part, sample_rate):  # type: ignore[no-untyped-def]
        loaded = load(part, sample_rate)
        if part.path.name == "plain.wav":
            part.path.write_bytes((data_dir / "phone.wav").read_bytes())
        return loaded

    monkeypatch.setattr(decoding, "_load_one", load_one)
    with raises("audio-invalid") as error:
        pack_audio(data_dir)
    assert "row 2: audio plain.wav: changes while it is read" in str(error.value)


def test_files_that_are_elsewhere_are_not_needed(
    data_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pack_audio(data_dir)
    caplog.set_level(logging.INFO)
    assert opened(data_dir, root=tmp_path / "elsewhere") is not None
    assert "8 of its 8 files are not in" in caplog.text


def test_audio_of_an_older_format_is_packed_again(
    data_dir: Path, decoded: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    pack_audio(data_dir)
    card = read_card(data_dir / FOLDER)
    assert card is not None
    write_card(data_dir / FOLDER, card.model_copy(update={"format": 1}))
    assert opened(data_dir) is None
    reason = "its format is 1, where segments of Ogg Vorbis, and features extracted from them,"
    assert reason in caplog.text
    assert [fault.code for fault in validate(data_dir)] == ["packed-audio-outdated"]
    caplog.clear()
    decoded.clear()
    pack_audio(data_dir)
    assert reason in caplog.text
    assert sorted(decoded) == sorted(SOURCES)
    assert opened(data_dir) is not None


@pytest.mark.parametrize("name", ["train.rows.npy", "train.files.npy", "train.s16le"])
@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_damage_is_noticed(data_dir: Path, name: str, damage: str) -> None:
    pack_audio(data_dir)
    file = data_dir / FOLDER / name
    written = bytearray(file.read_bytes())
    if damage == "cut":
        del written[-1]
    else:
        written[-1] ^= 1
    file.write_bytes(written)
    with raises("packed-audio-damaged" if name.endswith("s16le") else "file-damaged"):
        packed = opened(data_dir)
        assert packed is not None
        for row in range(len(packed)):
            packed.check(row)
    assert len(validate(data_dir)) == 1
    pack_audio(data_dir)
    assert max(differences(data_dir)) <= 2.0
    assert validate(data_dir) == []

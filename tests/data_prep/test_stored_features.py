"""Feature folders: ours, and the layouts in which others leave theirs."""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from codes import raises

from data_prep.features.frame_files import read_frames, write_frames
from data_prep.features.stored import is_finished, open_features, read_card, write_split
from data_prep.files import digests
from data_prep.schema import Utterance

WIDTH = 5
LENGTHS = (3, 0, 1, 4)
ROWS = [Utterance(id=f"u{number}", audio=f"u{number}.wav") for number in range(4)]
SETTINGS = {"features": "noise", "dtype": "float16"}


def frames_of(lengths: Sequence[int] = LENGTHS, width: int = WIDTH) -> list[np.ndarray]:
    noise = np.random.default_rng(3)
    return [noise.normal(size=(length, width)).astype(np.float32) for length in lengths]


def stack(folder: Path, split: str = "train", lengths: Sequence[int] = LENGTHS) -> Path:
    """emotion2vec's layout."""
    folder.mkdir(exist_ok=True)
    np.save(folder / f"{split}.npy", np.concatenate(frames_of(lengths)))
    (folder / f"{split}.lengths").write_text("".join(f"{length}\n" for length in lengths))
    return folder


# -- ours ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_rows_are_read_as_they_were_written(tmp_path: Path, dtype: str) -> None:
    expected = frames_of()
    write_split(tmp_path, "train", ROWS, iter(expected), {**SETTINGS, "dtype": dtype}, "digest")
    stored = open_features(tmp_path, "train", ROWS)
    assert stored is not None
    assert isinstance(stored.frames, np.memmap)
    assert stored.frames.dtype == dtype
    for row, frames in enumerate(expected):
        np.testing.assert_array_equal(stored[row], frames.astype(dtype))


def test_numpy_alone_reads_the_file(tmp_path: Path) -> None:
    """However many frames there are, the header has its length."""
    for lengths in ((), (0, 0), (1,), (100_000, 3)):
        write_frames(tmp_path, "train", iter(frames_of(lengths)), "float32")
        array = np.load(tmp_path / "train.npy")
        assert array.shape == (sum(lengths), WIDTH if lengths else 0)
        np.testing.assert_array_equal(array, read_frames(tmp_path, "train").frames)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1e5, "train.npy: u2: a number of 100000 is beyond float16; give --dtype float32"),
        (np.nan, "train.npy: u2: frames are NaN or infinite; look at its source"),
        (-np.inf, "train.npy: u2: frames are NaN or infinite; look at its source"),
    ],
)
def test_what_cannot_be_stored_is_refused(tmp_path: Path, value: float, message: str) -> None:
    write_split(tmp_path, "train", ROWS, iter(frames_of()), SETTINGS, "old")
    before = (tmp_path / "train.npy").read_bytes()
    broken = frames_of()
    broken[2][0, 1] = value
    with pytest.raises(ValueError, match=message):
        write_split(tmp_path, "train", ROWS, iter(broken), SETTINGS, "new")
    assert (tmp_path / "train.npy").read_bytes() == before
    assert read_card(tmp_path)["splits"]["train"]["content"] == "old"


def test_rows_of_another_width_are_refused(tmp_path: Path) -> None:
    broken = [*frames_of()[:3], *frames_of((2,), width=6)]
    with raises("features-width"):
        write_split(tmp_path, "train", ROWS, iter(broken), SETTINGS, "new")
    assert list(tmp_path.iterdir()) == []


def test_other_settings_vouch_for_no_older_split(tmp_path: Path) -> None:
    write_split(tmp_path, "train", ROWS, iter(frames_of()), SETTINGS, "a")
    write_split(tmp_path, "valid", ROWS, iter(frames_of()), {**SETTINGS, "layer": 3}, "a")
    assert set(read_card(tmp_path)["splits"]) == {"valid"}
    assert open_features(tmp_path, "train", ROWS) is None


@pytest.mark.parametrize("modality", ["text", "speech"])
def test_an_edited_text_spoils_features_of_text_alone(tmp_path: Path, modality: str) -> None:
    settings = {**SETTINGS, "modality": modality}
    rows = [replace(row, text=f"text {row.id}") for row in ROWS]
    write_split(tmp_path, "train", rows, iter(frames_of()), settings, "digest")
    assert open_features(tmp_path, "train", rows) is not None
    edited = [*rows[:-1], replace(rows[-1], text="another")]
    assert is_finished(tmp_path, "train", edited, settings, "digest") == (modality == "speech")
    if modality == "speech":
        assert open_features(tmp_path, "train", edited) is not None
        return
    message = (
        r"train\.npy: the texts have changed since; run `python -m data_prep.extract_features`"
    )
    with pytest.raises(ValueError, match=message):
        open_features(tmp_path, "train", edited)


def test_a_card_that_is_broken_is_named(tmp_path: Path) -> None:
    (tmp_path / "features.yaml").write_text("splits: [")
    with raises("document-invalid"):
        open_features(tmp_path, "train", ROWS)


# -- others' ---------------------------------------------------------------------------------------


def test_a_folder_with_nothing_of_the_split(tmp_path: Path) -> None:
    assert open_features(tmp_path / "none", "train", ROWS) is None
    assert open_features(stack(tmp_path), "valid", ROWS) is None


def test_frames_and_lengths(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        stored = open_features(stack(tmp_path), "train", ROWS)
    assert stored is not None
    assert isinstance(stored.frames, np.memmap)
    for row, frames in enumerate(frames_of()):
        np.testing.assert_array_equal(stored[row], frames)
    assert "train.npy: 1 of 4 rows have no features: u1" in caplog.text


def test_rows_without_frames_that_were_written_here_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frames = frames_of()
    write_split(tmp_path, "train", ROWS, frames, {"dtype": "float32", "column": "x"}, "x")
    with caplog.at_level(logging.WARNING):
        assert open_features(tmp_path, "train", ROWS) is not None
    assert "train.npy: 1 of 4 rows have no features: u1" in caplog.text


def test_a_vector_a_row(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    vectors = np.concatenate(frames_of((1, 1, 1, 1)))
    np.save(tmp_path / "train.npy", vectors)
    stored = open_features(tmp_path, "train", ROWS)
    assert stored is not None
    assert stored.offsets.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(stored[3], vectors[3:])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.npy"]
    assert not caplog.records


def test_a_vector_of_nan_is_a_missing_row(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    vectors = np.concatenate(frames_of((1, 1, 1, 1)))
    vectors[1:3] = np.nan
    np.save(tmp_path / "train.npy", vectors)
    with caplog.at_level(logging.WARNING):
        stored = open_features(tmp_path, "train", ROWS)
    assert stored is not None
    assert [len(stored[row]) for row in range(4)] == [1, 0, 0, 1]
    np.testing.assert_array_equal(stored[3], vectors[3:])
    assert "2 of 4 rows have no features: u1, u2" in caplog.text


def one_file_a_row(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for row, frames in zip(ROWS, frames_of(), strict=True):
        if len(frames):
            np.save(folder / f"{row.id}.npy", frames[0] if len(frames) == 1 else frames)
    return folder


@pytest.mark.parametrize("inner", ["train", "."])
def test_a_file_a_row(tmp_path: Path, inner: str, caplog: pytest.LogCaptureFixture) -> None:
    one_file_a_row(tmp_path / "x" / inner)
    with caplog.at_level(logging.WARNING):
        stored = open_features(tmp_path / "x", "train", ROWS)
    assert stored is not None
    assert isinstance(stored.frames, np.memmap)
    for row, frames in enumerate(frames_of()):
        np.testing.assert_array_equal(stored[row], frames)
    assert "1 of 4 rows have no features: u1" in caplog.text


def test_files_are_packed_once_and_again_when_one_changes(tmp_path: Path) -> None:
    files = one_file_a_row(tmp_path / "train")
    packed = tmp_path / "packed" / "train.npy"
    open_features(tmp_path, "train", ROWS)
    before = packed.stat().st_mtime_ns
    open_features(tmp_path, "train", ROWS)
    assert packed.stat().st_mtime_ns == before
    np.save(files / "u1.npy", frames_of((2,))[0])
    stored = open_features(tmp_path, "train", ROWS)
    assert stored is not None
    assert len(stored[1]) == 2
    stored = open_features(tmp_path, "train", ROWS[2:])  # another manifest
    assert stored is not None
    np.testing.assert_array_equal(stored[0], frames_of()[2])


Break = Callable[[Path], object]
FAULTS: dict[str, tuple[Break, str]] = {
    "lengths of another run": (
        lambda folder: (folder / "train.lengths").write_text("3\n0\n1\n5\n"),
        r"train\.lengths: lengths add up to 9, but train\.npy has 8 frames; they are of different",
    ),
    "lengths that are none": (
        lambda folder: (folder / "train.lengths").write_text("3\n0\n1.5\n4\n"),
        r"train\.lengths: row 3: '1\.5' is no length from 0 to 8, the frames there are; compute",
    ),
    "a length below zero": (
        lambda folder: (folder / "train.lengths").write_text("3\n-1\n2\n4\n"),
        r"train\.lengths: row 2: '-1' is no length from 0 to 8",
    ),
    "lengths whose sum wraps to that of the frames": (
        lambda folder: (folder / "train.lengths").write_text(f"{2**63 - 1}\n{2**63 - 1}\n2\n8\n"),
        r"train\.lengths: row 1: '9223372036854775807' is no length from 0 to 8",
    ),
    "no numbers in a frame": (
        lambda folder: np.save(folder / "train.npy", np.zeros((8, 0), np.float32)),
        r"train\.npy: its 8 frames have no numbers \(a width of 0\); write it again",
    ),
    "bytes at the end": (
        lambda folder: (folder / "train.npy").open("ab").write(b"\0" * 7),
        r"train\.npy: 7 bytes more than its header names; write it again",
    ),
    "other rows": (
        lambda folder: (folder / "train.lengths").write_text("4\n4\n"),
        r"train\.lengths: 2 rows, but the manifest has 4; it must have one for each",
    ),
    "other vectors": (
        lambda folder: (folder / "train.lengths").unlink(),
        r"train\.npy: 8 vectors, but the manifest has 4 rows; give one a row, or, of frames, train",
    ),
    "a file cut short": (
        lambda folder: (folder / "train.npy").write_bytes(b"\x93NUMPY"),
        r"train\.npy: cannot be read as an array",
    ),
    "padded frames": (
        lambda folder: np.save(folder / "train.npy", np.zeros((4, 9, WIDTH))),
        r"train\.npy: holds float64 \(4, 9, 5\), not floating \(frames, C\); stack the frames",
    ),
    "counts": (
        lambda folder: np.save(folder / "train.npy", np.zeros((8, WIDTH), dtype=np.int64)),
        r"train\.npy: holds int64 \(8, 5\), not floating",
    ),
    "objects": (
        lambda folder: np.save(folder / "train.npy", np.array([{}], dtype=object)),
        r"train\.npy: cannot be read as an array",
    ),
}


@pytest.mark.parametrize(("damage", "message"), FAULTS.values(), ids=FAULTS)
def test_files_that_do_not_fit_are_refused(tmp_path: Path, damage: Break, message: str) -> None:
    damage(stack(tmp_path))
    with pytest.raises(ValueError, match=message):
        open_features(tmp_path, "train", ROWS)


def test_a_row_that_is_no_number_is_named_when_it_is_read(tmp_path: Path) -> None:
    folder = stack(tmp_path)
    array = np.load(folder / "train.npy")
    array[4, 2] = np.nan
    np.save(folder / "train.npy", array)
    stored = open_features(folder, "train", ROWS)
    assert stored is not None
    assert len(stored[2]) == 1
    with raises("features-not-finite"):
        stored[3]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((1, 2, WIDTH), np.float32), r"u1\.npy: holds float32 \(1, 2, 5\), not floating"),
        (np.zeros((2, 6), np.float32), "u1: frames of 6 numbers, 5 before it"),
        (np.full((2, WIDTH), np.inf, np.float32), "u1: frames are NaN or infinite"),
    ],
)
def test_a_file_that_does_not_fit_is_named(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(one_file_a_row(tmp_path / "train") / "u1.npy", array)
    with pytest.raises(ValueError, match=message):
        open_features(tmp_path, "train", ROWS)
    assert [path.name for path in (tmp_path / "packed").iterdir()] == [".lock"]


@pytest.mark.parametrize("packed", [False, True])
def test_splits_of_two_widths_are_refused(tmp_path: Path, packed: bool) -> None:
    if packed:
        one_file_a_row(tmp_path / "train")
        open_features(tmp_path, "train", ROWS)
    else:
        stack(tmp_path)
    np.save(tmp_path / "valid.npy", np.zeros((4, 7), dtype=np.float32))
    with raises("features-width"):
        open_features(tmp_path, "valid", ROWS)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    one_file_a_row(tmp_path / "x" / "train")
    (tmp_path / "x").chmod(0o500)
    with pytest.raises(ValueError, match=r"packed: cannot be written .*; let it be, or give"):
        open_features(tmp_path / "x", "train", ROWS)


# -- digests of files, remembered ------------------------------------------------------------------


def test_a_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_MIN_AGE_SECONDS", -10.0)  # nothing is too young
    read = []
    digest = digests.file_digest
    monkeypatch.setattr(digests, "file_digest", lambda file: read.append(file) or digest(file))
    memory, files = tmp_path / "memory" / "digests.json", [tmp_path / "a", None, tmp_path / "b"]
    for file in files:
        if file is not None:
            file.write_text(file.name)
    first = digests.file_digests(files, memory)
    assert first[1] is None
    assert len(read) == 2
    assert digests.file_digests(files, memory) == first
    assert len(read) == 2
    (tmp_path / "b").write_text("c")  # of the same size
    assert digests.file_digests(files, memory)[2] != first[2]
    assert len(read) == 3
    memory.write_text("{")
    assert digests.file_digests(files[:2], memory) == first[:2]


def test_a_file_of_this_moment_is_not_remembered(tmp_path: Path) -> None:
    """Another change within the same tick of the clock would not be seen."""
    (tmp_path / "a").write_text("a")
    digests.file_digests([tmp_path / "a"], tmp_path / "digests.json")
    assert not (tmp_path / "digests.json").exists()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with raises("file-unreadable"):
        digests.file_digests([tmp_path / "gone.wav"], tmp_path / "digests.json")

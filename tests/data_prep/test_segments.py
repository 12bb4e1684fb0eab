"""Rows that are parts of long recordings: the columns start and end, from manifest to leaks."""

import math
from pathlib import Path

import pytest
from codes import raises

from data_prep.manifest.digests import rows_digest
from data_prep.manifest.leaks import find_leaks
from data_prep.schema import (
    REQUIRED_COLUMNS,
    Corpus,
    Utterance,
    read_manifest,
    scan_manifest,
    write_manifest,
)

HEADER = "\t".join((*REQUIRED_COLUMNS, "start", "end"))


def part(name: str, start: float | None, end: float | None, audio: str = "a.wav") -> Utterance:
    return Utterance(name, audio=audio, n_samples=1600, start=start, end=end)


def manifest(tmp_path: Path, *times: tuple[str, str], audio: str = "a.wav") -> Path:
    blank = "\t" * (len(REQUIRED_COLUMNS) - 3)
    lines = [f"u{i}\t{audio}\t1600{blank}\t{a}\t{b}" for i, (a, b) in enumerate(times)]
    path = tmp_path / "train.tsv"
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    return path


def test_times_survive_the_round_trip_to_the_last_bit(tmp_path: Path) -> None:
    rows = [
        part("a", 0.1 + 0.2, 1e6 / 3),
        part("b", 5e-324, None),
        part("c", None, math.pi),
        part("d", 0.0, 12345.678901234567),
        Utterance("e", text="no audio"),
    ]
    write_manifest(tmp_path / "train.tsv", rows)
    assert read_manifest(tmp_path / "train.tsv") == rows


def test_a_manifest_without_segments_has_no_such_columns(tmp_path: Path) -> None:
    write_manifest(tmp_path / "train.tsv", [part("a", None, None)])
    assert (tmp_path / "train.tsv").read_text().split("\n")[0] == "\t".join(REQUIRED_COLUMNS)


@pytest.mark.parametrize(
    ("start", "end", "what"),
    [
        ("-0.5", "", "start is -0.5"),
        ("", "-1", "end is -1.0"),
        ("nan", "1", "start is 'nan'"),
        ("0", "inf", "end is 'inf'"),
        ("x", "1", "start is 'x'"),
        ("2", "1", "end 1.0 is not after start 2.0"),
        ("1.5", "1.5", "end 1.5 is not after start 1.5"),
        ("", "0", "end 0.0 is not after start 0.0"),
    ],
)
def test_what_is_no_segment_is_refused_with_its_row(
    tmp_path: Path, start: str, end: str, what: str
) -> None:
    path = manifest(tmp_path, ("0", "1"), (start, end))
    with raises("cell-invalid") as refusal:
        read_manifest(path)
    assert f"{path}: row 3: {what}; write " in str(refusal.value)
    _, lines, faults = scan_manifest(path)
    assert lines.tolist() == [2]
    assert len(faults) == 1


def test_times_without_audio_are_refused(tmp_path: Path) -> None:
    path = manifest(tmp_path, ("", ""), ("1", "2"), audio="")
    with raises("cell-invalid"):
        read_manifest(path)


@pytest.mark.parametrize(
    "row", [part("a", 2.0, 1.0), part("a", -1.0, None), Utterance("a", text="x", end=1.0)]
)
def test_what_would_be_refused_is_not_written(tmp_path: Path, row: Utterance) -> None:
    with raises("cell-invalid"):
        write_manifest(tmp_path / "train.tsv", [row])
    assert not (tmp_path / "train.tsv").exists()


# -- digests --------------------------------------------------------------------------------------


def test_a_segment_changes_the_digest_of_its_row() -> None:
    whole = rows_digest([part("a", None, None)])
    times = [(0.5, None), (0.5, 1.0), (0.0, 1.0), (0.50001, 1.0)]
    assert len({whole, *(rows_digest([part("a", *pair)]) for pair in times)}) == 5


def test_without_segments_the_digest_is_what_it_was() -> None:
    """The one that stored features of before carry."""
    expected = "44fcad158277586b8fd5f93cdfd3ddd3058e757068b0c3bf5b929aeb760b6283"
    assert rows_digest([part("a", None, None), Utterance("b", text="x")]) == expected
    assert rows_digest([part("a", 0.0, None), Utterance("b", text="x")]) == expected


# -- leaks ----------------------------------------------------------------------------------------


def leaks(**splits: list[Utterance]) -> list[str]:
    return [str(leak) for leak in find_leaks(Corpus("x"), splits)]


def test_segments_of_one_recording_are_no_copies() -> None:
    assert (
        leaks(train=[part("a", 0.0, 1.0), part("b", 1.0, 2.0)], test=[part("c", 2.0, None)]) == []
    )


def test_the_same_segment_twice_is_a_copy() -> None:
    rows = [part("a", 0.5, 1.0), part("b", 0.5, 1.0)]
    assert leaks(train=rows) == ["note: 1 sounds twice in one split: train/a = train/b"]
    assert leaks(train=rows[:1], test=rows[1:]) == [
        "error: 1 sounds in more than one split: train/a = test/b"
    ]


def test_overlaps_are_counted_and_the_first_are_named() -> None:
    train = [part(f"a{i}", i, i + 1.5) for i in range(6)]
    (note,) = leaks(train=train)
    assert note == (
        "note: 5 pairs of segments that overlap within a split: train/a0 and train/a1 of a.wav; "
        "train/a1 and train/a2 of a.wav; train/a2 and train/a3 of a.wav; and 2 more"
    )
    error, _ = leaks(train=train, test=[part("b", 6.4, 8.0), part("c", 6.5, 8.0, "b.wav")])
    assert error == (
        "error: 1 pairs of segments that overlap across splits: train/a5 and test/b of a.wav"
    )


def test_a_whole_file_overlaps_its_segments() -> None:
    (error,) = leaks(train=[part("whole", None, None)], test=[part("a", 5.0, 6.0)])
    assert error.endswith("overlap across splits: train/whole and test/a of a.wav")


def test_overlaps_are_found_under_two_names_of_one_recording() -> None:
    splits = {"train": [part("a", 0.0, 2.0)], "test": [part("b", 1.0, 3.0, "copy.wav")]}
    same = {"a.wav": "digest", "copy.wav": "digest"}
    assert [leak.level for leak in find_leaks(Corpus("x"), splits, same)] == ["error"]
    assert find_leaks(Corpus("x"), splits) == []

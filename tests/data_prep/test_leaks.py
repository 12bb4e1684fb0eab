from pathlib import Path

import pytest

from data_prep.manifest.leaks import (
    ERROR,
    NOTE,
    find_leaks,
    find_twins,
    same_size,
)
from data_prep.schema import Corpus, Utterance


def said(corpus: Corpus, **splits: list[Utterance]) -> list[str]:
    return [str(leak) for leak in find_leaks(corpus, splits)]


def test_splits_that_share_nothing_do_not_leak() -> None:
    splits = {
        "train": [Utterance("a", text="Hi", audio="a.wav", speaker="ann", dialogue="d1")],
        "test": [Utterance("b", text="Ho", audio="b.wav", speaker="bob", dialogue="d2")],
    }
    assert find_leaks(Corpus("x", disjoint=("speaker", "dialogue")), splits) == []


@pytest.mark.parametrize(
    ("disjoint", "speaker", "dialogue"),
    [
        ((), NOTE, ERROR),
        (("speaker",), ERROR, NOTE),
        (("dialogue",), NOTE, ERROR),
        (("speaker", "dialogue"), ERROR, ERROR),
    ],
)
def test_disjoint_decides_what_is_an_error(
    disjoint: tuple[str, ...], speaker: str, dialogue: str
) -> None:
    rows = [Utterance(name, text=name, speaker="ann", dialogue="d1") for name in "ab"]
    leaks = find_leaks(Corpus("x", disjoint=disjoint), {"train": rows[:1], "test": rows[1:]})
    assert {leak.what: leak.level for leak in leaks} == {
        "speakers in more than one split": speaker,
        "dialogues in more than one split": dialogue,
    }
    levels = [leak.level for leak in leaks]
    assert levels == sorted(levels)  # "error" before "note"


def test_rows_without_a_speaker_share_none() -> None:
    rows = [Utterance("a", text="x"), Utterance("b", text="y")]
    assert said(Corpus("x", disjoint=("speaker",)), train=rows[:1], test=rows[1:]) == []


def test_speakers_whose_names_look_alike_are_a_note() -> None:
    """One person, written in two ways, would be in both splits."""

    def rows(split: str, *speakers: str) -> list[Utterance]:
        return [
            Utterance(f"{split}{n}", text=f"{split}{n}", speaker=x) for n, x in enumerate(speakers)
        ]

    found = said(
        Corpus("x", disjoint=("speaker",)),
        train=rows("train", "Ann", "12", "bob", "Bob"),
        test=rows("test", "ann", "12.0", "eve"),
    )
    assert found == [
        (
            "note: 2 speakers in more than one split look alike: 'Ann' in train and 'ann' in test; "
            "'12' in train and '12.0' in test"
        )
    ]


def test_an_id_in_two_splits_is_an_error() -> None:
    rows = [Utterance("a", text="x"), Utterance("a", text="y")]
    assert said(Corpus("x"), train=rows[:1], test=rows[1:]) == [
        "error: 1 ids in more than one split: 'a' in train and test"
    ]


def test_the_same_words_in_two_splits_are_a_note_with_their_count() -> None:
    texts = ["Yeah.", "No.", "Hm.", "Oh."]
    train = [Utterance(f"a{i}", text=text) for i, text in enumerate(texts)]
    test = [Utterance(f"b{i}", text=text) for i, text in enumerate(texts)]
    (note,) = said(Corpus("x"), train=train, test=test)
    assert note == (
        "note: 4 texts in more than one split: 'Yeah.' in train and test; 'No.' in train and test; "
        "'Hm.' in train and test; and 1 more"
    )


def test_one_file_under_two_ids_is_found_without_digests() -> None:
    rows = [Utterance("a", audio="x.wav"), Utterance("b", audio="x.wav")]
    assert said(Corpus("x"), train=rows[:1], test=rows[1:]) == [
        "error: 1 sounds in more than one split: train/a = test/b"
    ]
    assert said(Corpus("x"), train=rows) == ["note: 1 sounds twice in one split: train/a = train/b"]


def test_videos_of_rows_without_audio_are_recordings() -> None:
    def clip(name: str, start: float, end: float, video: str = "film.mp4") -> Utterance:
        return Utterance(name, video=video, start=start, end=end)

    train = [clip("a", 0.0, 2.0), clip("b", 5.0, 6.0), Utterance("x", audio="x.wav", video="v.mp4")]
    test = [clip("c", 1.0, 3.0), clip("d", 5.0, 6.0), Utterance("y", audio="y.wav", video="v.mp4")]
    assert said(Corpus("x"), train=train, test=[*test, clip("e", 1.0, 3.0, "other.mp4")]) == [
        "error: 1 videos in more than one split: train/b = test/d",
        "error: 1 pairs of segments that overlap across splits: train/a and test/c of film.mp4",
    ]


def test_equal_digests_are_one_sound() -> None:
    rows = [Utterance(name, audio=f"{name}.wav", text="Hi") for name in "abc"]
    sounds = {"a.wav": "1", "b.wav": "2", "c.wav": "1"}
    leaks = find_twins({"train": rows[:2], "test": rows[2:]}, sounds)
    assert [(leak.level, leak.count, leak.what, leak.examples) for leak in leaks] == [
        (ERROR, 1, "sounds in more than one split", ("train/a = test/c",)),
        (ERROR, 1, "texts with the same sound in more than one split", ("train/a = test/c",)),
    ]


def test_the_same_sound_with_other_words_is_no_text_twice() -> None:
    rows = [Utterance("a", audio="x.wav", text="Hi"), Utterance("b", audio="x.wav", text="Ho")]
    (leak,) = find_twins({"train": rows})
    assert (leak.level, leak.what) == (NOTE, "sounds twice in one split")


def test_three_of_a_kind_in_two_splits_are_one_leak() -> None:
    rows = [Utterance(name, audio="x.wav") for name in "abc"]
    assert said(Corpus("x"), train=rows[:2], test=rows[2:]) == [
        "error: 1 sounds in more than one split: train/a = train/b = test/c"
    ]


def test_only_files_of_one_size_can_be_twins() -> None:
    sizes = {Path("a"): 3, Path("b"): 4, Path("c"): 3, Path("d"): 5}
    assert same_size(sizes) == [Path("a"), Path("c")]

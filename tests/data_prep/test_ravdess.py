from collections import Counter
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest
from codes import raises

from data_prep.commands.prepare import main
from data_prep.commands.validate import validate
from data_prep.corpora.ravdess import (
    N_FOLDS,
    fold_actors,
    prepare_ravdess,
)
from data_prep.folds.file import read_folds
from data_prep.schema import Utterance, read_corpus, read_manifest


@pytest.fixture
def corpus_dir(tmp_path: Path, write_sound: Callable[..., Path]) -> Path:
    """Actors 1 to 5, two recordings each, one of them 48 kHz wav as the official release has it."""
    for actor in range(1, 6):
        folder = tmp_path / "raw" / f"Actor_{actor:02d}"
        write_sound(folder / f"03-01-06-01-02-01-{actor:02d}.wav", 4800, 48_000)
        write_sound(folder / f"03-01-05-02-01-02-{actor:02d}.flac", 1600)
    return tmp_path / "raw"


def rows_of(out_dir: Path) -> dict[str, Utterance]:
    return {
        row.id: row
        for split in ("train", "valid", "test")
        for row in read_manifest(out_dir / f"{split}.tsv")
    }


def test_names_are_decoded(
    corpus_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main("ravdess", [str(corpus_dir), str(tmp_path / "out")]) == 0
    assert f"train with: emotion-recognize train {tmp_path / 'out'}\n" in capsys.readouterr().out
    assert read_corpus(tmp_path / "out").data_raw == str(corpus_dir)
    rows = rows_of(tmp_path / "out")
    assert len(rows) == 10
    assert rows["03-01-06-01-02-01-02"] == Utterance(
        "03-01-06-01-02-01-02",
        audio="Actor_02/03-01-06-01-02-01-02.wav",
        n_samples=1600,
        text="Dogs are sitting by the door",
        speaker="actor_02",
        emotion="fearful",
        extra={
            "intensity": "normal",
            "statement": "02",
            "repetition": "1",
            "channel": "speech",
            "gender": "female",
        },
    )
    angry = rows["03-01-05-02-01-02-03"]
    assert (angry.emotion, angry.text) == ("angry", "Kids are talking by the door")
    assert (angry.extra["intensity"], angry.extra["gender"]) == ("strong", "male")
    assert validate(tmp_path / "out", corpus_dir) == []


def test_folds_leave_actors_out_and_test_each_once() -> None:
    tested = Counter(actor for k in range(N_FOLDS) for actor in fold_actors(k)["test"])
    assert tested == Counter({f"actor_{number:02d}": 1 for number in range(1, 25)})
    for k in range(N_FOLDS):
        sets = fold_actors(k)
        assert sorted(chain.from_iterable(sets.values())) == sorted(tested)
        assert sets["valid"] == fold_actors((k + 1) % N_FOLDS)["test"]
    assert fold_actors(0)["test"] == ["actor_05", "actor_10", "actor_15", "actor_20"]


def test_the_fold_decides_the_splits(corpus_dir: Path, tmp_path: Path) -> None:
    corpus = prepare_ravdess(corpus_dir, tmp_path / "out", fold=2)
    splits = {s: read_manifest(tmp_path / "out" / f"{s}.tsv") for s in ("train", "valid", "test")}
    assert {r.speaker for r in splits["test"]} == {"actor_02"}
    assert {r.speaker for r in splits["valid"]} == {"actor_03"}
    assert {r.speaker for r in splits["train"]} == {"actor_01", "actor_04", "actor_05"}
    assert corpus.disjoint == ("speaker",)
    folds = read_corpus(tmp_path / "out").folds
    assert folds is not None
    assert folds["current"] == 2
    assert folds["sets"] == [fold_actors(k) for k in range(5)]


def test_a_fold_that_is_none_is_refused(corpus_dir: Path, tmp_path: Path) -> None:
    with raises("fold-unknown"):
        prepare_ravdess(corpus_dir, tmp_path / "out", fold=5)


def test_bad_files_are_dropped_with_their_reason(
    corpus_dir: Path,
    tmp_path: Path,
    write_sound: Callable[..., Path],
    cut: Callable[[Path], Path],
) -> None:
    cut(corpus_dir / "Actor_01" / "03-01-06-01-02-01-01.wav")
    (corpus_dir / "Actor_02" / "03-01-06-01-02-01-02.wav").write_bytes(b"")
    write_sound(corpus_dir / "Actor_03" / "03-01-09-01-02-01-03.wav")
    write_sound(corpus_dir / "Actor_04" / "noise.wav")
    write_sound(corpus_dir / "Actor_05" / "03-01-01-01-02-01-04.wav")
    write_sound(corpus_dir / "Actor_05" / "03-01-06-01-02-01-05.flac")
    (corpus_dir / "Actor_05" / "._03-01-06-01-02-01-05.wav").write_bytes(b"finder")
    corpus = prepare_ravdess(corpus_dir, tmp_path / "out")
    reasons = {(d.split, d.id): d.reason for d in corpus.dropped}
    assert reasons.pop(("valid", "03-01-06-01-02-01-01")).startswith("truncated")
    assert reasons == {
        ("train", "03-01-06-01-02-01-02"): "the file is empty (0 bytes)",
        ("train", "03-01-09-01-02-01-03"): "the name is not seven known two-digit codes",
        ("train", "noise"): "the name is not seven known two-digit codes",
        ("test", "03-01-01-01-02-01-04"): "the name has actor 04, the folder Actor_05",
        ("test", "03-01-06-01-02-01-05"): "the same recording in a second format",
    }
    assert len(rows_of(tmp_path / "out")) == 8
    assert validate(tmp_path / "out", corpus_dir) == []


def test_song_and_video_tracks_are_taken_only_when_asked_for(
    corpus_dir: Path, tmp_path: Path, write_sound: Callable[..., Path]
) -> None:
    write_sound(corpus_dir / "Actor_01" / "03-02-06-01-02-01-01.wav")
    write_sound(corpus_dir / "Actor_01" / "01-01-06-01-02-01-01.wav")
    out = tmp_path / "out"
    assert main("ravdess", [str(corpus_dir), str(out)]) == 0
    assert len(rows_of(out)) == 10
    assert read_corpus(out).dropped == []
    assert (
        main(
            "ravdess",
            [str(corpus_dir), str(out), "--channel", "01", "02", "--modality", "03", "01"],
        )
        == 0
    )
    rows = rows_of(out)
    assert len(rows) == 12
    assert rows["03-02-06-01-02-01-01"].extra["channel"] == "song"


def test_a_folder_without_actors_is_refused(tmp_path: Path) -> None:
    with raises("corpus-layout"):
        prepare_ravdess(tmp_path, tmp_path / "out")


@pytest.mark.realdata
def test_recordings_none_of_which_can_be_read_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "corpus" / "Actor_01" / "03-01-05-01-01-01-01.wav"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no sound")
    with raises("recordings-missing") as error:
        prepare_ravdess(tmp_path / "corpus", tmp_path / "out")
    assert str(path) in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.extended
@pytest.mark.realdata
def test_the_real_corpus(tmp_path: Path, real_data: Callable[[str], Path]) -> None:
    corpus_dir = real_data("ravdess")
    assert main("ravdess", [str(corpus_dir), str(tmp_path)]) == 0
    corpus = read_corpus(tmp_path)
    assert {s: c["rows"] for s, c in corpus.splits.items()} == {
        "train": 900,
        "valid": 300,
        "test": 240,
    }
    assert [c["speakers"] for c in corpus.splits.values()] == [15, 5, 4]
    assert sum(c["hours"] for c in corpus.splits.values()) == pytest.approx(1.48, abs=0.005)
    assert corpus.dropped == []
    emotions = Counter(row.emotion for row in rows_of(tmp_path).values())
    assert emotions == {
        "neutral": 96,
        **dict.fromkeys(("calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"), 192),
    }
    assert validate(tmp_path, corpus_dir) == []


def test_all_folds_in_one_data_dir(corpus_dir: Path, tmp_path: Path) -> None:
    """Fold k of the file tests the actors whose number modulo 5 is k, as the single folds do."""
    assert main("ravdess", [str(corpus_dir), str(tmp_path / "out"), "--fold", "all"]) == 0
    rows = read_manifest(tmp_path / "out" / "all.tsv")
    assert len(rows) == 10
    speaker = {row.id: row.speaker for row in rows}
    folds = read_folds(tmp_path / "out" / "folds" / "leave_speaker_group_out.json").folds
    assert len(folds) == N_FOLDS
    for fold, sets in folds.items():
        actors = fold_actors(int(fold) % N_FOLDS)
        for split, ids in sets.items():
            assert {speaker[name] for name in ids} == {*actors[split]} & {*speaker.values()}
    assert validate(tmp_path / "out", data_raw=corpus_dir) == []

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from data_prep.audio.segment import audio_of
from data_prep.commands.inspect_corpus import inspect
from data_prep.commands.prepare import main
from data_prep.commands.validate import validate
from data_prep.corpora.emobox import (
    prepare_emobox,
)
from data_prep.folds.file import read_folds
from data_prep.schema import Corpus, read_corpus, read_manifest

WriteSound = Callable[..., Path]
LABELS = {"neu": "Neutral", "hap": "Happy", "exc": "Happy", "ang": " Angry\n"}
EMOTIONS = ("Neutral", "Happy", "Angry")


def line(key: str, emo: str = "neu", wav: str = "", **more: Any) -> dict[str, Any]:
    return {
        "key": key,
        "dataset": "tiny",
        "wav": wav or f"downloads/tiny/{key}.wav",
        "type": "raw",
        "sample_rate": 16000,
        "num_frame": 1600.0,
        "task": "category",
        "length": 0.1,
        "emo": emo,
        "channel": 1,
        **more,
    }


def write_fold(folder: Path, number: int, **parts: list[dict[str, Any]]) -> None:
    place = folder / f"fold_{number}"
    place.mkdir(parents=True, exist_ok=True)
    for part, lines in parts.items():
        text = "".join(json.dumps(found) + "\n" for found in lines)
        (place / f"tiny_{part}_fold_{number}.jsonl").write_text(text)


@pytest.fixture
def corpus_dir(tmp_path: Path, write_sound: WriteSound) -> Path:
    """EmoBox/data/tiny, with twelve sounds under EmoBox/downloads and no fold yet."""
    folder = tmp_path / "EmoBox" / "data" / "tiny"
    folder.mkdir(parents=True)
    (folder / "label_map.json").write_text(json.dumps(LABELS))
    for number in range(12):
        write_sound(tmp_path / "EmoBox" / "downloads" / "tiny" / f"k{number}.wav", 1600 + number)
    return folder


def keys(*numbers: int) -> list[dict[str, Any]]:
    return [line(f"k{number}", ["neu", "hap", "exc", "ang"][number % 4]) for number in numbers]


def run_main(corpus_dir: Path, out: Path, *more: str) -> int:
    return main("emobox", [str(corpus_dir), str(out), *more])


def test_one_fold_becomes_the_splits(
    corpus_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_fold(corpus_dir, 1, train=keys(0, 1, 2), valid=keys(3), test=keys(4, 5))
    out = tmp_path / "out"
    assert run_main(corpus_dir, out) == 0
    raw = corpus_dir.parent.parent
    assert f"train with: emotion-recognize train {out}\n" in capsys.readouterr().out
    assert read_corpus(out).data_raw == str(raw)
    rows = {split: read_manifest(out / f"{split}.tsv") for split in ("train", "valid", "test")}
    assert [(r.id, r.emotion, r.n_samples) for r in rows["train"]] == [
        ("k0", "Neutral", 1600),
        ("k1", "Happy", 1601),
        ("k2", "Happy", 1602),
    ]
    assert [r.emotion for r in rows["valid"]] == ["Angry"]
    assert rows["test"][0].audio == "downloads/tiny/k4.wav"
    assert rows["test"][0].speaker is None
    corpus = read_corpus(out)
    assert corpus.labels == {"emotion": EMOTIONS}
    assert (corpus.name, corpus.protocol, corpus.folds) == ("tiny", "EmoBox, 1 fold", None)
    assert "Ma, Chen" in corpus.citation
    assert validate(out, raw) == []


def test_two_files_of_one_set_are_refused(
    corpus_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_fold(corpus_dir, 1, train=keys(0, 1), valid=keys(2), test=keys(3))
    other = corpus_dir / "fold_1" / "other_train_fold_1.jsonl"
    other.write_text(json.dumps(line("k4")) + "\n")
    assert run_main(corpus_dir, tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert "2 files of train: other_train_fold_1.jsonl, tiny_train_fold_1.jsonl" in said
    assert "[split-repeated]" in said


def test_several_folds_become_all_and_a_file_of_folds(
    corpus_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_fold(corpus_dir, 1, train=keys(*range(8)), test=keys(8, 9, 10, 11))
    write_fold(corpus_dir, 2, train=keys(*range(4, 12)), test=keys(0, 1, 2, 3))
    out = tmp_path / "out"
    assert run_main(corpus_dir, out, "--valid-fraction", "0.25") == 0
    assert "--fold emobox\n" in capsys.readouterr().out
    assert len(read_manifest(out / "all.tsv")) == 12
    folds = read_folds(out / "folds" / "emobox.json")
    for name, train, test in (("1", range(8), range(8, 12)), ("2", range(4, 12), range(4))):
        sets = folds.folds[name]
        assert list(sets["test"]) == [f"k{number}" for number in test]
        assert len(sets["valid"]) == 2
        assert {*sets["train"], *sets["valid"]} == {f"k{number}" for number in train}
    corpus = read_corpus(out)
    assert corpus.folds == {"emobox": {"unit": "row", "folds": 2, "seed": 1}}
    assert corpus.protocol == "EmoBox, 2 folds; valid drawn from train by row, 0.25, seed 1"
    assert validate(out, corpus_dir.parent.parent) == []
    inspect(out, corpus_dir.parent.parent)


def test_twice_gives_the_same_and_other_folds_are_kept(
    corpus_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_fold(corpus_dir, 1, train=keys(*range(8)), test=keys(8, 9, 10, 11))
    write_fold(corpus_dir, 2, train=keys(*range(4, 12)), test=keys(0, 1, 2, 3))
    for name in ("one", "one", "two"):
        assert run_main(corpus_dir, tmp_path / name) == 0
    for path in (tmp_path / "one").rglob("*.*"):
        other = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert path.read_bytes() == other.read_bytes()
    before = (tmp_path / "one" / "corpus.yaml").read_bytes()
    assert run_main(corpus_dir, tmp_path / "one", "--seed", "2") == 1
    assert "[folds-exist]" in capsys.readouterr().err
    assert (tmp_path / "one" / "corpus.yaml").read_bytes() == before
    assert run_main(corpus_dir, tmp_path / "one", "--seed", "2", "--force") == 0


def test_what_cannot_be_used_is_listed(
    corpus_dir: Path, tmp_path: Path, cut: Callable[[Path], Path]
) -> None:
    raw = corpus_dir.parent.parent
    cut(raw / "downloads" / "tiny" / "k1.wav")
    train = [*keys(0, 1, 2), line("k2", "exc"), line("k3", "bored"), line("gone")]
    write_fold(corpus_dir, 1, train=train, valid=keys(5), test=keys(4), test2=keys(6))
    corpus = prepare_emobox(corpus_dir, tmp_path / "out")
    reasons = {(d.split, d.id): d.reason for d in corpus.dropped}
    assert reasons.pop(("train", "k1")).startswith("audio: truncated")
    assert reasons == {
        ("train", "k3"): "emo 'bored' is not in label_map.json",
        ("train", "gone"): "audio: there is no such file",
        ("train", "k2"): "a second line of tiny_train_fold_1.jsonl has its key",
    }
    assert corpus.splits["train"]["rows"] == 2  # k0, and k2 once
    assert corpus.notes == ["not used: fold_1/tiny_test2_fold_1.jsonl"]
    assert validate(tmp_path / "out", raw) == []


def test_labels_that_differ_in_case_from_one_name_are_that_name(
    corpus_dir: Path, tmp_path: Path
) -> None:
    names = {"Neutral": "Neutral", "s": "Sad", "S": "Surprise"}
    (corpus_dir / "label_map.json").unlink()
    (corpus_dir / "label_dict.json").write_text(json.dumps(names))
    train = [line("k0", "neutral"), line("k1", "s"), line("k2", "S"), line("k3", "NEUTRAL")]
    write_fold(corpus_dir, 1, train=train, valid=[line("k4", "s")], test=[line("k5", "S")])
    corpus = prepare_emobox(corpus_dir, tmp_path / "out")
    rows = read_manifest(tmp_path / "out" / "train.tsv")
    assert [row.emotion for row in rows] == ["Neutral", "Sad", "Surprise", "Neutral"]
    assert corpus.labels == {"emotion": ("Neutral", "Sad", "Surprise")}
    assert corpus.dropped == []
    assert corpus.notes == [
        f"emo {emo!r} is taken for 'Neutral' of label_dict.json: they differ in case alone"
        for emo in ("neutral", "NEUTRAL")
    ]


def test_the_sound_of_a_video_is_looked_for_beside_it(
    corpus_dir: Path, tmp_path: Path, write_sound: WriteSound
) -> None:
    place = corpus_dir.parent.parent / "downloads" / "tiny"
    (place / "k0.mp4").write_bytes(b"video")
    (place / "lone.mp4").write_bytes(b"video")
    train = [line("k0", wav="downloads/tiny/k0.mp4"), line("lone", wav="downloads/tiny/lone.mp4")]
    write_fold(corpus_dir, 1, train=train, valid=keys(2), test=keys(1))
    corpus = prepare_emobox(corpus_dir, tmp_path / "out")
    (row,) = read_manifest(tmp_path / "out" / "train.tsv")
    assert row.audio == "downloads/tiny/k0.wav"
    assert [d.id for d in corpus.dropped] == ["lone"]


def segment_lines(*numbers: int) -> list[dict[str, Any]]:
    wav = "downloads/tiny/long.wav"
    return [line(f"s{n}", wav=wav, start_time=n / 10, end_time=(n + 1) / 10) for n in numbers]


def test_lines_with_times_are_segments(
    corpus_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = corpus_dir.parent.parent
    samples = np.arange(16_000) % 1000 / 2000
    soundfile.write(raw / "downloads" / "tiny" / "long.wav", samples, 16_000, "FLOAT")
    last = line("last", wav="downloads/tiny/long.wav", start_time=0.9)
    write_fold(corpus_dir, 1, train=segment_lines(0, 1, 12), valid=segment_lines(2))
    write_fold(corpus_dir, 1, test=[last, line("k1")])
    out = tmp_path / "out"
    assert run_main(corpus_dir, out) == 0
    assert f"train with: emotion-recognize train {out}\n" in capsys.readouterr().out
    assert read_corpus(out).data_raw == str(raw)
    assert not (out / "audio").exists()
    (dropped,) = read_corpus(out).dropped
    assert dropped.id == "s12"
    assert "from 1.2 s to 1.3 s is not in its 1 s" in dropped.reason
    row = read_manifest(out / "train.tsv")[1]
    assert (row.audio, row.n_samples) == ("downloads/tiny/long.wav", 1600)
    assert (row.start, row.end) == (0.1, 0.2)
    sound = audio_of(row, raw)
    assert sound is not None
    np.testing.assert_array_equal(sound.load(), samples[1600:3200].astype(np.float32))
    last_row, whole = read_manifest(out / "test.tsv")
    assert (last_row.start, last_row.end, last_row.n_samples) == (0.9, None, 1600)
    assert (whole.start, whole.end, whole.n_samples) == (None, None, 1601)
    assert validate(out, raw) == []


@pytest.mark.parametrize(
    ("times", "what"),
    [
        ((-1, 1), "start_time is -1 "),
        ((1, 0.5), "end 0.5 is not after start 1"),
        ((0, float("inf")), "end_time is inf, which is no finite number"),
    ],
)
def test_times_that_are_no_segment_are_refused(
    times: tuple[float, float], what: str, corpus_dir: Path, tmp_path: Path
) -> None:
    bad = line("k1", start_time=times[0], end_time=times[1])
    write_fold(corpus_dir, 1, train=[*keys(0), bad], test=keys(2))
    with pytest.raises(ValueError, match=f"row 2: {what}"):
        prepare_emobox(corpus_dir, tmp_path / "out")


def test_speakers_are_taken_only_when_asked(corpus_dir: Path, tmp_path: Path) -> None:
    stm = "".join(
        f"k{n} 1 S{n % 6} 0 1 <id=k{n},lang=en,spk=S{n % 6},emotion=neu> neu\n" for n in range(12)
    )
    (corpus_dir / "data.seg.wrd.stm").write_text(stm)
    write_fold(corpus_dir, 1, train=keys(*range(10)), test=keys(10, 11))
    corpus = prepare_emobox(corpus_dir, tmp_path / "out", speakers=True)
    assert "valid drawn from train by speaker" in corpus.protocol
    assert corpus.notes == [
        "1 folds lack a valid set; drawn by speaker, not by EmoBox: 2 of 10 rows of fold 1"
    ]
    rows = {s: read_manifest(tmp_path / "out" / f"{s}.tsv") for s in ("train", "valid")}
    assert not {r.speaker for r in rows["train"]} & {r.speaker for r in rows["valid"]}
    assert prepare_emobox(corpus_dir, tmp_path / "plain").splits["train"]["speakers"] == 0


def test_speakers_that_match_no_row_and_rows_without_one_are_said(
    corpus_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = "".join(f"k{n} 1 S 0 1 <id=k{n},spk=S{n % 4},emotion=neu> x\n" for n in range(8))
    stray = "z9 1 S 0 1 <id=z9,lang=en,spk=S1,emotion=neu> x\n;; a remark\nk9 1 S 0 1 <id=k9> x\n"
    (corpus_dir / "data.seg.wrd.stm").write_text(known + stray)
    write_fold(corpus_dir, 1, train=keys(*range(10)), test=keys(10, 11))
    assert run_main(corpus_dir, tmp_path / "out", "--speakers") == 0
    notes = read_corpus(tmp_path / "out").notes
    assert notes[:3] == [
        "1 lines of data.seg.wrd.stm name no row: z9",
        "1 lines of data.seg.wrd.stm cannot be read: row 11",
        "4 rows have no line in data.seg.wrd.stm, and so no speaker: k8, k9, k10 and 1 more",
    ]
    assert notes[3].endswith("; 2 rows without a speaker were drawn singly")
    said = capsys.readouterr().out
    assert all(f"note: {note}" in said for note in notes)


def refusal(capsys: pytest.CaptureFixture[str], corpus_dir: Path, out: Path, *more: str) -> str:
    capsys.readouterr()
    assert run_main(corpus_dir, out, *more) == 1
    assert not out.exists()
    return capsys.readouterr().err


def test_another_layout_is_refused_in_one_sentence(
    corpus_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert "[corpus-layout]" in refusal(capsys, corpus_dir, out)
    assert "label_map.json: not found" in refusal(capsys, corpus_dir.parent, out)
    write_fold(corpus_dir, 1, train=keys(0))
    assert "[split-empty]" in refusal(capsys, corpus_dir, out)
    write_fold(corpus_dir, 1, test=keys(0))
    said = refusal(capsys, corpus_dir, out)
    assert "tiny_test_fold_1.jsonl: row 1: key 'k0'" in said
    assert "[sets-overlap]" in said
    write_fold(corpus_dir, 1, test=[line("k1"), {"key": "k2"}])
    said = refusal(capsys, corpus_dir, out)
    assert "row 2: dataset is missing; wav is missing; type is missing; and 1 more faults" in said
    write_fold(corpus_dir, 1, test=[line("k1", type="feature")])
    assert "row 1: type: it is 'feature'; only 'raw'" in refusal(capsys, corpus_dir, out)
    write_fold(corpus_dir, 1, test=[line("k1", dataset="other")])
    assert "[datasets-several]" in refusal(capsys, corpus_dir, out)
    (corpus_dir / "label_map.json").write_text("[]")
    assert "label_map.json: it is [] where a mapping is expected" in refusal(
        capsys, corpus_dir, out
    )


def test_a_key_that_says_two_things_is_refused(
    corpus_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_fold(corpus_dir, 1, train=keys(0, 1), test=keys(2))
    write_fold(corpus_dir, 2, train=keys(0, 2), test=[line("k1", "ang")])
    said = refusal(capsys, corpus_dir, tmp_path / "out")
    assert "row 1: key 'k1'" in said
    assert "[key-repeated]" in said


def test_absent_sound_is_said(
    corpus_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_fold(corpus_dir, 1, train=keys(0, 1), valid=keys(2), test=keys(3))
    said = refusal(capsys, corpus_dir, tmp_path / "out", "--data-raw", str(tmp_path))
    assert "k0: audio: there is no such file" in said
    assert "[rows-missing]" in said


def test_folds_without_a_valid_set_are_refused_when_none_may_be_drawn(
    corpus_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_fold(corpus_dir, 1, train=keys(0, 1), test=keys(2))
    write_fold(corpus_dir, 2, train=keys(1, 2), test=keys(0))
    said = refusal(capsys, corpus_dir, tmp_path / "out", "--valid-fraction", "0")
    assert "fold 1: valid is empty; fold 2: valid is empty" in said
    assert "[folds-invalid]" in said


def test_one_fold_without_valid_can_go_without(corpus_dir: Path, tmp_path: Path) -> None:
    write_fold(corpus_dir, 1, train=keys(0, 1), test=keys(2))
    corpus: Corpus = prepare_emobox(corpus_dir, tmp_path / "out", valid_share=0.0)
    assert list(corpus.splits) == ["train", "test"]

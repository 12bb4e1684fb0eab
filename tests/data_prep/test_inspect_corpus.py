import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data_prep.commands.inspect_corpus import main
from data_prep.folds.file import write_folds
from data_prep.folds.records import ALL, Folds
from data_prep.manifest.leaks import DIGESTS_FILE, sound_digests
from data_prep.manifest.plots import bin_edges, label_shares
from data_prep.schema import Corpus, Utterance, write_corpus

WriteSound = Callable[..., Path]


def write_data_dir(folder: Path, disjoint: tuple[str, ...] = (), **splits: list[Utterance]) -> Path:
    corpus = Corpus("small", labels={"emotion": ("glad", "sad")}, disjoint=disjoint)
    write_corpus(folder, corpus, splits)
    return folder


def row(name: str, **values: object) -> Utterance:
    length = {"n_samples": 1600} if "audio" in values else {}
    return Utterance(name, **{"text": f"{name} says", "emotion": "sad", **length, **values})


def output(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_summary_and_no_leak(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_data_dir(tmp_path, train=[row("a")], test=[row("b")])
    code, out, _ = output(capsys, data)
    assert code == 0
    assert "total     2" in out
    assert out.endswith(f"{data}: no leak\n")


def test_equal_files_in_two_splits_are_an_error(
    tmp_path: Path, write_sound: WriteSound, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "raw"
    write_sound(raw / "a.wav", 1600)
    write_sound(raw / "c.wav", 1600, channels=2)
    shutil.copy(raw / "a.wav", raw / "b.wav")
    train, test = [row("a", audio="a.wav"), row("c", audio="c.wav")], [row("b", audio="b.wav")]
    data = write_data_dir(tmp_path / "data", train=train, test=test)
    code, out, err = output(capsys, data, "--data-raw", raw)
    assert code == 1
    assert "error: 1 sounds in more than one split: train/a = test/b\n" in out
    assert f"error: {data}: 1 kind of leak [data-leak]\n" in err


def test_two_spellings_of_a_path_are_one_sound(
    tmp_path: Path, write_sound: WriteSound, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sound(tmp_path / "raw" / "a.wav", 1600)  # of a size of its own, so that nothing is read
    train, test = [row("a", audio="a.wav")], [row("b", audio="./a.wav")]
    data = write_data_dir(tmp_path / "data", train=train, test=test)
    code, out, _ = output(capsys, data, "--data-raw", tmp_path / "raw")
    assert code == 1
    assert "error: 1 sounds in more than one split: train/a = test/b\n" in out


def test_segments_leak_where_they_overlap(
    tmp_path: Path, write_sound: WriteSound, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sound(tmp_path / "raw" / "a.wav", 48_000)

    def part(name: str, start: float, end: float) -> Utterance:
        return row(name, audio="a.wav", start=start, end=end)

    train = [part("a", 0.0, 1.0), part("b", 1.0, 2.0)]
    data = write_data_dir(tmp_path / "apart", train=train, test=[part("c", 2.0, 3.0)])
    code, out, _ = output(capsys, data, "--data-raw", tmp_path / "raw")
    assert code == 0
    assert out.endswith("no leak\n")
    data = write_data_dir(tmp_path / "shared", train=train, test=[part("c", 1.9, 3.0)])
    code, out, err = output(capsys, data, "--data-raw", tmp_path / "raw")
    assert code == 1
    assert "error: 1 pairs of segments that overlap across splits: train/b and test/c of" in out
    assert "1 kind of leak" in err


def test_only_files_of_one_size_are_read(tmp_path: Path, write_sound: WriteSound) -> None:
    for name, frames in (("a", 1600), ("b", 1600), ("c", 800)):
        write_sound(tmp_path / f"{name}.wav", frames)
    rows = [row(name, audio=f"{name}.wav") for name in "abcd"]
    digests, absent = sound_digests({"train": rows}, tmp_path, tmp_path / DIGESTS_FILE)
    assert set(digests) == {"a.wav", "b.wav"}
    assert digests["a.wav"] == digests["b.wav"]
    assert absent == ["d.wav"]


def test_absent_files_are_said_and_no_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_data_dir(tmp_path, train=[row("a", audio="a.wav")], test=[row("b")])
    code, out, _ = output(capsys, data)
    assert code == 0
    assert "note: 1 audio files are not in" in out
    assert "such as a.wav; " in out


def test_a_speaker_in_two_splits_is_an_error_where_the_card_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_data_dir(tmp_path, train=[row("a", speaker="ann")], test=[row("b", speaker="ann")])
    code, out, _ = output(capsys, data)
    assert code == 0
    assert "note: 1 speakers in more than one split: 'ann' in train and test" in out
    assert out.endswith("no leak but those in the notes\n")
    card = data / "corpus.yaml"
    card.write_text(card.read_text().replace("disjoint: []", "disjoint: [speaker]"))
    code, out, _ = output(capsys, data)
    assert code == 1
    assert "error: 1 speakers in more than one split" in out


def test_folds_are_checked(
    tmp_path: Path, write_sound: WriteSound, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "abc":
        write_sound(tmp_path / f"{name}.wav", 1600 if name != "b" else 800)
    rows = [row(name, audio=f"{name}.wav", speaker=f"s{name}") for name in "abc"]
    data = write_data_dir(tmp_path, **{ALL: rows})
    fine = {"train": ("a",), "valid": ("c",), "test": ("b",)}
    write_folds(data, Folds("mine", "row", 1, (ALL,), {"1": fine}), rows)
    code, out, _ = output(capsys, data)
    assert code == 1  # a and c are one sound
    assert "error: 1 sounds in more than one split of folds mine, fold 1: train/a = valid/c" in out
    path = data / "folds" / "mine.json"
    path.write_text(path.read_text().replace('"c"', '"a"'))
    code, _, err = output(capsys, data)
    assert code == 1
    assert "fold 1: a in more than one set" in err


def test_folds_that_share_speakers_are_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row(name, speaker="s" if name != "b" else "t") for name in "abc"]
    data = write_data_dir(tmp_path, **{ALL: rows})
    sets = {"train": ("a",), "valid": ("b",), "test": ("c",)}
    write_folds(data, Folds("mine", "row", 1, (ALL,), {"1": sets}), rows)
    path = data / "folds" / "mine.json"
    path.write_text(path.read_text().replace('"unit": "row"', '"unit": "speaker"'))
    code, out, err = output(capsys, data)
    assert code == 1
    assert "error: 1 leak of folds mine: fold 1: speaker s is in train and test" in out
    assert f"error: {data}: 1 kind of leak [data-leak]\n" in err


def test_shares_are_of_the_labeled_rows() -> None:
    rows = [Utterance("a", emotion="sad"), Utterance("b", emotion="sad"), Utterance("c")]
    assert label_shares("emotion", ("glad", "sad"), rows) == [0.0, 1.0]
    assert label_shares("emotion", ("glad",), []) == [0.0]


def test_bins_of_whole_numbers_hold_equally_many() -> None:
    edges = bin_edges(np.arange(1, 100))
    assert set(np.diff(edges)) == {3.0}
    assert edges[0] < 1
    assert edges[-1] > 99
    assert len(bin_edges([0.5, 0.25])) == 41


def test_plots_are_written_and_the_same_each_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    rows = [row(name, valence=0.25) for name in "abc"]
    data = write_data_dir(tmp_path / "data", train=rows[:2], test=rows[2:])
    contents = []
    for folder in ("one", "two"):
        code, out, _ = output(capsys, data, "--plots", tmp_path / folder)
        assert code == 0
        assert f"wrote {tmp_path / folder / 'labels_emotion.png'}" in out
        files = sorted((tmp_path / folder).iterdir())
        contents.append({file.name: file.read_bytes() for file in files})
    assert contents[0] == contents[1]
    assert list(contents[0]) == [
        f"{name}.{suffix}"
        for name in ("labels_emotion", "valence", "words")
        for suffix in ("png", "svg")
    ]
    assert contents[0]["words.png"].startswith(b"\x89PNG")


def test_plots_without_matplotlib_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    data = write_data_dir(tmp_path, train=[row("a")], test=[row("b")])
    code, _, err = output(capsys, data, "--plots", tmp_path / "plots")
    assert code == 2
    assert "--plots: needs matplotlib; `pip install matplotlib`" in err
    assert not (tmp_path / "plots").exists()

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data_prep.commands.combine import (
    combine,
    main,
)
from data_prep.commands.validate import validate
from data_prep.corpora.toy import prepare_toy
from data_prep.prototypes.fitting import fit_prototypes
from data_prep.schema import (
    Corpus,
    DroppedRow,
    Utterance,
    read_corpus,
    read_manifest,
    write_corpus,
)

WriteSound = Callable[..., Path]
Splits = dict[str, list[Utterance]]


def row(name: str, emotion: str | None = "sad", **values: Any) -> Utterance:
    """A row whose speaker, session and dialogue are called alike in every corpus."""
    split = name[:-1]
    given = {"speaker": f"s-{split}", "session": "1", "dialogue": f"d-{split}", "turn": 0}
    return Utterance(name, text="words", emotion=emotion, **{**given, **values})


def write_data_dir(
    folder: Path, splits: Splits, labels: tuple[str, ...] = ("sad", "happy"), **card: Any
) -> Path:
    corpus = Corpus(
        card.pop("name", folder.name),
        labels={"emotion": labels, **card.pop("more_labels", {})},
        **{"disjoint": ("speaker", "dialogue"), "protocol": "as it came", **card},
    )
    write_corpus(folder, corpus, splits)
    return folder


@pytest.fixture
def two(tmp_path: Path, write_sound: WriteSound) -> list[Path]:
    """`one` (VAD, audio in its own folder) and `two` (audio elsewhere), with the same ids."""
    sound, recordings = tmp_path / "one" / "audio", tmp_path / "recordings"
    dirs = []
    for name, folder, labels in (
        ("one", sound, ("sad", "happy")),
        ("two", recordings / "deep", ("happy", "joy", "fear")),
    ):
        splits: Splits = {}
        for split in ("train", "valid", "test"):
            splits[split] = [
                row(
                    f"{split}{i}",
                    label,
                    audio=f"{folder.name}/{split}{i}.wav",
                    n_samples=1600 + i,
                    valence=0.25 * i,
                    arousal=0.5 if name == "one" else None,
                )
                for i, label in enumerate(labels)
            ]
            for utterance in splits[split]:
                write_sound(folder / f"{utterance.id}.wav", utterance.n_samples)
        dirs.append(write_data_dir(tmp_path / name, splits, labels))
    return dirs


@pytest.fixture
def recordings(two: list[Path]) -> list[str]:
    return ["--data-raw", f"two={two[0].parent / 'recordings'}"]


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    ended_with = run(*arguments)
    errors = capsys.readouterr().err
    assert ended_with == (2 if errors.splitlines()[-1].startswith("error: --") else 1)
    return errors


def rows_of(folder: Path, split: str = "train") -> list[Utterance]:
    return read_manifest(folder / f"{split}.tsv")


def test_rows_keep_everything_under_names_of_their_own(
    two: list[Path], recordings: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert run(out, *two, *recordings) == 0
    found = rows_of(out)
    assert [r.id for r in found] == [f"one/train{i}" for i in (0, 1)] + [
        f"two/train{i}" for i in (0, 1, 2)
    ]
    assert [r.corpus for r in found] == ["one"] * 2 + ["two"] * 3
    assert {r.speaker for r in found} == {"one/s-train", "two/s-train"}
    assert {r.dialogue for r in found} == {"one/d-train", "two/d-train"}
    assert {r.session for r in found} == {"one/1", "two/1"}
    assert found[1] == replace(
        rows_of(two[0])[1],
        id="one/train1",
        corpus="one",
        speaker="one/s-train",
        session="one/1",
        dialogue="one/d-train",
        audio="../one/audio/train1.wav",
    )
    assert found[2].audio == "../recordings/deep/train0.wav"
    corpus = read_corpus(out)
    assert corpus.name == "one+two"
    assert corpus.labels == {"emotion": ("sad", "happy", "joy", "fear")}
    assert corpus.disjoint == ("dialogue", "speaker")
    assert corpus.splits["train"]["corpus"] == {"one": 2, "two": 3}
    assert corpus.splits["train"]["speakers"] == 2
    assert validate(out) == []


def test_what_is_missing_stays_missing(tmp_path: Path) -> None:
    bare = Utterance("u", text="x")
    dirs = [write_data_dir(tmp_path / n, {"train": [bare]}, disjoint=()) for n in ("a", "b")]
    combine(dirs, tmp_path / "out")
    assert rows_of(tmp_path / "out") == [
        Utterance("a/u", text="x", corpus="a"),
        Utterance("b/u", text="x", corpus="b"),
    ]


def test_a_map_renames_and_drops_and_says_so(
    two: list[Path], recordings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(out, *two, "--map", "two:joy=glad", "one:happy=glad", "two:fear=", *recordings) == 0
    corpus = read_corpus(out)
    assert corpus.labels["emotion"] == ("sad", "glad", "happy")  # two's own happy stays
    assert [(r.id, r.emotion) for r in rows_of(out)] == [
        ("one/train0", "sad"),
        ("one/train1", "glad"),
        ("two/train0", "happy"),
        ("two/train1", "glad"),
    ]
    assert corpus.dropped == [
        DroppedRow(split, f"two/{split}2", "two: emotion fear mapped to nothing")
        for split in ("train", "valid", "test")
    ]
    assert "two: emotion joy became glad in 3 rows" in corpus.notes
    printed = capsys.readouterr().out
    assert "dropped: 3 x row: two: emotion fear mapped to nothing" in printed
    assert f"python -m data_prep.tokenize_text {out}" in printed
    assert validate(out) == []


def test_sentiments_have_maps_of_their_own(tmp_path: Path) -> None:
    dirs = [
        write_data_dir(
            tmp_path / name,
            {"train": [row("train0", sentiment="good"), row("train1", sentiment="bad")]},
            more_labels={"sentiment": ("good", "bad")},
        )
        for name in ("a", "b")
    ]
    assert run(tmp_path / "out", *dirs, "--sentiment-map", "a:good=positive", "b:good=") == 0
    assert [(r.id, r.sentiment, r.emotion) for r in rows_of(tmp_path / "out")] == [
        ("a/train0", "positive", "sad"),
        ("a/train1", "bad", "sad"),
        ("b/train1", "bad", "sad"),
    ]
    assert read_corpus(tmp_path / "out").labels["sentiment"] == ("positive", "bad")


def test_labels_that_are_one_class_are_pointed_out_not_joined(
    two: list[Path], recordings: list[str], tmp_path: Path
) -> None:
    assert run(tmp_path / "out", *two, *recordings) == 0
    note = "emotion happy, joy look like one class and stay apart; --map joins them"
    assert note in read_corpus(tmp_path / "out").notes
    assert run(tmp_path / "out", *two, "--map", "two:joy=happy", *recordings) == 0
    assert not [n for n in read_corpus(tmp_path / "out").notes if "look like" in n]


def test_earlier_dropped_rows_and_sources_are_kept_on_the_card(tmp_path: Path) -> None:
    lost = [
        DroppedRow("train", "u9", "no text"),
        DroppedRow("test", "u8", "no text"),
        DroppedRow("", "u7", "--drop-label fear"),  # before the splits were drawn
    ]
    for name, more in {
        "a": {"dropped": lost, "license": "CC0", "disjoint": ("speaker",), "citation": "A. (1999)"},
        "b": {"vad": {"source_scale": [1, 5]}, "disjoint": ()},
    }.items():
        splits = {"train": [row("train0")], "test": [row("test0")]}
        write_data_dir(tmp_path / name, splits, **more)
    card = combine([tmp_path / "a", tmp_path / "b"], tmp_path / "out", splits={"": ["train"]})
    assert card.dropped == [
        DroppedRow("", "a/u7", "a: --drop-label fear"),
        DroppedRow("train", "a/u9", "a: no text"),
    ]
    assert (card.license, card.citation) == ("a: CC0", "a: A. (1999)")
    assert card.disjoint == ()  # b says nothing of its speakers
    assert card.vad == {"scale": [0.0, 1.0], "sources": {"b": {"source_scale": [1, 5]}}}
    assert card.protocol == "combined: a: as it came; b: as it came"
    assert card.notes[:2] == [
        "a: from ../a, rows before the maps: train 1",
        "b: from ../b, rows before the maps: train 1",
    ]
    assert list(card.splits) == ["train"]


def test_one_corpus_to_train_on_another_to_test_on(
    two: list[Path], recordings: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(out, *two, *recordings, "--splits", "one:train,valid", "two:test") == 0
    counts = {s: c["corpus"] for s, c in read_corpus(out).splits.items()}
    assert counts == {"train": {"one": 2}, "valid": {"one": 2}, "test": {"two": 3}}
    assert validate(out) == []
    assert run(out, *two, *recordings, "--splits", "test,train", "two:test") == 0
    counts = {s: c["corpus"] for s, c in read_corpus(out).splits.items()}
    assert counts == {"train": {"one": 2}, "test": {"one": 2, "two": 3}}
    assert not (out / "valid.tsv").exists()  # of the run before


def test_twice_the_same_bytes(two: list[Path], recordings: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    written = []
    for seed in ("1", "2"):
        command = [sys.executable, "-m", "data_prep.combine", out, *two, *recordings]
        command += ["--map", "two:joy=happy", "two:fear="]
        subprocess.run(
            list(map(str, command)),
            env={"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"},
            check=True,
            capture_output=True,
        )
        written.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert written[0] == written[1]
    assert sorted(written[0]) == ["corpus.yaml", "test.tsv", "train.tsv", "valid.tsv"]


def test_audio_is_found_through_links(
    two: list[Path], recordings: list[str], tmp_path: Path
) -> None:
    """`..` from a linked folder leads to the neighbors of what it links to."""
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "away")
    assert run(tmp_path / "link" / "out", *two, *recordings) == 0
    assert rows_of(tmp_path / "link" / "out")[0].audio == "../../../one/audio/train0.wav"
    assert validate(tmp_path / "link" / "out") == []


def test_relative_folders_do(
    two: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("out", "one", "two", "--data-raw", "two=recordings") == 0
    assert rows_of(Path("out"))[2].audio == "../recordings/deep/train0.wav"
    assert validate("out") == []


def test_audio_that_is_not_there_is_a_fault(
    two: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refusal(capsys, tmp_path / "out", *two)
    assert f"{two[1] / 'train.tsv'}: row 2: audio deep/train0.wav is not in {two[1]}" in said
    assert "--data-raw two=FOLDER" in said
    assert "[audio-missing]" in said
    said = refusal(capsys, tmp_path / "out", *two, "--data-raw", "six=x")
    assert "[corpus-unknown]" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("--map joy=happy", "option-malformed"),
        ("--map two:joy", "option-malformed"),
        ("--map two:joy=a two:joy=b", "option-malformed"),
        ("--map six:joy=a", "corpus-unknown"),
        ("--map one:joy=a", "label-unknown"),
        ("--sentiment-map one:joy=a", "label-unknown"),
        ("--splits train,dev", "split-unknown"),
        ("--splits two:dev", "split-unknown"),
        ("--splits six:train", "corpus-unknown"),
        ("--splits train,", "option-malformed"),
        ("--splits train test", "option-malformed"),
        ("--splits :train", "option-malformed"),
        ("--data-raw two", "option-malformed"),
        (
            "--map two:happy= two:joy= two:fear= --splits one:valid two:train",
            "split-empty",
        ),
    ],
)
def test_options_that_cannot_be(
    two: list[Path],
    recordings: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    code: str,
) -> None:
    raw = [] if "--data-raw" in arguments else recordings
    assert f"[{code}]" in refusal(capsys, tmp_path / "out", *two, *arguments.split(), *raw)
    assert not (tmp_path / "out").exists()


def test_data_dirs_that_cannot_be_joined(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    splits = {"train": [row("train0")]}
    a = write_data_dir(tmp_path / "a", splits)
    out = tmp_path / "out"
    again = write_data_dir(tmp_path / "again", splits, name="a")
    assert "[corpus-repeated]" in refusal(capsys, out, a, again)
    telephone = write_data_dir(tmp_path / "telephone", splits, sample_rate=8000)
    said = refusal(capsys, out, a, telephone)
    assert "[sample-rate-mismatch]" in said
    odd = write_data_dir(tmp_path / "odd", splits, name="a/b")
    assert "[name-malformed]" in refusal(capsys, out, a, odd)
    both = write_data_dir(tmp_path / "both", {"train": [row("train0", corpus="x")]})
    assert "[already-combined]" in refusal(capsys, out, a, both)
    assert "[data-dirs-too-few]" in refusal(capsys, out, a)
    assert "no corpus.yaml" in refusal(capsys, out, a, tmp_path)
    assert not out.exists()


def test_no_corpus_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b, c = (
        write_data_dir(tmp_path / name, {"train": [row("train0")]}) for name in ("a", "b", "c")
    )
    before = {path: path.read_bytes() for path in a.iterdir()}
    assert "[out-dir-occupied]" in refusal(capsys, a, b, c)
    assert "[out-dir-occupied]" in refusal(capsys, a, a, b)
    assert {path: path.read_bytes() for path in a.iterdir()} == before


def test_two_real_corpora_to_prototypes(tmp_path: Path) -> None:
    """Two toys, the second with arousal turned round: combined, checked, fitted, warned of."""
    for name, seed in (("first", 1), ("second", 2)):
        prepare_toy(tmp_path / name, seed=seed, n_train=24, n_valid=4, n_test=4)
        card = read_corpus(tmp_path / name)
        splits = {split: rows_of(tmp_path / name, split) for split in card.splits}
        if name == "second":
            splits = {
                split: [replace(r, arousal=1 - (r.arousal or 0)) for r in rows]
                for split, rows in splits.items()
            }
        card.name = name
        write_corpus(tmp_path / name, card, splits)
    assert run(tmp_path / "out", tmp_path / "first", tmp_path / "second") == 0
    assert validate(tmp_path / "out") == []
    found = fit_prototypes([tmp_path / "out"])
    apart = fit_prototypes([tmp_path / "first", tmp_path / "second"])
    assert found == apart
    assert list(found.corpora) == ["first", "second"]
    (warning,) = found.warnings
    assert warning.startswith("arousal looks turned round between first and second")

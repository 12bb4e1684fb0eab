from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data_prep.commands.validate import (
    main,
    validate,
)
from data_prep.errors import Fault
from data_prep.features.stored import write_split
from data_prep.schema import Corpus, Utterance, read_manifest, write_corpus, write_manifest


@pytest.fixture
def data_dir(tmp_path: Path, write_sound: Callable[..., Path]) -> Path:
    """Three splits of three rows each, speakers apart, every row with text, audio and labels."""
    folder = tmp_path / "data"
    splits: dict[str, list[Utterance]] = {}
    for split in ("train", "valid", "test"):
        splits[split] = []
        for number in range(3):
            name = f"{split}{number}"
            write_sound(folder / "audio" / f"{name}.wav", 1600 + number)
            splits[split].append(
                Utterance(
                    name,
                    audio=f"audio/{name}.wav",
                    n_samples=1600 + number,
                    text="some words",
                    speaker=f"{split}-speaker",
                    dialogue=f"{split}-dialogue",
                    emotion=("sad", "happy")[number % 2],
                    valence=0.5,
                )
            )
    write_corpus(
        folder,
        Corpus("tiny", labels={"emotion": ("sad", "happy")}, disjoint=("speaker", "dialogue")),
        splits,
    )
    return folder


def change(data_dir: Path, split: str, index: int, **values: object) -> None:
    """Change fields of one row in the file itself, where no writer checks them; None empties."""
    path = data_dir / f"{split}.tsv"
    table = [line.split("\t") for line in path.read_text().splitlines()]
    for name, value in values.items():
        if name not in table[0]:
            table = [[*table[0], name], *([*row, ""] for row in table[1:])]
        table[index + 1][table[0].index(name)] = "" if value is None else str(value)
    path.write_text("".join("\t".join(row) + "\n" for row in table))


def the_fault(data_dir: Path) -> str:
    """The only fault and its code, without the data dir's own path."""
    (fault,) = validate(data_dir)
    assert fault.remedy
    return f"{fault} [{fault.code}]".replace(f"{data_dir}/", "")


def test_a_sound_data_dir_has_no_fault(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate(data_dir) == []
    assert main([str(data_dir)]) == 0
    assert "no fault" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"valence": "nan"}, "valence is 'nan'; write a number from 0 to 1"),
        ({"valence": "3.5"}, "valence is '3.5'; write a number from 0 to 1"),
        ({"n_samples": "-4"}, "n_samples is '-4'; write a whole number from 0 up"),
        ({"emotion": "angry"}, "[label-unknown]"),
        ({"sentiment": "good"}, "[labels-missing]"),
        ({"text": "  "}, "[text-blank]"),
        ({"sentiment_score": 4.0}, "[score-out-of-range]"),
        ({"n_samples": None}, "[length-missing]"),
        ({"audio": None}, "[audio-missing]"),
        ({"text": None, "audio": None, "n_samples": None}, "[row-empty]"),
        ({"n_samples": 1605}, "[length-mismatch]"),
        ({"speaker": "train-speaker"}, "[splits-overlap]"),
        ({"dialogue": "train-dialogue"}, "[splits-overlap]"),
        ({"id": "train2"}, "[id-duplicate]"),
        ({"speaker": None}, "[unit-missing]"),
        ({"audio": "audio/gone.wav"}, "[audio-invalid]"),
    ],
)
def test_one_fault_is_named_with_file_row_and_remedy(
    data_dir: Path, values: dict[str, object], expected: str
) -> None:
    change(data_dir, "valid", 1, **values)
    fault = the_fault(data_dir)
    assert fault.startswith("valid.tsv: row 3: ")
    assert expected in fault


def test_an_absolute_audio_path_is_a_fault(data_dir: Path) -> None:
    change(data_dir, "train", 0, audio=str(data_dir / "audio" / "train0.wav"))
    assert "[path-absolute]" in the_fault(data_dir)


def test_a_length_may_differ_by_the_resamplers_rounding(data_dir: Path) -> None:
    change(data_dir, "valid", 1, n_samples=1602)
    assert validate(data_dir) == []


def test_bad_audio_files_are_faults(
    data_dir: Path, write_sound: Callable[..., Path], cut: Callable[[Path], Path]
) -> None:
    cut(data_dir / "audio" / "train0.wav")
    (data_dir / "audio" / "train1.wav").write_bytes(b"")
    write_sound(data_dir / "audio" / "train2.wav", 4 * 1602, 48_000, channels=2)
    found = [str(fault) for fault in validate(data_dir)]
    assert len(found) == 3
    assert "train.tsv: row 2: audio audio/train0.wav: truncated" in found[0]
    assert "train.tsv: row 3: audio audio/train1.wav: the file is empty" in found[1]
    assert "row 4: n_samples is 1602 where audio/train2.wav has 2136 at 16000 Hz" in found[2]


def test_audio_is_looked_for_under_data_raw(data_dir: Path, tmp_path: Path) -> None:
    (data_dir / "audio").rename(tmp_path / "audio")
    (fault,) = validate(data_dir)
    assert (fault.file, fault.code) == (str(data_dir), "recordings-missing")
    assert "none of its 9 recordings" in fault.what
    assert "--data-raw" in fault.remedy
    assert validate(data_dir, tmp_path) == []
    assert main([str(data_dir), "--data-raw", str(tmp_path)]) == 0


@pytest.mark.parametrize("is_there", [False, True])
def test_one_fault_of_the_whole_data_dir_is_one_line(
    data_dir: Path, capsys: pytest.CaptureFixture[str], is_there: bool
) -> None:
    folder = data_dir if is_there else data_dir / "nowhere"
    (data_dir / "audio").rename(data_dir / "elsewhere")
    assert main([str(folder)]) == 1
    out, err = capsys.readouterr()
    code = "recordings-missing" if is_there else "corpus-card-invalid"
    assert all(line.startswith("warning: emotion: ") for line in out.splitlines())
    assert err.splitlines()[-1].startswith(f"error: {folder}: ")
    assert err.count("error: ") == 1
    assert f"[{code}]" in err


def test_faults_that_are_alike_share_a_line(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        Utterance(f"u{n}", audio=f"audio/{'abcdefghi'[n]}.wav", n_samples=1600, emotion="sad")
        for n in range(9)
    ]
    corpus = Corpus("tiny", labels={"emotion": ("sad", "happy")})
    write_corpus(data_dir, corpus, {"train": rows})
    (data_dir / "audio" / "train0.wav").rename(data_dir / "audio" / "i.wav")
    for n in range(5):
        change(data_dir, "train", n, emotion="angry")
    capsys.readouterr()
    assert main([str(data_dir)]) == 1
    out, err = capsys.readouterr()
    labels, audio = (line for line in out.splitlines() if not line.startswith("warning: "))
    file = data_dir / "train.tsv"
    assert labels == (
        f"{file}: 5 rows (2, 3, 4, ...): unknown emotion 'angry'; use one of sad, happy, or leave "
        "the field empty [label-unknown]"
    )
    assert audio == (
        f"{file}: 8 rows (2, 3, 4, ...) such as row 2: audio audio/a.wav: there is no such file; "
        "copy the file again, or remove the row [audio-invalid]"
    )
    assert "13 faults" in err


def test_every_fault_is_listed_not_only_the_first(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(data_dir, "train", 0, emotion="angry", sentiment_score=-9.0)
    change(data_dir, "train", 2, valence="nan")
    change(data_dir, "valid", 0, id="valid2")
    change(data_dir, "test", 1, text=" ", audio="gone.wav", speaker="train-speaker")
    assert main([str(data_dir), "--workers", "1"]) == 1
    printed = capsys.readouterr()
    lines = [line for line in printed.out.splitlines() if not line.startswith("warning: ")]
    assert "7 faults" in printed.err
    assert len(lines) == 7
    assert [line.split(": ")[0].rsplit("/", 1)[1] for line in lines] == (
        ["test.tsv"] * 3 + ["train.tsv"] * 3 + ["valid.tsv"]
    )
    assert "row 4: id 'valid2' was used in row 2" in lines[-1]


@pytest.mark.parametrize("settings", [{"features": "log_mel"}, {"column": "x"}, None])
def test_rows_without_features_are_reported(
    data_dir: Path, settings: dict[str, str] | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a split with features of some rows, and of those without; not rows without audio."""
    change(data_dir, "train", 2, audio=None, n_samples=None)
    rows = read_manifest(data_dir / "train.tsv")
    folder = data_dir / "features" / "mine"
    frames = [np.ones((n, 3), np.float32) for n in (2, 0, 0)]
    if settings is None:
        folder.mkdir(parents=True)
        np.save(folder / "train0.npy", frames[0])
    else:
        write_split(folder, "train", rows, frames, {"dtype": "float32", **settings}, "x")
    warnings: list[Fault] = []
    assert validate(data_dir, warnings=warnings) == []
    of_features = [str(x) for x in warnings if x.code == "features-missing"]
    counted = "1 of 3" if settings == {"features": "log_mel"} else "2 of 3"
    ids = "train1" if settings == {"features": "log_mel"} else "train1, train2"
    train, _, test = of_features
    assert f"{folder / 'train'}.npy: {counted} rows have no features: {ids}; " in train
    assert f"{folder / 'test'}.npy: 3 of 3 rows have no features: test0, " in test
    assert main([str(data_dir)]) == 0
    assert "warning: " in capsys.readouterr().out


def test_ids_that_unicode_composes_alike_are_one_id(data_dir: Path) -> None:
    change(data_dir, "train", 0, id="caf\u00e9")
    change(data_dir, "test", 0, id="cafe\u0301")
    assert "test.tsv: row 2: id 'caf\u00e9' is in train.tsv too" in the_fault(data_dir)


def test_a_missing_column_is_a_fault_and_the_other_splits_are_still_checked(
    data_dir: Path,
) -> None:
    change(data_dir, "test", 0, emotion="angry")
    path = data_dir / "train.tsv"
    path.write_text(path.read_text().replace("\tarousal", "", 1))
    found = [str(fault) for fault in validate(data_dir)]
    assert len(found) == 2
    assert "test.tsv: row 2: unknown emotion 'angry'" in found[0]
    assert "train.tsv: row 1: no column arousal" in found[1]


def test_what_corpus_yaml_says_must_be_there(data_dir: Path) -> None:
    lines = (data_dir / "train.tsv").read_text().splitlines()
    (data_dir / "train.tsv").write_text("\n".join(lines[:-1]) + "\n")
    assert "[count-mismatch]" in the_fault(data_dir)
    (data_dir / "train.tsv").unlink()
    assert "train.tsv: no such manifest" in the_fault(data_dir)


def test_a_split_that_corpus_yaml_does_not_name_is_a_fault(data_dir: Path) -> None:
    write_manifest(data_dir / "more.tsv", [Utterance("m", text="x", speaker="m", dialogue="m")])
    assert "[split-unknown]" in the_fault(data_dir)


def test_without_corpus_yaml_the_manifests_are_still_checked(data_dir: Path) -> None:
    (data_dir / "corpus.yaml").unlink()
    change(data_dir, "train", 0, text=" ")
    found = [str(fault) for fault in validate(data_dir)]
    assert len(found) == 2
    assert "no corpus.yaml" in found[0]
    assert "train.tsv: row 2: the text is blank" in found[1]


def test_a_folder_that_is_no_data_dir(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "gone")]) == 1
    assert "gone: not a folder" in capsys.readouterr().err
    found = [fault.what for fault in validate(tmp_path)]
    assert len(found) == 2
    assert found[0] == "no {split}.tsv in it"
    assert found[1].startswith("no corpus.yaml")

import csv
import importlib
import io
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml
from codes import raises

from data_prep.commands.hf_table import main
from data_prep.commands.validate import validate
from data_prep.features.stored import open_features
from data_prep.files.listing import suffix_of
from data_prep.schema import Utterance, read_corpus, read_manifest
from data_prep.tables.published import STORED_NOTE
from data_prep.tables.published_cells import as_frames, as_sound
from data_prep.tables.published_columns import map_features, map_known_columns
from data_prep.tables.shards import find_shards

WriteSound = Callable[..., Path]
WIDTH = 6


def vector(seed: int, length: int | None = None) -> Any:
    shape = WIDTH if length is None else (length, WIDTH)
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32).tolist()


def sound_bytes(frames: int, kind: str = "WAV") -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(frames).normal(0, 0.1, frames)
    soundfile.write(buffer, noise, 16_000, format=kind)
    return buffer.getvalue()


def write_parquet(
    path: Path, columns: Mapping[str, Sequence[Any]], names: Mapping[str, Sequence[str]] = {}
) -> Path:
    """A Parquet file as `datasets` writes it, with the names of its ClassLabel columns."""
    pa = pytest.importorskip("pyarrow")
    parquet = importlib.import_module("pyarrow.parquet")
    features = {
        name: {"names": list(found), "_type": "ClassLabel"} for name, found in names.items()
    }
    told = json.dumps({"info": {"features": features}})
    table = pa.table(dict(columns)).replace_schema_metadata({"huggingface": told})
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table, path, row_group_size=2)
    return path


def columns(first: int, n: int, **more: Sequence[Any]) -> dict[str, Sequence[Any]]:
    return {
        "transcript": [f"words {first + i}" for i in range(n)],
        "EmoVal": [1.0 + i for i in range(n)],
        "EmoAct": [5.0] * n,
        "EmoDom": [None] * n,
        "emotion": [i % 2 for i in range(n)],
        "emotion2vec_features": [vector(first + i) for i in range(n)],
        **more,
    }


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """Two shards of train and one of validation and test, in the folder that `datasets` makes."""
    place = tmp_path / "exported" / "data"
    names = {"emotion": ["sad", "glad"]}
    write_parquet(place / "train-00000-of-00002.parquet", columns(0, 3), names)
    write_parquet(place / "train-00001-of-00002.parquet", columns(3, 2), names)
    write_parquet(place / "validation-00000-of-00001.parquet", columns(5, 1), names)
    write_parquet(place / "test-00000-of-00001.parquet", columns(6, 2), names)
    return tmp_path / "exported"


def run_main(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    assert run_main(*arguments) == 1
    _, error, message = capsys.readouterr().err.partition("error: ")
    assert error
    return message.strip()


def test_shards_of_parquet(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run_main(exported, out, "--name", "mine", "--vad-scale", 1, 5) == 0
    assert f"train with: emotion-recognize train {out}\n" in capsys.readouterr().out
    train = read_manifest(out / "train.tsv")
    assert train[1] == Utterance(
        "train_000002", text="words 1", emotion="glad", valence=0.25, arousal=1.0
    )
    assert [row.text for row in train] == [f"words {i}" for i in range(5)]
    corpus = read_corpus(out)
    assert corpus.labels == {"emotion": ("sad", "glad")}
    assert corpus.vad == {"source_scale": [1.0, 5.0], "mapping": "(x - 1) / 4"}
    filled = "text=transcript, emotion=emotion, valence=EmoVal, arousal=EmoAct, dominance=EmoDom"
    assert corpus.notes == [
        f"columns: {filled}",
        "features/emotion2vec: column emotion2vec_features",
        "no column fills id: ids are made of split and row number",
    ]
    assert [corpus.splits[s]["rows"] for s in ("train", "valid", "test")] == [5, 1, 2]
    assert validate(out) == []
    folder = out / "features" / "emotion2vec"
    for split, first, n in (("train", 0, 5), ("valid", 5, 1), ("test", 6, 2)):
        frames = np.load(folder / f"{split}.npy")
        np.testing.assert_array_equal(frames, [vector(first + i) for i in range(n)])
        assert (folder / f"{split}.lengths").read_text() == "1\n" * n
        stored = open_features(folder, split, read_manifest(out / f"{split}.tsv"))
        assert stored is not None
        assert len(stored) == n


def test_what_is_printed_is_what_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = columns(0, 3, id=["a", "b", "a"], note=["x", "y", "z"])
    table = write_parquet(tmp_path / "t.parquet", rows)
    words = [f"train={table}", tmp_path / "out", "--name", "mine", "--vad-scale", 1, 5]
    assert "id 'a' was used in" in refusal(capsys, *words)
    assert run_main(*words) == 1
    printed = capsys.readouterr().out
    assert "  id                   = id  (such as 'a')" in printed
    assert "  features/emotion2vec = emotion2vec_features  (of 3 of 3 rows)" in printed
    assert "  not used: note\n" in printed
    assert run_main(*words, "--ignore", "id") == 0
    printed = capsys.readouterr().out
    assert "  id                   = made of split and row number" in printed
    assert "  not used: id, note\n" in printed


def test_twice_gives_the_same_bytes(exported: Path, tmp_path: Path) -> None:
    for name in ("one", "one", "two"):
        assert run_main(exported, tmp_path / name, "--name", "x", "--vad-scale", 1, 5) == 0
    files = [path for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert len(files) == 4 + 7
    for path in files:
        assert (
            path.read_bytes()
            == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()
        )


def test_frames_rows_without_any_and_rows_that_are_dropped(tmp_path: Path) -> None:
    features = [vector(1, 3), None, vector(2, 2), vector(3, 4)]
    table = write_parquet(
        tmp_path / "t.parquet",
        {"id": ["a", "b", "c", "d"], "text": ["x", "y", None, "z"], "hidden": features},
    )
    out = tmp_path / "out"
    more = ["--name", "x", "--features", "wavlm=hidden"]
    assert run_main(f"train={table}", out, *more) == 0
    assert [row.id for row in read_manifest(out / "train.tsv")] == ["a", "b", "d"]
    assert [(d.id, d.reason) for d in read_corpus(out).dropped] == [
        ("c", "neither text, audio nor video")
    ]
    folder = out / "features" / "wavlm"
    assert (folder / "train.lengths").read_text() == "3\n0\n4\n"
    np.testing.assert_array_equal(np.load(folder / "train.npy"), vector(1, 3) + vector(3, 4))


def test_sounds_in_the_table_are_written_out(tmp_path: Path) -> None:
    audio = [
        {"bytes": sound_bytes(1600), "path": "one.wav"},
        {"bytes": sound_bytes(800, "FLAC"), "path": None},
        None,
    ]
    table = write_parquet(
        tmp_path / "t.parquet", {"id": ["a/1", "b", "c"], "audio": audio, "text": ["x", "y", "z"]}
    )
    out = tmp_path / "out"
    assert run_main(f"train={table}", out, "--name", "x") == 0
    rows = read_manifest(out / "train.tsv")
    assert [(row.audio, row.n_samples) for row in rows] == [
        ("audio/train/a%2F1.wav", 1600),
        ("audio/train/b.flac", 800),
        (None, None),
    ]
    assert (out / rows[0].audio).read_bytes() == audio[0]["bytes"]
    assert STORED_NOTE in read_corpus(out).notes
    assert validate(out) == []


def test_sounds_by_path_start_from_data_raw(
    tmp_path: Path, write_sound: WriteSound, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sound(tmp_path / "raw" / "one.wav", 1600)
    audio = [{"bytes": None, "path": "one.wav"}]
    table = write_parquet(tmp_path / "t.parquet", {"audio": audio})
    out = tmp_path / "out"
    arguments = [f"test={table}", out, "--name", "x", "--column", "id=audio.path"]
    said = refusal(capsys, *arguments)
    assert "[data-raw-missing]" in said
    assert not out.exists()
    assert run_main(*arguments, "--data-raw", tmp_path / "raw") == 0
    assert f"train with: emotion-recognize train {out}\n" in capsys.readouterr().out
    assert read_corpus(out).data_raw == str(tmp_path / "raw")
    (row,) = read_manifest(out / "test.tsv")
    assert (row.id, row.audio, row.n_samples) == ("one.wav", "one.wav", 1600)


def test_sounds_both_inside_and_outside_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audio = [{"bytes": sound_bytes(100), "path": None}, {"bytes": None, "path": "x.wav"}]
    table = write_parquet(tmp_path / "t.parquet", {"audio": audio})
    said = refusal(
        capsys, f"train={table}", tmp_path / "out", "--name", "x", "--data-raw", tmp_path
    )
    assert "[audio-mixed]" in said


def test_bad_cells_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write_parquet(
        tmp_path / "t.parquet",
        {
            "text": ["x", "y"],
            "emotion": [2, 0],
            "audio": [{"bytes": None, "path": None}, {"bytes": b"GIF89", "path": None}],
        },
        {"emotion": ["sad", "glad"]},
    )
    said = refusal(capsys, f"train={table}", tmp_path / "out", "--name", "x")
    assert f"{table}: row 1: emotion is 2, but its names are sad, glad" in said
    assert f"{table}: row 2: audio: begins with b'GIF8', which is none of .wav" in said
    assert said.endswith("2 faults [cell-invalid]")


def test_a_class_number_of_minus_one_is_no_label(tmp_path: Path) -> None:
    values = {"text": ["x", "y", "z"], "label": [-1, 0, 1]}
    table = write_parquet(tmp_path / "t.parquet", values, {"label": ["b", "a"]})
    more = ["--name", "x", "--column", "emotion=label", "--label-map", "b=c"]
    assert run_main(f"train={table}", tmp_path / "out", *more) == 0
    rows = read_manifest(tmp_path / "out" / "train.tsv")
    assert [row.emotion for row in rows] == [None, "c", "a"]
    assert read_corpus(tmp_path / "out").labels == {"emotion": ("c", "a")}


def results(first: int, n: int, length: int | None = None) -> list[Any]:
    """emotion2vec's results as FunASR returns them, a list of one record a recording."""
    return [[{"key": f"r{i}", "feats": vector(first + i, length)}] for i in range(n)]


PUBLISHED = {
    "consensus": ("consensus_valence", "consensus_arousal", "consensus_dominance"),
    "domination": ("valence", "arousal", "domination"),
    "EmoVal": ("EmoVal", "EmoAct", "EmoDom"),
}


@pytest.mark.parametrize("axes", PUBLISHED.values(), ids=PUBLISHED)
@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_merged_tables(axes: Sequence[str], kind: str, tmp_path: Path) -> None:
    """VAD under each of the three sets of names, beside the results of emotion2vec."""
    found: Any = results(0, 2)
    if kind == "csv":
        arrays = [str([{**record[0], "feats": np.array(record[0]["feats"])}]) for record in found]
        assert "array([" in arrays[0]
        found = arrays
    columns = {"transcript": ["x", "y"], "emotion": ["sad", "glad"], "emotion2vec_features": found}
    columns |= {axis: [1.0 + i, 5.0] for i, axis in enumerate(axes)}
    if kind == "parquet":
        table = write_parquet(tmp_path / "t.parquet", columns)
    else:
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        table = tmp_path / f"t.{kind}"
        if kind == "csv":
            write_csv(table, rows)
        else:
            table.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    out = tmp_path / "out"
    assert run_main(f"train={table}", out, "--name", "x", "--vad-scale", 1, 5) == 0
    (first, last) = read_manifest(out / "train.tsv")
    assert (first.text, first.emotion) == ("x", "sad")
    assert (first.valence, first.arousal, first.dominance) == (0.0, 0.25, 0.5)
    assert (last.valence, last.arousal, last.dominance) == (1.0, 1.0, 1.0)
    frames = np.load(out / "features" / "emotion2vec" / "train.npy")
    np.testing.assert_allclose(frames, [vector(0), vector(1)], atol=1e-6)


def test_frames_of_a_result(tmp_path: Path) -> None:
    columns = {"text": ["x", "y", "z"], "emotion2vec_features": [*results(0, 2, 3), None]}
    table = write_parquet(tmp_path / "t.parquet", columns)
    out = tmp_path / "out"
    assert run_main(f"train={table}", out, "--name", "x") == 0
    folder = out / "features" / "emotion2vec"
    assert (folder / "train.lengths").read_text() == "3\n3\n0\n"
    np.testing.assert_array_equal(np.load(folder / "train.npy"), vector(0, 3) + vector(1, 3))


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ([{"feats": [1.0]}, {"feats": [2.0]}], "2 results; a row has one"),
        ([{"labels": ["sad"], "scores": [1.0]}], "a record of labels, scores, and none of feats"),
    ],
)
def test_other_results_are_refused(result: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_frames(result)


def test_a_scale_without_axes_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = {"text": ["x"], "emotion": ["sad"], "valency": [3.0]}
    table = write_parquet(tmp_path / "t.parquet", columns)
    assert run_main(f"train={table}", tmp_path / "out", "--name", "x", "--vad-scale", 1, 5) == 2
    assert capsys.readouterr().err == (
        f"error: --vad-scale: no column of {table} fills valence, arousal or dominance; add "
        "--column valence=COLUMN and the like, or leave the scale out [field-not-mapped]\n"
    )
    assert not (tmp_path / "out").exists()


# -- CSV -------------------------------------------------------------------------------------------


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_csv_with_lists_as_text(tmp_path: Path) -> None:
    as_numpy = np.array2string(np.array(vector(2)), threshold=10_000)
    features = [str(vector(1)), as_numpy, ""]
    rows = [
        {"transcript": f"t{i}", "V": i + 1, "A": 2, "D": "", "emotion2vec_features": found}
        for i, found in enumerate(features)
    ]
    write_csv(tmp_path / "train.csv", rows)
    write_csv(tmp_path / "test.csv", rows[:1])
    out = tmp_path / "out"
    assert run_main(tmp_path, out, "--name", "x", "--vad-scale", 1, 5) == 0
    assert list(read_corpus(out).splits) == ["train", "test"]
    assert [row.valence for row in read_manifest(out / "train.tsv")] == [0.0, 0.25, 0.5]
    frames = np.load(out / "features" / "emotion2vec" / "train.npy")
    np.testing.assert_allclose(frames, [vector(1), vector(2)], atol=1e-6)
    assert (out / "features" / "emotion2vec" / "train.lengths").read_text() == "1\n1\n0\n"


def test_a_csv_with_long_frames(tmp_path: Path) -> None:
    frames = vector(1, 2000)
    assert len(str(frames)) > csv.field_size_limit()
    rows = [{"text": "x", "emotion2vec_features": str(frames)}]
    write_csv(tmp_path / "t.csv", rows)
    limit = csv.field_size_limit()
    assert run_main(f"train={tmp_path / 't.csv'}", tmp_path / "out", "--name", "x") == 0
    assert csv.field_size_limit() == limit
    assert (tmp_path / "out" / "features" / "emotion2vec" / "train.lengths").read_text() == "2000\n"


def test_a_list_cut_short_by_a_printer_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"text": "x", "emotion2vec_features": "[0.1 0.2 ... 0.3]"}]
    table = write_csv(tmp_path / "t.csv", rows)
    said = refusal(capsys, f"train={table}", tmp_path / "out", "--name", "x")
    assert f"{table}: row 2: emotion2vec_features: cut short by a printer's '...'" in said


def test_widths_that_differ_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"text": "x", "emotion2vec_features": found} for found in ("[1, 2]", "[1, 2, 3]")]
    table = write_csv(tmp_path / "t.csv", rows)
    said = refusal(capsys, f"train={table}", tmp_path / "out", "--name", "x")
    assert "frames of 3 numbers, 2 before it" in said


def test_splits_can_be_drawn_or_told_by_a_column(tmp_path: Path) -> None:
    rows = [
        {"id": f"r{i}", "text": f"t{i}", "part": "test" if i > 7 else "train"} for i in range(9)
    ]
    write_csv(tmp_path / "train.csv", rows)
    told = ["--name", "x", "--split-column", "part"]
    assert run_main(tmp_path, tmp_path / "told", *told) == 0
    assert len(read_manifest(tmp_path / "told" / "test.tsv")) == 1
    drawn = ["--name", "x", "--split-by", "row"]
    assert run_main(tmp_path, tmp_path / "drawn", *drawn) == 0
    assert list(read_corpus(tmp_path / "drawn").splits) == ["train", "valid", "test"]


def test_a_column_of_splits_in_a_table_of_one_split_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    splits = ("Train", "Train", "Development", "Test")
    rows = [{"id": f"r{i}", "text": f"t{i}", "Split_Set": splits[i % 4]} for i in range(12)]
    write_csv(tmp_path / "train.csv", rows)
    assert run_main(tmp_path, tmp_path / "one", "--name", "x") == 0
    assert "; --column split=Split_Set reads the splits" in capsys.readouterr().out
    words = ["--name", "x", "--column", "split=Split_Set"]
    assert run_main(tmp_path, tmp_path / "out", *words) == 0
    counts = {split: about["rows"] for split, about in read_corpus(tmp_path / "out").splits.items()}
    assert counts == {"train": 6, "valid": 3, "test": 3}


# -- what is refused -------------------------------------------------------------------------------


def test_nothing_is_guessed(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    said = refusal(capsys, exported, out, "--name", "x")
    assert "[vad-scale-missing]" in said
    said = refusal(capsys, exported, out, "--name", "x", "--column", "speaker=who")
    assert "[column-missing]" in said
    said = refusal(capsys, exported, out, "--name", "x", "--features", "wavlm=hidden")
    assert said.endswith("[column-missing]")
    said = refusal(capsys, exported, out, "--name", "x", "--vad-scale", 1, 5, "--split-column", "p")
    assert "no column p" in said
    said = refusal(capsys, exported, out, "--name", "x", "--vad-scale", 2, 5)
    assert "valence is '1.0', not a number 2 to 5" in said
    assert not (out / "corpus.yaml").exists()


def test_axes_that_are_left_out_stay_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They were printed as left out, and then refused for want of their scale."""
    axes = {axis: [1.0, 4.0] for axis in ("valence", "arousal", "dominance")}
    words = {"text": ["so glad", "so sad"], "emotion": ["glad", "sad"]}
    table = write_parquet(tmp_path / "train.parquet", {**words, **axes})
    assert run_main(f"train={table}", tmp_path / "out", "--name", "x") == 0
    assert capsys.readouterr().out.count("valence, arousal, dominance left out") == 1
    assert read_manifest(tmp_path / "out" / "train.tsv")[0].valence is None
    assert any("left out" in note for note in read_corpus(tmp_path / "out").notes)


def test_columns_of_known_names() -> None:
    found = map_known_columns(["transcript", "V", "A", "D", "who"], {"speaker": "who"})
    assert found == {
        "speaker": "who",
        "text": "transcript",
        "valence": "V",
        "arousal": "A",
        "dominance": "D",
    }
    assert map_known_columns(["text", "V"], {}, ["V"]) == {"text": "text"}
    assert (
        map_known_columns(["text", "valence", "EmoVal"], {"valence": "EmoVal"})["valence"]
        == "EmoVal"
    )
    with raises("column-ambiguous"):
        map_known_columns(["text", "valence", "EmoVal"], {})
    with raises("column-ambiguous"):
        map_known_columns(["text", "V", "EmoAct"], {})
    with raises("column-ambiguous"):
        map_known_columns(["text", "EmoVal", "EmoAct", "domination"], {})
    mixed = map_known_columns(["valence", "arousal", "domination"], {})
    assert mixed["dominance"] == "domination"


def test_feature_columns() -> None:
    known = ["emotion2vec_features", "h"]
    assert map_features(known, []) == {"emotion2vec": "emotion2vec_features"}
    assert map_features(known, ["e2v=emotion2vec_features"]) == {"e2v": "emotion2vec_features"}
    assert map_features(["h"], []) == {}
    with raises("option-malformed"):
        map_features(known, ["h"])


def test_two_files_of_one_shard_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name in ("train.csv", "data/train.csv"):
        (tmp_path / name).touch()
    with raises("splits-ambiguous") as error:
        find_shards(tmp_path)
    assert "data/train.csv and train.csv" in str(error.value)


@pytest.mark.parametrize(
    "name", ["train_2.csv", "train-part2.xlsx", "data/Dev.CSV", "more_train.jsonl", "devel.tsv"]
)
def test_a_further_table_of_a_split_is_refused(tmp_path: Path, name: str) -> None:
    """Its rows would be lost."""
    (tmp_path / "data").mkdir()
    for file in ("train.csv", "speakers.csv", ".train.csv", name):
        (tmp_path / file).touch()
    with raises("splits-ambiguous") as error:
        find_shards(tmp_path)
    assert f"{name} is named after a split" in str(error.value)


def test_further_tables_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for file in ("train-00000-of-00001-0123456789abcdef.csv", "speakers.csv", "testimony.csv"):
        (tmp_path / file).touch()
    assert [*find_shards(tmp_path)] == ["train"]
    assert "further tables, not read: speakers.csv, testimony.csv" in caplog.text


def test_shards_must_be_complete(tmp_path: Path) -> None:
    for name in ("train-00000-of-00002.csv", "readme.csv"):
        (tmp_path / name).touch()
    with raises("shards-missing"):
        find_shards(tmp_path)
    (tmp_path / "train-00001-of-00003.csv").touch()  # of an older upload
    with raises("shards-missing"):
        find_shards(tmp_path)
    (tmp_path / "train-00001-of-00003.csv").rename(tmp_path / "train-00001-of-00002.csv")
    assert [path.name for path in find_shards(tmp_path)["train"]] == [
        "train-00000-of-00002.csv",
        "train-00001-of-00002.csv",
    ]
    (tmp_path / "dev.csv").touch()
    (tmp_path / "validation.csv").touch()
    with raises("splits-ambiguous"):
        find_shards(tmp_path)
    with raises("table-missing"):
        find_shards(tmp_path / "none")


def test_cells() -> None:
    assert as_sound({"bytes": None, "path": None}) is None
    assert as_sound("") is None
    assert as_sound("{'bytes': None, 'path': 'a.wav'}") == as_sound("a.wav")
    with pytest.raises(ValueError, match="neither a path nor a struct"):
        as_sound({"array": [1.0]})
    assert suffix_of(sound_bytes(10, "OGG")) == ".ogg"
    np.testing.assert_array_equal(as_frames("[[1. 2.]\n [3. 4.]]"), [[1, 2], [3, 4]])
    assert as_frames(None) is None
    for odd in ("[[1, 2], [3]]", "hello", "[]", 3.0, [[[1.0]]]):
        with pytest.raises(ValueError, match="list|shape"):
            as_frames(odd)


def test_parquet_without_pyarrow_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    said = refusal(capsys, f"train={tmp_path / 't.parquet'}", tmp_path / "out", "--name", "x")
    assert "[package-missing]" in said


def test_what_is_no_parquet_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "t.parquet").write_bytes(b"nothing of the kind")
    said = refusal(capsys, f"train={tmp_path / 't.parquet'}", tmp_path / "out", "--name", "x")
    assert "[parquet-invalid]" in said


# -- audformat -------------------------------------------------------------------------------------


@pytest.fixture
def database(tmp_path: Path, write_sound: WriteSound) -> Path:
    """Two tables with splits, one of all files, one of segments; 2 s of sound a file."""
    audformat = pytest.importorskip("audformat")
    names = [f"audio/{split}{i}.wav" for split in ("train", "dev") for i in range(2)]
    for number, name in enumerate(names):
        write_sound(tmp_path / "db" / name, 32_000 + number)
    db = audformat.Database("mydb", license="CC0-1.0")
    db.schemes["emotion"] = audformat.Scheme(labels=["sad", "angry"])
    db.schemes["speaker"] = audformat.Scheme("str")
    db.schemes["arousal"] = audformat.Scheme("float", minimum=-1, maximum=1)
    for split in ("train", "dev"):
        db.splits[split] = audformat.Split(split)
        index = audformat.filewise_index([name for name in names if split in name])
        table = db[f"emotion.{split}"] = audformat.Table(index, split_id=split)
        table["emotion"] = audformat.Column(scheme_id="emotion")
        table["emotion"].set(["angry", "sad"])
    db["files"] = audformat.Table(audformat.filewise_index(names))
    db["files"]["speaker"] = audformat.Column(scheme_id="speaker")
    db["files"]["speaker"].set(["ann", "bob", "cat", "dan"])
    index = audformat.segmented_index([names[0]] * 2, ["0s", "0.5s"], ["0.5s", None])
    db["segments"] = audformat.Table(index)
    db["segments"]["arousal"] = audformat.Column(scheme_id="arousal")
    db["segments"]["arousal"].set([0.5, None])
    db.save(str(tmp_path / "db"), storage_format="csv")
    return tmp_path / "db"


def test_an_audformat_database_by_file(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    more = ["--name", "mine", "--tables", "emotion.train", "emotion.dev", "files"]
    assert run_main(database, out, *more, "--disjoint", "speaker") == 0
    assert f"train with: emotion-recognize train {out}\n" in capsys.readouterr().out
    assert read_corpus(out).data_raw == str(database)
    assert read_manifest(out / "train.tsv")[0] == Utterance(
        "audio/train0", audio="audio/train0.wav", n_samples=32_000, speaker="ann", emotion="angry"
    )
    assert [row.speaker for row in read_manifest(out / "valid.tsv")] == ["cat", "dan"]
    corpus = read_corpus(out)
    assert corpus.labels == {"emotion": ("sad", "angry")}
    assert corpus.license == "CC0-1.0"
    assert validate(out, database) == []


def test_an_audformat_database_with_segments(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "one", "two"):
        assert run_main(database, tmp_path / name, "--name", "mine", "--vad-scale", -1, 1) == 0
    assert f"train with: emotion-recognize train {tmp_path / 'two'}\n" in capsys.readouterr().out
    assert read_corpus(tmp_path / "two").data_raw == str(database)
    rows = {row.id: row for row in read_manifest(tmp_path / "one" / "train.tsv")}
    assert list(rows) == ["audio/train1", "audio/train0_0_500", "audio/train0_500_end"]
    first, last = rows["audio/train0_0_500"], rows["audio/train0_500_end"]
    assert (first.n_samples, first.speaker, first.emotion) == (8_000, "ann", "angry")
    assert (first.arousal, last.arousal, last.n_samples) == (0.75, None, 24_000)
    assert (first.audio, first.start, first.end) == ("audio/train0.wav", 0.0, 0.5)
    assert (last.audio, last.start, last.end) == ("audio/train0.wav", 0.5, None)
    assert validate(tmp_path / "one", database) == []
    files = [path for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert len(files) == 3
    for path in files:
        other = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert path.read_bytes() == other.read_bytes()


def test_a_segment_of_a_whole_file_beside_others_is_a_row(database: Path, tmp_path: Path) -> None:
    audformat = importlib.import_module("audformat")
    db = audformat.Database.load(str(database))
    index = audformat.segmented_index(["audio/train0.wav"] * 2, ["0s", "1s"], [None, "2s"])
    db["segments"] = audformat.Table(index)
    db["segments"]["arousal"] = audformat.Column(scheme_id="arousal")
    db["segments"]["arousal"].set([0.5, None])
    db.save(str(database))
    assert run_main(database, tmp_path / "out", "--name", "mine", "--vad-scale", -1, 1) == 0
    rows = read_manifest(tmp_path / "out" / "train.tsv")
    assert [(row.id, row.speaker, row.arousal) for row in rows] == [
        ("audio/train1", "bob", None),
        ("audio/train0", "ann", 0.75),
        ("audio/train0_1000_2000", "ann", None),
    ]


def test_an_audformat_database_without_what_is_asked(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    said = refusal(capsys, database, out, "--name", "x", "--tables", "labels")
    assert "[table-unknown]" in said
    (database / "audio" / "train0.wav").unlink()
    said = refusal(capsys, database, out, "--name", "x", "--vad-scale", -1, 1)
    assert "there is no such file" in said
    assert run_main(database, out, "--name", "x", "--vad-scale", -1, 1, "--drop-bad-audio") == 0
    assert {d.id for d in read_corpus(out).dropped if d.what == "audio"} == {
        "audio/train0_0_500",
        "audio/train0_500_end",
    }
    (database / "db.yaml").write_text("a: [")
    assert "[database-invalid]" in refusal(capsys, database, out, "--name", "x")


def test_audformat_tables_that_disagree_are_refused(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audformat = importlib.import_module("audformat")
    db = audformat.Database.load(str(database))
    db["files"]["emotion"] = audformat.Column(scheme_id="emotion")
    db["files"]["emotion"].set("sad")
    db.save(str(database))
    said = refusal(capsys, database, tmp_path / "out", "--name", "x")
    assert "[tables-contradict]" in said


def test_audformat_labels_that_the_scheme_lacks_are_refused(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = database / "db.emotion.train.csv"
    table.write_text(table.read_text().replace("sad", "Sad").replace("angry", "Angry"))
    said = refusal(capsys, database, tmp_path / "out", "--name", "x")
    assert f"{table}: row 2: emotion '" in said
    assert "[label-unknown]" in said


def test_an_audformat_label_that_is_read_as_missing_is_refused(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    header = yaml.safe_load((database / "db.yaml").read_text())
    header["schemes"]["emotion"]["labels"] = ["null", "angry"]
    (database / "db.yaml").write_text(yaml.safe_dump(header))
    for table in database.glob("db.emotion.*.csv"):
        table.write_text(table.read_text().replace("sad", "null"))
    said = refusal(capsys, database, tmp_path / "out", "--name", "x")
    assert "[label-ambiguous]" in said


def test_audformat_without_its_package_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "audformat", None)
    (tmp_path / "db.yaml").write_text("name: x\n")
    said = refusal(capsys, tmp_path, tmp_path / "out", "--name", "x")
    assert "[package-missing]" in said

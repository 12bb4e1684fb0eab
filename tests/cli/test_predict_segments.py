"""``predict`` of segments: rows of a table, or AudioSegments, are answered by their own sound."""

import csv
import io
import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
import soundfile
import three_tones
from codes import raises

from data_prep.audio.segment import AudioSegment
from data_prep.schema import read_manifest
from data_prep.segmentation.turn import Turn
from emo_fairseq.cli.__main__ import main
from emo_fairseq.cli.predict.columns import TableOptions
from emo_fairseq.cli.predict.items import Item, Reads
from emo_fairseq.cli.predict.tables import TableSource
from emo_fairseq.models.roberta_emo import RobertaEMOModel

SPEECH = "--modality speech --speech-input log_mel --target vad"
AXES = ("valence", "arousal", "dominance")
TIMES = [(0.0, 0.5), (0.5, 1.0), (1.0, None)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A recording of three tones, and each tone as a file of its own."""
    three_tones.write_recording(tmp_path / "long.wav", rate=16_000)
    samples, rate = soundfile.read(tmp_path / "long.wav")
    for number in range(3):
        part = samples[8000 * number : 8000 * (number + 1)]
        soundfile.write(tmp_path / f"{number}.wav", part, rate, "FLOAT")
    return tmp_path


def write(path: Path, header: str, *lines: str) -> Path:
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def values(row: dict[str, str]) -> list[float]:
    return [float(row[f"prediction_{axis}"]) for axis in AXES]


def test_rows_of_tables(trained_models, folder, command):
    model = trained_models.folder(SPEECH)
    alone = table(command("predict", model, *(folder / f"{number}.wav" for number in range(3))))
    assert "start" not in alone[0]
    expected = [pytest.approx(values(row), abs=1e-5) for row in alone]
    assert values(alone[0]) != pytest.approx(values(alone[1]), abs=1e-4)
    lines = ["a,long.wav,0,0.5", "b,long.wav,00:00:00.5,0 days 00:00:01", "c,long.wav,1,"]
    found = table(command("predict", model, write(folder / "t.csv", "id,audio,start,end", *lines)))
    assert [values(row) for row in found] == expected
    assert [(row["item"], row["start"], row["end"]) for row in found] == [
        ("a", "0", "0.5"),
        ("b", "00:00:00.5", "0 days 00:00:01"),
        ("c", "1", ""),
    ]
    assert [float(row["seconds"]) for row in found] == [0.5] * 3
    rows = [{"audio": "long.wav", "from": a, "to": b} for a, b in TIMES]
    path = write(folder / "t.jsonl", json.dumps(rows[0]), *map(json.dumps, rows[1:]))
    more = ("--column", "start=from", "--column", "end=to", "--format", "jsonl")
    answers = [json.loads(line) for line in command("predict", model, path, *more).splitlines()]
    assert [[row["values"][axis] for axis in AXES] for row in answers] == expected
    assert [(row["from"], row["to"]) for row in answers] == TIMES


def test_a_row_that_is_no_segment_has_its_error(trained_models, folder, capsys):
    model = trained_models.folder(SPEECH)
    lines = ["a,long.wav,0,0.5", "b,long.wav,1,9", "c,long.wav,1500ms,", "d,long.wav,1,0.5"]
    path = write(folder / "t.csv", "id,audio,start,end", *lines, "e,0.wav,,")
    assert main(["predict", str(model), str(path)]) == 1
    out, err = capsys.readouterr()
    good, late, odd, turned, whole = table(out)
    assert (good["error"], whole["error"], whole["start"], whole["end"]) == ("", "", "", "")
    assert "is not in its 1.5 s" in late["error"]
    assert (late["start"], late["end"]) == ("1", "9")
    assert "start is '1500ms', not seconds" in odd["error"]
    assert "end 0.5 is not after start 1.0" in turned["error"]
    assert "3 of 5 items failed" in err


def test_a_timeline_counts_in_the_recording(trained_models, folder, command):
    model = trained_models.folder(SPEECH)
    path = write(folder / "t.csv", "id,audio,start,end", "a,long.wav,0.5,1.5")
    words = ("predict", model, path, "--timeline", "--window", "0.5", "--hop", "0.5")
    found = table(command(*words))
    times = [(row["model_start"], row["model_end"]) for row in found]
    assert times == [("0.5", "1.0"), ("1.0", "1.5")]
    assert {(row["start"], row["end"]) for row in found} == {("0.5", "1.5")}, "as in the table"


def test_segments_wherever_a_path_is(trained_models, folder):
    predictor = RobertaEMOModel.from_pretrained(trained_models.folder(SPEECH))
    alone = predictor.predict([folder / f"{number}.wav" for number in range(3)])
    parts = [AudioSegment(folder / "long.wav", *times) for times in TIMES]
    for part, expected, found in zip(parts, alone, predictor.predict(parts), strict=True):
        assert found.values == pytest.approx(expected.values, abs=1e-5)
        assert predictor.predict(part).values == pytest.approx(expected.values, abs=1e-5)
        assert found.seconds == 0.5
    with raises("segment-outside"):
        predictor.predict(AudioSegment(folder / "long.wav", 1.0, 9.0))


def test_a_turn_is_read_from_its_channel(trained_models, folder):
    predictor = RobertaEMOModel.from_pretrained(trained_models.folder(SPEECH))
    samples, rate = soundfile.read(folder / "0.wav", always_2d=True)
    mono = samples[:, 0]
    soundfile.write(folder / "mono.wav", mono, rate, "FLOAT")
    soundfile.write(folder / "two.wav", np.stack([mono, mono[::2].repeat(2)], 1), rate, "FLOAT")
    turn = Turn(Decimal(0), Decimal("0.5"), channel=1)
    (found,) = predictor.predict_segments(folder / "two.wav", [turn])
    expected = predictor.predict(folder / "mono.wav").values
    assert found.prediction.values == pytest.approx(expected, abs=1e-5)
    (mixed,) = predictor.predict_segments(folder / "two.wav", [replace(turn, channel=None)])
    assert mixed.prediction.values != pytest.approx(expected, abs=1e-5)


def items_of(path: Path, *modalities: str, columns: dict[str, str] | None = None) -> list[Item]:
    source = TableSource(path, TableOptions(columns or {}))
    return list(source.items(Reads(modalities or ("text", "speech"))))


# -- what is refused, without a model --------------------------------------------------------------


def test_times_that_nothing_reads_are_refused_where_rows_share_audio(tmp_path, capsys):
    lines = ["long.wav,0,1000", "long.wav,1000,2000"]
    path = write(tmp_path / "t.csv", "audio,start_ms,end_ms", *lines)
    with raises("times-unread") as refusal:
        items_of(path)
    assert f"{path}: the columns start_ms and end_ms are not read, while 2 rows share" in str(
        refusal.value
    )
    assert "--column start=start_ms --column end=end_ms after converting" in str(refusal.value)
    whole = items_of(path, columns={"start": "", "end": ""})
    assert [item.audio for item in whole] == [tmp_path / "long.wav"] * 2
    path = write(tmp_path / "t.csv", "audio,StartTime", "a.wav,0", "b.wav,1")
    assert [item.audio for item in items_of(path)] == [tmp_path / "a.wav", tmp_path / "b.wav"]
    assert "the column StartTime is not read: each row is a whole file" in capsys.readouterr().err


def test_times_of_other_names_and_with_decimal_commas(tmp_path, capsys):
    path = write(tmp_path / "t.csv", "audio;StartTime;Ende", "long.wav;0;0,5", "long.wav;0,5;1")
    read = items_of(path)
    assert [(item.audio.start, item.audio.end) for item in read] == [(0, 0.5), (0.5, 1)]
    assert "columns start=StartTime, end=Ende" in capsys.readouterr().err


def test_times_of_texts_are_not_read(tmp_path):
    path = write(tmp_path / "t.csv", "text,audio,start,onset", "Hi,a.wav,x,1", "Ho,a.wav,y,2")
    assert [item.error for item in items_of(path, "text")] == [None, None]


def test_a_manifest_is_such_a_table(tmp_path):
    from data_prep.schema import write_manifest

    write_manifest(tmp_path / "test.tsv", three_tones.rows())
    items = items_of(tmp_path / "test.tsv")
    rows = read_manifest(tmp_path / "test.tsv")
    assert [(item.audio.start, item.audio.end) for item in items] == [
        (row.start or 0.0, row.end) for row in rows
    ]

"""Several predictions files in one table: means, pooled folds, and what has no mean."""

import sys
from pathlib import Path

import pytest
from report_cases import LABELS, Row, label_rows, number_rows, write_predictions
from sklearn.metrics import f1_score, precision_score, recall_score

from emo_fairseq.evaluation.statistics import metrics_and_baseline, read_predictions
from emo_fairseq.evaluation.tables import Table
from emo_fairseq.report import __main__ as command
from emo_fairseq.report import runs


def run_of(file: Path) -> runs.Run:
    ((split, predictions),) = read_predictions(file).items()
    return runs.Run(file.stem, split, predictions, metrics_and_baseline(predictions))


def cells(table: Table, metric: str) -> dict[str, str]:
    (row,) = (row for row in table.rows if row[0] == metric)
    return dict(zip(table.header, row, strict=True))


def write(folder: Path, **rows: list[Row]) -> list[Path]:
    return [write_predictions(folder / f"{name}.tsv", of_file) for name, of_file in rows.items()]


def table_of(*files: Path) -> Table:
    return runs.table([run_of(file) for file in files], ["macro_f1"])


@pytest.mark.filterwarnings("ignore:.*ill-defined")
def test_folds_are_pooled(tmp_path: Path) -> None:
    rows = label_rows(60)
    table = table_of(*write(tmp_path, one=rows[:20], two=rows[20:]))
    known = cells(table, "macro F1")
    truth, prediction = ([row[key] for row in rows] for key in ("truth", "prediction"))
    expected = f1_score(truth, prediction, average="macro", labels=LABELS)
    assert float(known["pooled"]) == pytest.approx(float(expected), abs=6e-4)
    assert [float(known[name]) for name in ("one", "two")] != [float(known["pooled"])] * 2
    assert table.title == "2 files: test, 60 utterances, each in one file; pooled: all together"


def test_seeds_have_a_mean_and_are_not_pooled(tmp_path: Path) -> None:
    files = write(tmp_path, a=label_rows(seed=1), b=label_rows(seed=2), c=label_rows(seed=3))
    table = table_of(*files)
    known = cells(table, "macro F1")
    values = [run_of(file).metrics["macro_f1"] for file in files]
    mean = sum(values) / 3
    spread = (sum((value - mean) ** 2 for value in values) / 2) ** 0.5
    assert known["mean ± std of 3"] == f"{mean:.3f} ± {spread:.3f}"
    assert "pooled" not in table.header
    assert table.title == "3 files: test, the same 60 utterances"


def test_utterances_in_some_of_the_files_are_not_pooled(tmp_path: Path) -> None:
    rows = label_rows(60)
    table = table_of(*write(tmp_path, one=rows[:40], two=rows[20:]))
    assert "60 utterances, some of them in several files; not pooled" in table.title


def test_other_truths_of_the_same_ids_are_stated(tmp_path: Path) -> None:
    rows = label_rows(6)
    others = [{**row, "truth": LABELS[3]} if n == 4 else row for n, row in enumerate(rows)]
    table = table_of(*write(tmp_path, one=rows, two=others))
    assert "of different data, as u004 has different truths" in table.title
    numbers = number_rows(["valence"], 6)  # the last truth is missing, in both files
    assert (
        "the same 6"
        in runs.table(
            [run_of(file) for file in write(tmp_path, x=numbers, y=numbers)], ["ccc"]
        ).title
    )


def printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: Path | str
) -> str:
    monkeypatch.setattr(sys, "argv", ["report", *map(str, words)])
    command.main()
    return capsys.readouterr().out


def test_files_of_other_targets_and_splits_are_stated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = label_rows(12)
    both = rows + [{**row, "split": "valid"} for row in rows]
    files = write(tmp_path, a=rows, b=both, vad=number_rows(["valence", "arousal"], 12))
    text = printed(monkeypatch, capsys, *files)
    labels = ", ".join(LABELS)
    assert (
        "No mean over all files, which differ in split or target: "
        f"test (labels {labels}): a, b; valid (labels {labels}): b; "
        "test (axes valence, arousal): vad\n"
    ) in text
    assert "2 files: test, the same 12 utterances" in text
    assert "b: valid, 12 utterances" in text
    assert "vad: test, 12 utterances" in text
    text = printed(monkeypatch, capsys, *files[:1], *write(tmp_path, c=rows), "--title", "mine")
    assert "mine: 2 files: test, the same 12 utterances" in text
    assert "No mean" not in text


@pytest.mark.parametrize("order", [1, -1])
def test_models_of_labels_votes_and_questions_have_no_mean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], order: int
) -> None:
    """Whose labels have the same names."""
    rows = label_rows(12)
    votes = [{**row, **{f"votes_{k}": float(k == row["truth"]) for k in LABELS}} for row in rows]
    questions = [{**row, **{f"probability_{k}": 0.5 for k in LABELS}} for row in rows]
    files = write(tmp_path, labels=rows, votes=votes, questions=questions)[::order]
    text = printed(monkeypatch, capsys, *files)
    of_each = {"labels": "labels", "votes for": "votes", "yes or no of": "questions"}
    names = ", ".join(LABELS)
    groups = [f"test ({kind} {names}): {name}" for kind, name in of_each.items()][::order]
    assert f"No mean over all files, which differ in split or target: {'; '.join(groups)}\n" in text
    assert "mean ±" not in text


def test_many_files_have_a_table_of_some_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = label_rows(40)
    folds = {f"fold{n}": rows[4 * n : 4 * n + 4] for n in range(10)}
    text = printed(monkeypatch, capsys, *write(tmp_path, **folds))
    assert text.count("mean ± std of 10") == 1
    assert all(text.count(f" {name} ") == 1 for name in folds)
    assert "…" not in text


@pytest.mark.filterwarnings("ignore:.*ill-defined")
def test_each_label_has_its_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = label_rows(60)
    text = printed(monkeypatch, capsys, *write(tmp_path, p=rows))
    truth, prediction = ([row[key] for row in rows] for key in ("truth", "prediction"))
    of_sad = [
        float(metric(truth, prediction, labels=["sad"], average=None)[0])
        for metric in (recall_score, precision_score, f1_score)
    ]
    (line,) = (line for line in text.splitlines() if "sad" in line)
    assert line.replace("│", " ").split() == ["sad", "20", *(f"{x:.4f}" for x in of_sad)]

"""fit, apply, gold and compare by their command line, against scikit-learn and by hand."""

import csv
import json
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
from codes import raises
from scipy import stats
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score, f1_score

from data_prep.manifest.provenance import (
    read_beside,
    seen_rows,
    write_beside,
)
from data_prep.schema import (
    AXES,
    read_corpus,
    read_manifest,
    scale_vad,
    unscale_vad,
    vad_scale,
    write_corpus,
    write_manifest,
)
from emo_fairseq import metrics
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation import predictions
from emo_fairseq.evaluation.bootstrap import Speakers, intervals
from emo_fairseq.experiments import collect
from emo_fairseq.report import __main__ as report
from emo_fairseq.vad_to_emotion.__main__ import main
from emo_fairseq.vad_to_emotion.forest import (
    read_forest,
    write_forest,
)
from emo_fairseq.vad_to_emotion.rows import read_vad
from emo_fairseq.vad_to_emotion.table import vad_estimates

BOUND = "upper bound (gold VAD) → forest"
PREDICTED = "VAD predicted by the trained regressor → forest"


pytestmark = pytest.mark.usefixtures("few_resamples")


@pytest.fixture
def forest(place, capsys):
    file = place.data.parent / "forest.skops"
    words = [
        "fit",
        "--data",
        str(place.data),
        "--output",
        str(file),
        "--trees",
        "25",
        "--seed",
        "3",
    ]
    assert main([*words, "--predictions", *map(str, place.folds)]) == 0
    printed = capsys.readouterr().out
    assert "25 trees, 59 rows (sad 14, neutral 15, happy 15, angry 15)" in printed
    assert "1 rows of train have no emotion, and are left out: train_0" in printed
    return file


def run(command, place, *words):
    return main([command, "--data", str(place.data), *map(str, words)])


def by_hand(place, train_vad):
    """(N, K) of scikit-learn's forest, truth and gold VAD, for test rows with an emotion."""
    labels = list(read_corpus(place.data).labels["emotion"])
    train = [row for row in read_manifest(place.data / "train.tsv") if row.emotion]
    test = [row for row in read_manifest(place.data / "test.tsv") if row.emotion]
    model = RandomForestClassifier(25, random_state=3)
    model.fit([train_vad[row.id] for row in train], [labels.index(row.emotion) for row in train])
    return model, labels, test


def of_files(files, kind="prediction"):
    return {
        row["id"]: [float(row[f"{kind}_{axis}"]) for axis in AXES]
        for file in files
        for row in predictions.read(file)
    }


def gold_of(rows):
    return {row.id: [getattr(row, axis) for axis in AXES] for row in rows}


def test_apply_writes_what_the_house_reads(place, forest, capsys, monkeypatch):
    out = place.data.parent / "collected" / "forest" / "predictions.tsv"
    words = ["--forest", forest, "--predictions", place.test, "--output", out]
    assert run("apply", place, *words) == 0
    printed = capsys.readouterr().out
    model, labels, test = by_hand(place, of_files(place.folds))
    given = of_files([place.test])
    expected = model.predict_proba([given[row.id] for row in test])
    found = {row["id"]: row for row in predictions.read(out)}
    assert len(found) == 29
    for row, chances in zip(test, expected, strict=True):
        said = [float(found[row.id][f"probability_{label}"]) for label in labels]
        assert said == pytest.approx(chances)
        assert found[row.id]["truth"] == row.emotion
        assert found[row.id]["prediction"] == labels[int(chances.argmax())]
    accuracy = accuracy_score([r.emotion for r in test], [found[r.id]["prediction"] for r in test])
    assert re.search(rf"│ accuracy +│ +{accuracy:.3f} \(", printed)

    monkeypatch.setattr(sys, "argv", ["report", str(out)])
    report.main()
    figures = json.loads(out.with_name("metrics.json").read_text())
    assert figures["test"]["wa"] == pytest.approx(accuracy)
    check_collect(place, forest, out, accuracy)


def check_collect(place, forest, out, accuracy):
    """The forest beside its upper bound, each called by what it read."""
    bound = out.parents[1] / "bound" / "predictions.upper_bound.tsv"
    assert run("gold", place, "--forest", forest, "--output", bound) == 0
    table = place.data.parent / "table.csv"
    words = [str(out.parents[1]), "--metric", "wa", "--resamples", "20", "--csv", str(table)]
    assert collect.main(words) == 0
    rows = {row["system"]: row for row in csv.DictReader(table.open())}
    assert len(rows) == 2
    (name,) = [name for name in rows if "upper bound (gold VAD)" in name]
    (own,) = [name for name in rows if "VAD predicted by the trained regressor" in name]
    assert float(rows[own]["mean"]) == pytest.approx(accuracy)
    assert float(rows[name]["mean"]) > accuracy


def test_gold_is_the_same_design_and_called_what_it_is(place, forest, capsys):
    with raises("upper-bound-unnamed"):
        run("gold", place, "--forest", forest, "--output", place.data / "best.tsv")
    out = place.data.parent / "upper_bound.tsv"
    assert run("gold", place, "--forest", forest, "--output", out) == 0
    assert BOUND in capsys.readouterr().out
    model, labels, test = by_hand(place, gold_of(read_manifest(place.data / "train.tsv")))
    answers = model.predict_proba([gold_of(test)[row.id] for row in test]).argmax(axis=1)
    found = {row["id"]: row["prediction"] for row in predictions.read(out)}
    assert found == {row.id: labels[k] for row, k in zip(test, answers, strict=True)}


def test_gold_is_no_bound_on_the_rows_that_it_was_fitted_on(place, forest):
    out = place.data.parent / "upper_bound.tsv"
    with raises("predictions-of-train"):
        run("gold", place, "--forest", forest, "--split", "train", "--output", out)
    assert not out.exists()


def outputs_that_are_refused(place, forest):
    """Command, what it writes, its other words, and the code; None of a file not writable."""
    folder, test = place.data.parent, place.test
    model, given = ["--model", f"hf:{folder / 'nowhere'}"], ["--forest", forest]
    apply, compare = [*given, "--predictions", test], [*given, "--regressor", test]
    fit = ["--predictions", *place.folds]
    return [
        ("apply", ["--output", test], apply, "output-is-input"),
        ("apply", ["--output", test.with_suffix(".txt")], apply, "output-is-input"),  # its facts
        ("apply", ["--output", forest], apply, "output-is-input"),
        ("apply", ["--output", place.data / "test.tsv"], apply, "output-is-input"),
        ("apply", ["--output", folder / "e.json"], apply, "output-is-facts"),
        ("gold", ["--output", folder / "upper_bound.json"], given, "output-is-facts"),
        ("zero-shot", ["--output", place.data / "corpus.yaml"], model, "output-is-input"),
        ("zero-shot", ["--output", folder], model, None),
        ("fit", ["--output", place.folds[1]], fit, "output-is-input"),
        ("fit", ["--output", folder], fit, None),
        ("compare", ["--markdown", test], compare, "output-is-input"),
        ("compare", ["--csv", folder], compare, None),
        ("compare", ["--csv", folder / "x", "--json", folder / "x"], compare, "output-twice"),
    ]


def files_below(folder):
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_outputs_are_checked_before_the_work(place, forest):
    before = files_below(place.data.parent)
    for command, output, words, code in outputs_that_are_refused(place, forest):
        with pytest.raises(UsageError) as error:
            run(command, place, *words, *output)
        assert code in (None, error.value.code), (command, output)
    assert files_below(place.data.parent) == before


def test_a_part_of_a_split_is_said(place, forest, write_predictions, fold_facts, capsys):
    rows = read_manifest(place.data / "test.tsv")
    write_predictions(place.test, rows[:7], fold_facts(None))
    out = place.data.parent / "emotions.tsv"
    words = ["--forest", forest, "--predictions", place.test, "--output", out]
    assert run("apply", place, *words) == 0
    printed = " ".join(capsys.readouterr().out.split())
    left = "23 of 30 rows of test have no prediction, and are not measured: test_7, test_8"
    assert left in printed
    assert "VAD is measured on 7 rows, emotions on 6" in printed
    assert run("compare", place, "--forest", forest, "--regressor", place.test) == 0
    assert left in " ".join(capsys.readouterr().out.split())


def test_compare_says_whose_the_forest_and_the_model_are(place, forest, capsys):
    card = place.data / "corpus.yaml"
    card.write_text(card.read_text().replace("quadrants", "other"))
    words = ["--forest", forest, "--regressor", place.test]
    assert run("compare", place, *words) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "the forest was fitted on quadrants, these rows are of other" in printed
    assert "the model of VAD was trained on quadrants, these rows are of other" in printed
    place.test.with_suffix(".json").unlink()
    with raises("facts-missing"):
        run("compare", place, *words)


def figures_of(file):
    content = json.loads(file.read_text())
    return {
        system["system"]: {(f["figure"], f["axis"]): f for f in system["figures"]}
        for system in content["systems"]
    }


@pytest.mark.parametrize("own_scale", [False, True])
def test_compare(place, forest, capsys, own_scale, write_predictions, fold_facts):
    zero = place.data.parent / "zero.tsv"
    facts = {**fold_facts(None), "zero_shot": {"model": "hf:x"}, "options": {}}
    rows = read_manifest(place.data / "test.tsv")
    write_predictions(zero, rows[5:], facts, seed=20)
    files = {form: place.data.parent / f"table.{form}" for form in ("markdown", "csv", "json")}
    words = [word for form, file in files.items() for word in (f"--{form}", file)]
    words += ["--own-scale"] if own_scale else []
    given = ["--forest", forest, "--regressor", place.test, "--zero-shot", zero]
    assert run("compare", place, *given, *words) == 0
    printed = capsys.readouterr().out
    assert "5 rows are not in all files, and are left out" in printed
    found = figures_of(files["json"])
    assert list(found) == [PREDICTED, "zero-shot NLI → forest", BOUND]
    assert set(found[BOUND]) == {(name, "") for name in ("accuracy", "macro_f1", "weighted_f1")}
    for one in (one for system in found.values() for one in system.values()):
        assert one["low"] <= one["value"] <= one["high"]
    check_figures(place, found[PREDICTED], 4.0 if own_scale else 1.0)
    assert f"on the scale {'1 to 5' if own_scale else '0 to 1'}" in printed
    lines = files["markdown"].read_text().splitlines()
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines[4:7]] == list(found)
    assert lines[2].startswith("| system | MSE V | MSE A | MSE D | RMSE V")
    assert len(list(csv.DictReader(files["csv"].open()))) == 18 + 18 + 3


def check_figures(place, found, width):
    """Against scipy and scikit-learn, on the rows that all have."""
    model, labels, test = by_hand(place, of_files(place.folds))
    test = [row for row in test if int(row.id.partition("_")[2]) >= 5]
    said, truth = of_files([place.test]), gold_of(test)
    x, y = (np.array([values[row.id] for row in test]) for values in (truth, said))
    for column, axis in enumerate(AXES):
        error = (x - y)[:, column] * width
        assert found["mse", axis]["value"] == pytest.approx((error**2).mean(), rel=1e-6)
        assert found["rmse", axis]["value"] == pytest.approx((error**2).mean() ** 0.5, rel=1e-6)
        assert found["mae", axis]["value"] == pytest.approx(abs(error).mean(), rel=1e-6)
        pearson = stats.pearsonr(x[:, column], y[:, column]).statistic
        assert found["pearson", axis]["value"] == pytest.approx(pearson, rel=1e-6)
    answers = [labels[k] for k in model.predict_proba(y).argmax(axis=1)]
    emotions = [row.emotion for row in test]
    for name, average in (("macro_f1", "macro"), ("weighted_f1", "weighted")):
        expected = f1_score(emotions, answers, average=average)
        assert found[name, ""]["value"] == pytest.approx(expected)


def test_compare_without_emotions_is_of_vad_alone(place, forest, capsys):
    """As on EmoBank."""
    corpus = read_corpus(place.data)
    splits = {
        split: [replace(r, emotion=None) for r in read_manifest(place.data / f"{split}.tsv")]
        for split in corpus.splits
    }
    write_corpus(place.data, replace(corpus, labels={}), splits)
    assert run("compare", place, "--regressor", place.test) == 0
    assert "CCC D" in (printed := capsys.readouterr().out)
    assert "accuracy" not in printed
    with raises("emotions-missing"):
        run("compare", place, "--regressor", place.test, "--forest", forest)


@pytest.mark.parametrize(
    ("name", "code"), [("fold", "predictions-of-fold"), ("train", "predictions-of-train")]
)
def test_rows_that_the_forest_was_fitted_on_are_not_scored(
    place, forest, write_predictions, fold_facts, name, code
):
    file = place.folds[0]
    if name == "train":
        rows = read_manifest(place.data / "train.tsv")
        write_predictions(file, rows, fold_facts(None), split="train")
    words = ["--forest", forest, "--predictions", file, "--output", place.data / "x.tsv"]
    with raises(code):
        run("apply", place, *words)


@pytest.mark.parametrize("leaky", ["--predictions", "--forest"])
def test_what_has_seen_the_scored_rows_is_refused_or_noted(place, forest, leaky, capsys):
    """The model behind the predictions was trained on a row; or the forest was fitted on one."""
    rows = read_manifest(place.data / "test.tsv")
    if leaky == "--predictions":
        write_beside(place.test, seen_rows(rows[3:5], "quadrants", "train"))
    else:
        held = read_forest(forest)
        held.about["provenance"] = seen_rows(rows[3:5], "quadrants", "train").to_state()
        write_forest(held, forest)
    output = place.data.parent / "emotions.tsv"
    words = ["--forest", forest, "--predictions", place.test, "--output", output]
    said = rf"{leaky} .*was trained on 2 of the {len(rows)} rows of test.*test_3, test_4"
    with pytest.raises(UsageError, match=said):
        run("apply", place, *words)
    assert not output.exists()
    with pytest.raises(UsageError, match="was trained on 2 of the"):
        run("compare", place, "--regressor", place.test, "--forest", forest)
    assert run("apply", place, *words, "--allow-leak") == 0
    assert "leak allowed: " in (printed := capsys.readouterr().out)
    assert "test_3, test_4" in printed
    (allowed,) = read_beside(output).allowed
    assert "was trained on 2 of the" in allowed


def test_speakers_as_units_and_another_regressor(place, forest, capsys):
    beside = place.test.with_suffix(".json")
    facts = json.loads(beside.read_text())
    facts["options"]["model.dropout"] = 0.4
    beside.write_text(json.dumps(facts))
    files = {by: place.data.parent / f"{by}.json" for by in ("utterance", "speaker")}
    for by, file in files.items():
        words = ["--regressor", place.test, "--forest", forest, "--json", file, "--units", by]
        assert run("compare", place, *words) == 0
    assert "another regressor, which differs in 1 options: model.dropout" in capsys.readouterr().out
    one, two = (figures_of(file)[PREDICTED]["mse", "valence"] for file in files.values())
    assert one["value"] == two["value"]
    assert one["low"] != two["low"]


def test_too_few_speakers_are_refused(place):
    rows = [
        replace(r, speaker="ab"[n % 2])
        for n, r in enumerate(read_manifest(place.data / "test.tsv"))
    ]
    write_manifest(place.data / "test.tsv", rows)
    with raises("speakers-too-few"):
        run("compare", place, "--regressor", place.test, "--units", "speaker")


def test_every_rendering_states_what_intervals_do_not_contain(place, capsys):
    files = {form: place.data.parent / f"table.{form}" for form in ("markdown", "csv", "json")}
    words = [word for form, file in files.items() for word in (f"--{form}", file)]
    assert run("compare", place, "--regressor", place.test, *words) == 0
    for text in (capsys.readouterr().out, *(file.read_text() for file in files.values())):
        assert "do not contain the variance over seeds" in text


def test_intervals_are_those_of_the_metrics(place):
    """As in :mod:`emo_fairseq.evaluation.bootstrap`, over rows and over speakers."""
    rows = read_vad(place.test)
    speaker = {row.id: row.speaker for row in read_manifest(place.data / "test.tsv")}
    statistics = metrics.moment_rows(rows.truth[:, 1], rows.prediction[:, 1])
    for speakers in (None, Speakers.from_names([speaker[name] for name in rows.ids])):
        estimate = vad_estimates(rows, speakers)["ccc", "arousal"]
        expected = intervals(
            [statistics], lambda sums: {"ccc": metrics.concordance_cc(sums)}, speakers
        )
        assert estimate[1:] == pytest.approx(tuple(expected["ccc"]), rel=1e-9)


def test_own_scale_and_back(place):
    """The inverse of what data_prep did to the corpus's own ratings."""
    corpus = read_corpus(place.data)
    assert vad_scale(corpus) == (1.0, 5.0)
    rows = read_vad(place.test)
    own = rows.on_scale(*vad_scale(corpus))
    assert own.truth == pytest.approx(1 + 4 * rows.truth)
    back = [[scale_vad(x, 1, 5) for x in values] for values in own.truth]
    assert np.array(back) == pytest.approx(rows.truth, abs=1e-12)
    assert own.prediction[0, 0] == unscale_vad(rows.prediction[0, 0], 1, 5)
    parts = {"a": {"source_scale": [1, 5]}, "b": {"source_scale": [1, 7]}}
    joined = replace(corpus, vad={"scale": [0.0, 1.0], "sources": parts})
    with pytest.raises(ValueError, match="joins VAD of several scales"):
        vad_scale(joined)
    assert vad_scale(replace(corpus, vad={"sources": {"a": parts["a"]}})) == (1.0, 5.0)
    with pytest.raises(ValueError, match="records no scale of VAD"):
        vad_scale(replace(corpus, vad=None))


def test_zero_shot_predictions_of_train_need_no_folds(place, write_predictions, fold_facts):
    rows = read_manifest(place.data / "train.tsv")
    facts = {**fold_facts(None), "zero_shot": {"model": "hf:x"}, "options": {}}
    file = write_predictions(place.data.parent / "zero.tsv", rows, facts, split="train")
    out = place.data.parent / "zero.skops"
    assert run("fit", place, "--predictions", file, "--output", out, "--trees", 5) == 0
    file = write_predictions(file, rows[7:], facts, split="train")
    with raises("rows-missing"):
        run("fit", place, "--predictions", file, "--output", out, "--trees", 5)

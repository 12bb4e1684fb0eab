"""``emotion-recognize evaluate A B DATA``: models side by side, and their ensemble."""

import argparse
import json
import shutil

import numpy as np
import pytest
from extended import all_but

from data_prep.manifest.provenance import provenance_path, read_beside, seen_rows, write_beside
from data_prep.schema import Utterance, read_manifest
from emo_fairseq.cli.__main__ import main
from emo_fairseq.cli.evaluate import command as evaluate
from emo_fairseq.cli.evaluate import several_models
from emo_fairseq.cli.evaluate.model_comparison import Pair
from emo_fairseq.evaluation.ensembles import Stacking
from emo_fairseq.evaluation.statistics import NumberPredictions, read_predictions
from emo_fairseq.export.ensemble import write_ensemble_folder
from emo_fairseq.inference.ensemble import Combination
from emo_fairseq.inference.predictor import load_predictor

TEXT, SPEECH = "--modality text", "--modality speech"


@pytest.fixture(scope="module")
def models(trained_models):
    return [trained_models.checkpoint(TEXT), trained_models.checkpoint(SPEECH)]


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Keep the files of fairseq-validate, which runs once for each model and split."""
    score, folder, kept = evaluate._score, tmp_path_factory.mktemp("scored"), {}

    def score_once(options, temporary, model, split, predictions):
        if (model, split) not in kept:
            kept[model, split] = folder / f"{len(kept)}.tsv"
            assert score(options, temporary, model, split, kept[model, split]) == 0
        for path in (lambda file: file, provenance_path):
            shutil.copy(path(kept[model, split]), path(predictions))
        return 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "_score", score_once)
        yield kept


def test_an_ensemble_of_two_modalities_beside_its_members(
    models, scored, toy_corpus, command, started, tmp_path
):
    saved = tmp_path / "ensemble.tsv"
    words = [*models, toy_corpus, "--cpu", "--combine", "mean", "--save-predictions", saved]
    out = command("evaluate", *words)
    head, columns, *lines = out.splitlines()
    assert head.startswith("test, 12 utterances")
    assert columns.split()[-2:] == ["mean", "majority"]
    assert any(line.startswith("mean - ") for line in lines)
    assert lines[-1] == f"predictions: {saved}"
    combined = read_predictions(saved)["test"]
    members = [read_predictions(scored[model, "test"])["test"] for model in models]
    average = (members[0].probability + members[1].probability) / 2
    assert abs(combined.probability - average).max() < 1e-6
    record = read_beside(saved)
    assert record is not None
    assert {part.split for part in record.seen} >= {"train"}


def test_stacking_records_the_rows_that_it_was_fitted_on(
    models, scored, toy_corpus, command, started, tmp_path
):
    saved = tmp_path / "stacked.tsv"
    words = [*models, toy_corpus, "--cpu", "--combine", "stack", "--save-predictions", saved]
    record = json.loads(command("evaluate", *words, "--json"))
    assert [*record["models"]][-1] == "stack"
    assert record["difference"]["metrics"]["uar"].keys() == {"value", "low", "high", "p"}
    assert record["difference"]["rows_left_out"] == 0
    assert scored.keys() >= {(model, "valid") for model in models}
    seen = read_beside(saved)
    assert ("valid", "trained") in {(part.split, part.use) for part in seen.seen}


@pytest.fixture(scope="module")
def stacking():
    """Of two models of four labels."""
    weight = np.random.default_rng(1).normal(size=(4, 8))
    return Stacking(weight, np.array([0.0, 0.5, -np.inf, 0.1]), True)


@pytest.mark.parametrize("name", all_but({"stack"}, ["mean", "stack"]))
def test_the_folder_of_an_ensemble_is_scored_as_it_predicts(
    name, stacking, trained_models, toy_corpus, command, started, tmp_path, caplog
):
    both = [trained_models.folder(TEXT), trained_models.folder(SPEECH)]
    labels = ["sad", "angry", "neutral", "happy"]  # in another order than the corpus's
    combination = Combination(name, stacking if name == "stack" else None)
    folder = write_ensemble_folder(both, combination, tmp_path / "both", labels=labels)
    saved = tmp_path / "saved.tsv"
    out = command("evaluate", folder, toy_corpus, "--cpu", "--save-predictions", saved)
    assert out.splitlines()[1].split()[-2:] == [name, "majority"]
    assert ("rows that its stacking was fitted on" in caplog.text) == (name == "stack")
    scored = read_predictions(saved)["test"]
    rows = {row.id: row for row in read_manifest(toy_corpus / "test.tsv")}
    predictor = load_predictor(folder, "cpu")
    found = predictor.predict(
        [toy_corpus / str(rows[id_].audio) for id_ in scored.ids],
        [rows[id_].text for id_ in scored.ids],
    )
    expected = [[one.probabilities[label] for label in scored.names] for one in found]
    assert scored.probability == pytest.approx(np.array(expected), abs=2e-6)
    unknown = {"mean": (), "stack": ("the stacking of both",)}
    assert read_beside(saved).unknown == unknown[name]


def test_models_are_compared_without_an_ensemble(models, scored, toy_corpus, command, started):
    _, columns, *lines = command("evaluate", *models, toy_corpus, "--cpu").splitlines()
    first, second, majority = columns.split()
    assert majority == "majority"
    (heading,) = (number for number, line in enumerate(lines) if " - " in line)
    assert lines[heading].startswith(f"{second} - {first}; paired, on the same 12 utterances; ")
    record = json.loads(command("evaluate", *models, toy_corpus, "--cpu", "--json"))
    (difference,) = record["differences"]
    assert difference["of"] == [second, first]
    of_both = [record["models"][name]["metrics"]["uar"]["value"] for name in (second, first)]
    uar = difference["metrics"]["uar"]
    assert uar["value"] == pytest.approx(of_both[0] - of_both[1])
    assert uar["low"] <= uar["value"] <= uar["high"]
    assert f"UAR          {uar['value']:+.3f} (" in lines[heading + 1]
    assert "p " in lines[heading + 1]


@pytest.mark.parametrize("recorded", [{"old", "new"}, {"new"}, set()])
def test_members_without_a_record_are_named_in_that_of_the_ensemble(recorded, tmp_path):
    """Else it would pass for one of all rows that the ensemble has seen."""
    files = {name: tmp_path / f"{name}.tsv" for name in ("old", "new")}
    for name, file in files.items():
        file.write_text(name)
        if name in recorded:
            write_beside(file, seen_rows([Utterance(f"row of {name}")], "small", "train"))
    one = np.zeros((1, 1))
    of = NumberPredictions(("u1",), ("valence",), one, one)
    options = argparse.Namespace(save_predictions=tmp_path / "both.tsv", split="test")
    several_models._save(options, Pair("mean", of, "new", of, 0), files, "test", [])
    record = read_beside(options.save_predictions)
    if not recorded:
        assert record is None
        return
    assert record.unknown == tuple(
        f"the model {name}" for name in ("old",) if not recorded & {name}
    )
    rows = [Utterance(f"row of {name}") for name in files]
    assert record.overlap(rows, "small") == [f"row of {x}" for x in files if x in recorded]


@pytest.mark.parametrize("order", [("flat", "good"), ("good", "flat")])
def test_the_best_member_is_none_whose_metric_is_undefined(order):
    """Such as the CCC of a constant prediction."""
    truth = np.linspace(0.0, 1.0, 5)[:, None]
    predicted = {"flat": np.full_like(truth, 0.5), "good": truth**2}
    ids = tuple(f"u{number}" for number in range(5))
    members = {name: NumberPredictions(ids, ("valence",), truth, predicted[name]) for name in order}
    assert several_models._combine(members, "mean").other == "good"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["{a}", "{data}", "--combine", "mean"], "combine-one-model"),
        (["{a}", "{b}", "{data}", "--fit-split", "train"], "option-idle"),
        (["{a}", "{b}", "{data}", "--combine", "stack", "--split", "valid"], "stack-on-scored"),
        (["{a}", "{b}", "{data}", "--save-predictions", "x.tsv"], "option-incomplete"),
        (["{a}", "{b}", "{data}", "--", "--save-embeddings", "x.npz"], "options-conflict"),
        (["{a}", "{b}", "{data}", "--split", "valid,test"], "options-conflict"),
        (["{a}", "{b}", "{data}", "--", "--valid-subset", "valid"], "options-conflict"),
        (["{a}", "{a}", "{data}", "--combine", "vote"], "combine-model-twice"),
        (["{ensemble}", "{data}", "--combine", "vote"], "options-conflict"),
    ],
)
def test_refusals(models, toy_corpus, words, code, capsys, tmp_path):
    (tmp_path / "ensemble.json").touch()
    by_name = {"a": models[0], "b": models[1], "data": toy_corpus, "ensemble": tmp_path}
    assert main(["evaluate", *(word.format(**by_name) for word in words)]) in (1, 2)
    assert f"[{code}]" in capsys.readouterr().err

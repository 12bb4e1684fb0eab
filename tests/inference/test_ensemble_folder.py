"""An ensemble in one folder predicts the combination of what its members predict."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from codes import raises
from dialogue_models import BOTH_SIDES, CAUSAL

from data_prep.manifest.provenance import provenance_path
from data_prep.schema import SAMPLE_RATE, read_manifest
from emo_fairseq.cli.__main__ import main
from emo_fairseq.evaluation import predictions
from emo_fairseq.evaluation.ensembles import Stacking
from emo_fairseq.export.ensemble import fit_stacking, write_ensemble_folder
from emo_fairseq.inference.ensemble import Combination
from emo_fairseq.inference.ensemble_folder import write_ensemble
from emo_fairseq.inference.live import LiveConversation
from emo_fairseq.inference.occlusion import explain
from emo_fairseq.inference.predictor import EmotionPredictor, load_predictor

TEXTS = ["so happy", "no it is terrible", "oh", "a fine day"]
SPEAKERS = ["A", "B", "A", "A"]


@pytest.fixture(scope="module")
def members(trained_models) -> list[Path]:
    """A model of texts, and one of texts and speech, both of dialogues."""
    return [trained_models.folder(CAUSAL), trained_models.folder(BOTH_SIDES)]


@pytest.fixture(scope="module")
def predictors(members) -> list[EmotionPredictor]:
    return [load_predictor(member, "cpu") for member in members]


@pytest.fixture(scope="module")
def folder(members, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("ensembles") / "mean"
    return write_ensemble_folder(members, Combination("mean"), out)


@pytest.fixture
def own_folder(folder, tmp_path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "own"))


def sounds() -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [0.1 * rng.standard_normal(4000 + 400 * n).astype(np.float32) for n in range(4)]


def scores(predictions) -> np.ndarray:
    return np.array([[x.probabilities[k] for k in sorted(x.probabilities)] for x in predictions])


def test_the_mean_of_dialogues(folder, predictors):
    predictor = load_predictor(folder, "cpu")
    assert predictor.modalities == ("text", "speech")
    given = {"text": TEXTS, "speaker": SPEAKERS, "dialogue": "d"}
    audio = {"audio": sounds(), "sample_rate": SAMPLE_RATE}
    found = predictor.predict(**given, **audio, batch_size=2)
    each = [predictors[0].predict(**given), predictors[1].predict(**given, **audio)]
    expected = np.mean([scores(each[0]), scores(each[1])], axis=0)
    assert scores(found) == pytest.approx(expected, abs=1e-6)
    for prediction, first, second in zip(found, *each, strict=True):
        best = max(prediction.probabilities, key=lambda name: prediction.probabilities[name])
        assert prediction.label == best
        joined = np.concatenate([first.embedding, second.embedding])
        assert prediction.embedding == pytest.approx(joined, abs=1e-5)
        assert (prediction.warnings, prediction.modalities) == ((), ("text", "speech"))
        assert prediction.seconds == second.seconds
    live = [LiveConversation(x) for x in (predictor, *predictors)]
    for text, speaker in zip(TEXTS, SPEAKERS, strict=True):
        whole, *parts = (x.add_turn(text=text, speaker=speaker) for x in live)
        mean = np.mean([scores([part]) for part in parts], axis=0)
        assert scores([whole]) == pytest.approx(mean, abs=1e-6)
        assert "the turns after each one" in " ".join(whole.warnings)
    explanation = explain(predictor, text="so happy now")
    assert [word for word, _ in explanation.words] == ["so", "happy", "now"]


def test_a_member_that_reads_nothing_of_an_item_has_no_part(folder, predictors):
    audio = {"audio": sounds(), "sample_rate": SAMPLE_RATE, "dialogue": "d"}
    found = load_predictor(folder, "cpu").predict(**audio)
    assert scores(found) == pytest.approx(scores(predictors[1].predict(**audio)), abs=1e-6)
    for prediction in found:
        assert any("of the ensemble reads nothing of the item" in x for x in prediction.warnings)


def test_votes_and_stackings(members, predictors, own_folder, tmp_path):
    voting = load_predictor(write_ensemble_folder(members, Combination("vote"), tmp_path / "v"))
    given = {"text": TEXTS, "dialogue": "d"}
    labels = [[x.label for x in one.predict(**given)] for one in predictors]
    for prediction, *votes in zip(voting.predict(**given), *labels, strict=True):
        assert prediction.label in votes
    names = json.loads((own_folder / "ensemble.json").read_text())["members"]
    n_labels = len(voting.labels)
    # The second member alone, its labels in another order, and one label never.
    order = sorted(voting.labels, reverse=True)
    weight = np.concatenate([np.zeros((n_labels, n_labels)), np.eye(n_labels)], axis=1)
    bias = np.zeros(n_labels)
    bias[0] = -np.inf
    stacking = Combination("stack", Stacking(weight, bias, has_labels=True))
    write_ensemble(own_folder, list(names), stacking, order)
    stacked = load_predictor(own_folder, "cpu")
    for prediction, second in zip(
        stacked.predict(**given), predictors[1].predict(**given), strict=True
    ):
        rest = {name: second.probabilities[name] for name in order[1:]}
        expected = {name: x / sum(rest.values()) for name, x in rest.items()} | {order[0]: 0.0}
        assert prediction.probabilities == pytest.approx(expected, abs=1e-5)
    with raises("ensemble-input-missing"):
        stacked.predict(sounds()[0], sample_rate=SAMPLE_RATE)
    write_ensemble(own_folder, list(names), stacking, order[:-1])
    with raises("combine-targets-differ"):
        load_predictor(own_folder, "cpu")


def _other_member(folder: Path) -> None:
    first, second = sorted((folder / "members").iterdir())
    shutil.rmtree(first)
    shutil.copytree(second, first)


def _edit(name: str, value: object) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        file = folder / "ensemble.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {name: value}))

    return edit


DAMAGES = {
    "a member of another": (_other_member, "file-changed"),
    "another combination": (_edit("combine", "vote"), "file-changed"),
    "another format": (_edit("format", 2), "format-unknown"),
    "no combination": (_edit("combine", "sum"), None),
    "a path": (_edit("members", {"../x": "", "y": ""}), None),
    "one member": (_edit("members", {"x": ""}), None),
}


@pytest.mark.parametrize(("damage", "code"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_ensemble_is_refused(damage, code, own_folder):
    damage(own_folder)
    with pytest.raises(ValueError, match="own") as error:
        load_predictor(own_folder, "cpu")
    assert code is None or error.value.code == code


def test_export_and_predict(members, trained_models, tmp_path, capsys, predictors):
    out = tmp_path / "both"
    words = [trained_models.checkpoint(CAUSAL), members[1], "--combine", "mean", "--output", out]
    assert main(["export", *map(str, words)]) == 0
    assert "an ensemble of 2 models" in capsys.readouterr().out
    assert "by `mean` of their outputs" in (out / "README.md").read_text()
    assert main(["predict", str(out), "--text", "so happy", "--format", "jsonl"]) == 0
    row = json.loads(capsys.readouterr().out)
    expected = np.mean([scores([x.predict(text="so happy")]) for x in predictors], axis=0)
    found = [row["probabilities"][name] for name in sorted(row["probabilities"])]
    assert found == pytest.approx(expected[0].tolist(), abs=1e-6)
    assert main(["export", *map(str, words)]) == 0  # in its place
    others = trained_models.folder("--modality text --auxiliary-targets vad,sentiment")
    for given, code in (
        ([members[0], "--combine", "mean", "--output", out], "combine-one-model"),
        ([*members, "--output", out], "combine-one-model"),
        ([*members, "--combine", "mean", "--balanced", "--output", out], "option-idle"),
        ([*members, "--combine", "mean", "--onnx", "--output", out], "option-idle"),
        ([*members, "--combine", "mean", "--output", f"{out}/"], "option-incomplete"),
        ([*members, "--combine", "mean", "--output", others], "folder-not-empty"),
    ):
        capsys.readouterr()
        assert main(["export", *map(str, given)]) > 0
        assert f"[{code}]" in capsys.readouterr().err


def test_a_stacking_is_fitted_on_predictions(members, trained_models, tmp_path, capsys):
    out, files = tmp_path / "stacked", []
    for number, options in enumerate((CAUSAL, BOTH_SIDES)):
        rows = trained_models.validated(trained_models.checkpoint(options))
        files.append(tmp_path / f"{number}.tsv")
        predictions.write(files[-1], [row | {"split": "valid"} for row in rows])
    words = [*members, "--combine", "stack", "--balanced"]
    words += ["--data", trained_models.data, "--output", out]
    assert main(["export", *map(str, words)]) > 0
    assert "2 models and 0 files of --predictions" in capsys.readouterr().err
    assert main(["export", *map(str, [*words, "--predictions", *files])]) == 0
    assert main(["predict", str(out), "--text", "so happy", "--format", "jsonl"]) == 0
    row = json.loads(capsys.readouterr().out.splitlines()[-1])
    speakers = {x.id: x.speaker for x in read_manifest(trained_models.data / "test.tsv")}
    combination, names = fit_stacking(files, {"valid": speakers}.__getitem__, balanced=True)
    alone = [load_predictor(member, "cpu").predict(text="so happy") for member in members]
    given = [[[one.probabilities[name] for name in names]] for one in alone]
    expected = combination.how(np.array(given))[0].tolist()
    assert row["probabilities"] == pytest.approx(dict(zip(names, expected, strict=True)), abs=1e-5)
    predictions.write(files[0], [row | {"split": "train"} for row in predictions.read(files[0])])
    assert main(["export", *map(str, [*words, "--predictions", *files])]) > 0
    assert "[stack-split]" in capsys.readouterr().err


def test_predictions_of_another_model_than_that_in_their_place_are_refused(
    members, trained_models, tmp_path, capsys, caplog
):
    checkpoints = [trained_models.checkpoint(options) for options in (CAUSAL, BOTH_SIDES)]
    files = [tmp_path / f"{number}.tsv" for number in range(2)]
    for checkpoint, file in zip(checkpoints, files, strict=True):
        trained_models.validated(checkpoint, file=file)
    words = ["--combine", "stack", "--output", tmp_path / "stacked", "--predictions"]

    def export(models: list[Path], given: list[Path]) -> str:
        code = main(["export", *map(str, [*models, *words, *given])])
        error = capsys.readouterr().err
        assert (code == 0) is (error == "")
        return error

    for models in (members, checkpoints):
        error = export(models, files[::-1])
        assert f"{files[1]}: holds predictions of {models[1]}, in the place of" in error
        assert "[predictions-other-model]" in error
    assert not (tmp_path / "stacked").exists()
    assert export([members[0], checkpoints[1]], files) == ""
    caplog.clear()
    provenance_path(files[0]).unlink()
    assert export(members, files) == ""
    assert f"{files[0]}: has no record of the model" in caplog.text
    assert str(files[1]) not in caplog.text


def test_models_of_two_targets_are_no_ensemble(members, trained_models, tmp_path):
    other = trained_models.folder("--modality speech --speech-input log_mel --target vad")
    with raises("combine-targets-differ"):
        write_ensemble_folder([members[0], other], Combination("mean"), tmp_path / "e")
    assert not (tmp_path / "e").exists()

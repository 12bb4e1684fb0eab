"""Predictions from a model folder where torch, fairseq and their company are not installed.

An import of these fails in the interpreter of the tests. `make test-light` names that of an
environment which has only what `pip install emo_fairseq[predict]` brings.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from data_prep.schema import read_manifest
from emo_fairseq.export.onnx import export_onnx
from emo_fairseq.inference.model_folder.files import WEIGHTS_FILE
from emo_fairseq.inference.predictor import EmotionPredictor

LIGHT_PYTHON = "EMO_FAIRSEQ_LIGHT_PYTHON"
BOTH = "--modality text+speech --speech-input log_mel"
DIALOGUES = """--modality text --auxiliary-targets vad --dialogue-encoder gru
    --dialogue-embed-dim 8 --dialogue-layers 2"""
ITEMS: dict[str, list[dict[str, Any]]] = {
    "both": [{}, {"text": None}, {"audio": None}],
    "dialogues": [{"audio": None, "dialogue": "d", "speaker": "ann"}, {"audio": None}],
}
# One interpreter for everything, since each takes a second to start. The last line is its answer.
PROGRAM = """
import contextlib, io, json, sys
for library in ("fairseq", "fairseq_cli", "hydra", "omegaconf", "pyarrow", "safetensors", "scipy",
                "sklearn", "torch", "transformers"):
    sys.modules[library] = None
from emo_fairseq.cli.__main__ import main
from emo_fairseq.inference.predictor import EmotionPredictor

place, items, recording, turns = sys.argv[1:]
answers = {}
for name, given in json.loads(items).items():
    predictor = EmotionPredictor.from_pretrained(f"{place}/{name}")
    answers[name] = [one.as_dict(embedding=True) for one in predictor.predict(**given)]

def run(*words):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    return code, out.getvalue(), err.getvalue()

answers["text"] = run("predict", f"{place}/both", "--text", "so glad", "--format", "jsonl")
parts = ("--segments", turns, "--format", "csv")
answers["turns"] = run("predict", f"{place}/both", recording, *parts)
answers["train"] = run("train", place, "--output", place)
answers["cuda"] = run("predict", f"{place}/both", "--text", "so glad", "--device", "cuda")
answers["checkpoint"] = run("predict", f"{place}/checkpoint.pt", "--text", "so glad")
answers["modules"] = sorted(
    {name.partition(".")[0] for name, module in sys.modules.items() if module is not None}
)
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def folders(trained_models: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("light")
    for name, options in (("both", BOTH), ("dialogues", DIALOGUES)):
        export_onnx(Path(shutil.copytree(trained_models.folder(options), place / name)), check=1)
    shutil.copy(trained_models.checkpoint(BOTH), place / "checkpoint.pt")
    return place


def _given(name: str, data: Path) -> dict[str, list[Any]]:
    rows = read_manifest(data / "test.tsv")
    items = [
        {"audio": str(data / str(row.audio)), "text": row.text, **item}
        for row, item in zip(rows, [*ITEMS[name], *ITEMS[name]], strict=False)
    ]
    names = sorted({key for item in items for key in item})
    return {key: [item.get(key) for item in items] for key in names}


def _assert_close(found: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            _assert_close(found[key], value)
    elif isinstance(expected, float | int) and not isinstance(expected, bool):
        assert found == pytest.approx(expected, abs=1e-4)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            _assert_close(one, other)
    else:
        assert found == expected


def test_predictions_without_torch_are_those_of_the_full_model(
    folders: Path, toy_corpus: Path, tmp_path: Path
) -> None:
    given = {name: _given(name, toy_corpus) for name in ITEMS}
    expected = {
        name: EmotionPredictor.from_pretrained(folders / name, onnx=False).predict(**items)
        for name, items in given.items()
    }
    for folder in (folders / "both", folders / "dialogues"):
        (folder / WEIGHTS_FILE).unlink()  # nothing of it is read
    recording = given["both"]["audio"][0]
    turns = tmp_path / "turns.csv"
    turns.write_text("start,end,speaker,text\n0.0,0.5,ann,so glad\n0.5,1.0,ben,no\n")
    environment = {k: v for k, v in os.environ.items() if k != "EMO_FAIRSEQ_TRACEBACK"}
    python = environment.get(LIGHT_PYTHON, sys.executable)
    if LIGHT_PYTHON in environment:
        environment.pop("PYTHONPATH", None)
    command = [python, "-c", PROGRAM, folders, json.dumps(given), recording, turns]
    finished = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr[-2000:]
    answers = json.loads(finished.stdout.splitlines()[-1])

    for name, predictions in expected.items():
        for found, one in zip(answers[name], predictions, strict=True):
            _assert_close(found, json.loads(json.dumps(one.as_dict(embedding=True))))
    code, out, _ = answers["text"]
    assert (code, json.loads(out)["text"]) == (0, "so glad")
    code, out, _ = answers["turns"]
    assert code == 0
    assert [line.split(",")[0] for line in out.splitlines()[1:]] != []
    for name, sentence in {
        "train": "error: emotion-recognize train needs torch and fairseq, which ",
        "cuda": "error: device cuda: a graph runs on a provider; leave the device out, and give ",
        "checkpoint": f"error: {folders / 'checkpoint.pt'} needs torch and fairseq, which ",
    }.items():
        code, out, message = answers[name]
        assert (code, out) == (1, ""), name
        assert message.startswith(sentence)
        assert len(message.splitlines()) == 1
    # What `pip install emo_fairseq[predict]` brings, and nothing that takes long to import.
    assert not {"ftfy", "matplotlib", "pandas", "rich"} & set(answers["modules"])

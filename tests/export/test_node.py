"""Graphs in Node: examples/javascript/predict.mjs predicts what the model does, by model.yaml.

`make test-node` installs what that needs under build/node. Here nothing is installed.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_prep.audio.loading import load_audio
from data_prep.schema import read_manifest
from emo_fairseq.export.onnx import export_onnx
from emo_fairseq.inference.predictor import EmotionPredictor

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = Path(os.environ.get("EMO_FAIRSEQ_NODE", REPOSITORY / "build" / "node"))
BOTH = "--modality text+speech --speech-input log_mel"


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """predict.mjs beside its packages, where Node looks for them."""
    if shutil.which("node") is None:
        pytest.skip("no node: install Node 20 or newer")
    if not (MODULES / "node_modules" / "onnxruntime-node").is_dir():
        pytest.skip(f"no onnxruntime-node in {MODULES}: make test-node installs it")
    (tmp_path / "node_modules").symlink_to(MODULES / "node_modules")
    shutil.copy(REPOSITORY / "examples" / "javascript" / "model.mjs", tmp_path)
    return Path(shutil.copy(REPOSITORY / "examples" / "javascript" / "predict.mjs", tmp_path))


def run(script: Path, folder: Path, *words: str | Path) -> Any:
    finished = subprocess.run(
        ["node", script, folder, *words], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr[-2000:]
    return json.loads(finished.stdout.splitlines()[-1])


def test_node_predicts_what_the_model_does(
    trained_models: Any, toy_corpus: Path, script: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(trained_models.folder(BOTH), tmp_path / "model"))
    export_onnx(folder, check=1)
    row = read_manifest(toy_corpus / "test.tsv")[0]
    recording = toy_corpus / str(row.audio)
    wav = tmp_path / "recording.wav"
    _write_wav(wav, load_audio(recording))
    model = EmotionPredictor.from_pretrained(folder, onnx=False)
    for audio, text in ((wav, row.text), (None, row.text), (wav, None)):
        words: list[str | Path] = [] if audio is None else ["--audio", audio]
        words += [] if text is None else ["--text", text]
        found = run(script, folder, *words)
        expected = model.predict(audio, text)
        assert found["scores"].keys() == expected.probabilities.keys()
        for label, score in expected.probabilities.items():
            assert found["scores"][label] == pytest.approx(score, abs=1e-4)


def _write_wav(file: Path, samples: Any) -> None:
    import soundfile

    soundfile.write(file, np.asarray(samples), 16_000, subtype="FLOAT")

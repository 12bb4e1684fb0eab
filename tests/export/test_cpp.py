"""Graphs in C++: examples/cpp/predict.cpp computes the logits that the model does.

`make test-cpp ONNXRUNTIME=FOLDER` names the folder of an ONNX Runtime release.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import soundfile

from data_prep.audio.loading import load_audio
from data_prep.schema import read_manifest
from emo_fairseq.export.onnx import export_onnx
from emo_fairseq.inference.predictor import load_predictor

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCE = REPOSITORY / "examples" / "cpp" / "predict.cpp"
PAGE = REPOSITORY / "docs" / "how-to" / "portable_onnx.md"
BOTH = "--modality text+speech --speech-input log_mel"


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def test_the_page_has_the_core_of_the_program() -> None:
    core = PAGE.read_text().partition("```cpp\n")[2].partition("```")[0]
    lines, program = _lines(core), "\n".join(_lines(SOURCE.read_text()))
    assert lines
    assert "\n".join(lines) in program


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The compiled program; it is linked with the wheel's library if the folder has none."""
    release = os.environ.get("EMO_FAIRSEQ_ONNXRUNTIME", "")
    includes = [Path(release) / "include", Path(release) / "include" / "onnxruntime"]
    include = next((x for x in includes if (x / "onnxruntime_cxx_api.h").is_file()), None)
    if not release or include is None:
        pytest.skip("no headers of ONNX Runtime: make test-cpp ONNXRUNTIME=folder of a release")
    if shutil.which("g++") is None:
        pytest.skip("no g++")
    libraries = Path(release) / "lib"
    if not (libraries / "libonnxruntime.so").exists():
        (of_wheel,) = Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so*")
        libraries = tmp_path
        for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
            (libraries / name).symlink_to(of_wheel)
    program = tmp_path / "predict"
    warnings = ["-Wall", "-Wextra", "-Werror", "-isystem", include]
    linked = [f"-L{libraries}", "-lonnxruntime", f"-Wl,-rpath,{libraries}"]
    command = ["g++", "-std=c++17", SOURCE, "-o", program, *warnings, *linked]
    subprocess.run(command, check=True)
    return program


def test_cpp_computes_what_the_model_does(
    trained_models: Any, toy_corpus: Path, program: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(trained_models.folder(BOTH), tmp_path / "model"))
    export_onnx(folder, check=1)
    row = read_manifest(toy_corpus / "test.tsv")[0]
    samples = np.asarray(load_audio(toy_corpus / str(row.audio)))
    wav = tmp_path / "recording.wav"
    soundfile.write(wav, samples, 16_000, subtype="PCM_16")
    model = load_predictor(folder, onnx=False)
    for audio, text in ((wav, row.text), (None, row.text), (wav, None)):
        item = model.read_item(audio, text)
        (batch,) = model.engine.preprocessor.batches([item], 1)
        tokens = batch.net_input["text"]["tokens"][0].tolist() if text else []
        words = [program, folder / "model.onnx", audio or "-", *map(str, tokens)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        shares = np.exp(found["logits"]) / np.exp(found["logits"]).sum()
        expected = model.predict(audio, text).probabilities
        assert dict(zip(found["labels"], shares, strict=True)) == pytest.approx(expected, abs=1e-4)


def test_cpp_refuses_another_rate(program: Path, tmp_path: Path) -> None:
    wav = tmp_path / "recording.wav"
    soundfile.write(wav, np.zeros(800), 8_000)
    words = [program, tmp_path / "model.onnx", wav]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().endswith(
        "no mono WAV file at 16 kHz of 16-bit integers or 32-bit floats"
    )

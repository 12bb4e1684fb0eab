"""Graphs in several precisions, what describes them, and what runs them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import yaml
from codes import raises
from tokenizers import Tokenizer

from data_prep.schema import read_manifest
from data_prep.tokens.text_tokenizers import load_text_tokenizer
from emo_fairseq.cli.__main__ import main
from emo_fairseq.export import graph_files
from emo_fairseq.export.graph_rows import RowSource
from emo_fairseq.export.graphs import GraphOptions, export_graphs
from emo_fairseq.export.onnx import export_onnx
from emo_fairseq.inference import providers
from emo_fairseq.inference.model_folder.reading import read_model_folder
from emo_fairseq.inference.onnx_model import OnnxModel
from emo_fairseq.inference.predictor import load_predictor
from emo_fairseq.option_values import BY_SPEAKER

TEXT = "--modality text --auxiliary-targets vad"
SPEECH = "--modality speech --speech-input log_mel"
BOTH = "--modality text+speech --speech-input log_mel"


@pytest.fixture(scope="module")
def exported(
    trained_models: Any, toy_corpus: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a model of text and speech, with all graphs. Shared."""
    folder = tmp_path_factory.mktemp("graphs") / "model"
    words = ["--onnx", "--onnx-precision", "int8", "fp16", "--onnx-metrics", "test", "--check", "2"]
    checkpoint = str(trained_models.checkpoint(BOTH))
    place = ["--data", str(toy_corpus), "--output", str(folder)]
    assert main(["export", checkpoint, *place, *words]) == 0
    return folder


@pytest.fixture
def own_folder(tmp_path: Path) -> Callable[[Path], Path]:
    """A copy of a shared model folder."""
    return lambda folder: Path(shutil.copytree(folder, tmp_path / "model"))


def test_every_precision_predicts_about_the_same(exported: Path, toy_corpus: Path) -> None:
    rows = read_manifest(toy_corpus / "test.tsv")
    audio = [toy_corpus / str(row.audio) for row in rows]
    text = [row.text for row in rows]
    expected = load_predictor(exported, onnx=False).predict(audio, text)
    for precision, tolerance in {"fp32": 1e-5, "fp16": 5e-3, "int8": 5e-2}.items():
        found = load_predictor(exported, precision=precision).predict(audio, text)
        differences = [
            abs(one.probabilities[label] - value)
            for one, other in zip(found, expected, strict=True)
            for label, value in other.probabilities.items()
        ]
        assert max(differences) < tolerance
        if precision != "fp32":
            assert max(differences) > 1e-7  # another graph was run


def test_int8_quantizes_products_and_token_tables_alone(exported: Path) -> None:
    graph = onnx.load(str(exported / "model.int8.onnx")).graph
    kinds = {node.op_type for node in graph.node}
    assert {"MatMulInteger", "Conv"} <= kinds
    assert "ConvInteger" not in kinds
    heads = [node for node in graph.node if "/head/" in node.name or "/frames/" in node.name]
    assert heads
    assert not {"MatMulInteger", "DynamicQuantizeLinear"} & {node.op_type for node in heads}
    weights = {x.data_type for x in graph.initializer if x.name.endswith("_quantized")}
    assert weights == {onnx.TensorProto.INT8}
    tables = [x.name for x in graph.initializer if "embed_tokens" in x.name]
    assert [name.rpartition("_")[2] for name in tables] == ["quantized", "scale"]


def test_the_card_says_what_each_precision_costs(exported: Path) -> None:
    card = (exported / "README.md").read_text()
    section = card.partition("## ONNX graphs")[2].partition("\n## ")[0]
    assert "those of test, 12 utterances" in section
    lines = [line for line in section.splitlines() if line.startswith("| `model.")]
    assert [line.split("|")[2].strip() for line in lines] == ["fp32", "int8 dynamic", "fp16"]


def test_model_yaml_describes_the_graph(exported: Path) -> None:
    described = yaml.safe_load((exported / "model.yaml").read_text())
    state = read_model_folder(exported).state
    assert described["labels"] == state.labels
    assert described["scores"].startswith("softmax")
    speech, text = described["modalities"]["speech"], described["modalities"]["text"]
    assert speech["sample_rate"] == 16_000
    assert speech["max_samples"] == state.limits.max_samples()
    assert "log-mel" in speech["inside"]
    assert text["max_tokens"] == state.limits.max_tokens("text")
    session = onnxruntime.InferenceSession(str(exported / "model.onnx"))
    graph = described["graphs"]["model.onnx"]
    assert [one["name"] for one in graph["inputs"]] == [one.name for one in session.get_inputs()]
    assert [one["shape"] for one in graph["outputs"]] == [
        one.shape for one in session.get_outputs()
    ]
    assert {one["name"]: one["type"] for one in graph["inputs"]} == {
        "text.tokens": "int64",
        "text.padding_mask": "bool",
        "text.present": "bool",
        "speech.waveform": "float32",
        "speech.padding_mask": "bool",
        "speech.present": "bool",
    }
    for file in ("model.onnx", "model.int8.onnx", "model.fp16.onnx"):
        props = onnx.load(str(exported / file)).metadata_props
        metadata = {entry.key: entry.value for entry in props}
        assert json.loads(metadata["modalities"]) == described["modalities"]
        assert json.loads(metadata["labels"]) == described["labels"]
        assert len(metadata["weights_sha256"]) == 64


def test_by_the_yaml_alone(exported: Path, toy_corpus: Path) -> None:
    """As somebody without emo_fairseq does: onnxruntime, tokenizers and the two files."""
    described = yaml.safe_load((exported / "model.yaml").read_text())
    text = described["modalities"]["text"]
    tokenizer = Tokenizer.from_file(str(exported / "text" / "tokenizer.json"))
    ids = tokenizer.encode("so happy today", add_special_tokens=False).ids
    tokens = np.array([[text["first_token"], *ids, text["last_token"]]])
    samples = np.zeros((1, described["modalities"]["speech"]["min_samples"]), np.float32)
    session = onnxruntime.InferenceSession(str(exported / "model.onnx"))
    (logits,) = session.run(
        ["logits"],
        {
            "text.tokens": tokens,
            "text.padding_mask": np.zeros(tokens.shape, bool),
            "text.present": np.array([True]),
            "speech.waveform": samples,
            "speech.padding_mask": np.zeros(samples.shape, bool),
            "speech.present": np.array([False]),
        },
    )
    shares = np.exp(logits[0]) / np.exp(logits[0]).sum()
    expected = load_predictor(exported, onnx=False).predict(text="so happy today")
    np.testing.assert_allclose(shares, list(expected.probabilities.values()), atol=1e-5)


def test_the_tokenizer_as_json_has_the_ids_of_the_original(
    exported: Path, toy_corpus: Path
) -> None:
    original = load_text_tokenizer(exported / "text")
    converted = Tokenizer.from_file(str(exported / "text" / "tokenizer.json"))
    texts = [str(row.text) for row in read_manifest(toy_corpus / "test.tsv")]
    for text in [*texts, "  Déjà   VU!  ", "ǅ ﬁne ½"]:
        ids = converted.encode(text, add_special_tokens=False).ids
        assert ids == original.encode(text)[:-1].tolist()


def test_static_int8_reads_the_train_split_alone(
    trained_models: Any, toy_corpus: Path, own_folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    read_rows = RowSource.read

    def remember(self: RowSource, split: str, purpose: str) -> Any:
        read.append(split)
        return read_rows(self, split, purpose)

    monkeypatch.setattr(RowSource, "read", remember)
    folder = own_folder(trained_models.folder(SPEECH))
    source = RowSource(toy_corpus)
    options = GraphOptions(("int8",), check=1, calibration_rows=6, source=source)
    reports = export_graphs(folder, options)
    assert read == ["train"]
    assert [report.quantization for report in reports] == ["", "static"]
    kinds = {node.op_type for node in onnx.load(str(folder / "model.int8.onnx")).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    rows = read_manifest(toy_corpus / "test.tsv")
    audio = [toy_corpus / str(row.audio) for row in rows]
    found = load_predictor(folder, precision="int8").predict(audio)
    expected = load_predictor(folder, onnx=False).predict(audio)
    for one, other in zip(found, expected, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=0.1)


REFUSED = {
    "no data dir": (GraphOptions(("int8",), 1, calibration_rows=4), "data-missing"),
    "no such split": (GraphOptions((), 1, metrics_split="dev"), "split-unknown"),
    "a fold": (GraphOptions((), 1, metrics_split="test"), "split-of-fold"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_rows_that_are_not_there(
    case: str, trained_models: Any, toy_corpus: Path, own_folder: Any
) -> None:
    options, code = REFUSED[case]
    fold = "k_fold/1" if case == "a fold" else None
    source = None if case == "no data dir" else RowSource(toy_corpus, fold=fold)
    folder = own_folder(trained_models.folder(TEXT))
    given = GraphOptions(**{**vars(options), "source": source})
    with raises(code) as error:
        export_graphs(folder, given)
    assert len(str(error.value).splitlines()) == 1


def test_large_weights_are_beside_every_graph(
    trained_models: Any, toy_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_files, "ONE_FILE", 0)
    folder = tmp_path / "model"
    words = ["--onnx", "--onnx-precision", "int8", "fp16", "--check", "1"]
    checkpoint = str(trained_models.checkpoint(TEXT))
    export = ["export", checkpoint, "--data", str(toy_corpus), "--output", str(folder), *words]
    assert main(export) == 0
    for precision in ("fp32", "int8", "fp16"):
        assert load_predictor(folder, precision=precision).predict(text="so glad").label
    (folder / "model.int8.onnx.data").unlink()
    assert load_predictor(folder, precision="fp32").predict(text="so glad").label
    with raises("file-changed"):
        load_predictor(folder, precision="int8")
    assert main(["export", checkpoint, "--data", str(toy_corpus), "--output", str(folder)]) == 0
    assert not list(folder.glob("model.*onnx*"))  # none is left of the old model
    assert not (folder / "model.yaml").exists()


def test_frames_by_speaker_stay_outside(trained_models: Any, own_folder: Any) -> None:
    folder = own_folder(trained_models.folder(f"{SPEECH} --normalize-by {BY_SPEAKER}"))
    export_onnx(folder, check=1)
    described = yaml.safe_load((folder / "model.yaml").read_text())
    assert described["modalities"]["speech"]["input"] == "speech.frames"
    assert "of their speaker" in described["modalities"]["speech"]["outside"]
    model = OnnxModel(folder / "model.onnx", read_model_folder(folder).state)
    assert model.inside == []


# -- what runs a graph -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"precision": "int4"}, "precision-unknown"),
        ({"provider": "gpu"}, "provider-unknown"),
        ({"provider": "tensorrt"}, "provider-missing"),
        ({"device": "cuda", "onnx": True}, "onnx-device"),
        ({"onnx": False, "provider": "cpu"}, "option-idle"),
    ],
)
def test_choices_that_are_not_there(options: Any, code: str, exported: Path) -> None:
    with raises(code) as error:
        load_predictor(exported, **options)
    assert len(str(error.value).splitlines()) == 1
    if code == "provider-missing":
        assert " has cpu; " in str(error.value)


def test_a_provider_that_is_built_in_but_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    with raises("provider-missing"):
        providers.check_chosen("cuda", ["CPUExecutionProvider"])
    providers.check_chosen("cpu", ["CPUExecutionProvider"])


def test_a_precision_that_was_not_exported(trained_models: Any, own_folder: Any) -> None:
    folder = own_folder(trained_models.folder(TEXT))
    export_onnx(folder, check=1)
    with raises("graph-missing") as error:
        load_predictor(folder, precision="int8")
    assert "the folder has graphs of fp32" in str(error.value)


def test_predict_runs_the_chosen_graph(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predict = ["predict", str(exported), "--text", "so glad", "--format", "jsonl"]
    assert main([*predict, "--precision", "int8", "--provider", "cpu"]) == 0
    found = json.loads(capsys.readouterr().out)
    expected = load_predictor(exported, precision="int8").predict(text="so glad")
    assert found["label"] == expected.label
    assert main([*predict, "--provider", "coreml"]) == 1
    assert capsys.readouterr().err.startswith("error: provider coreml: this onnxruntime ")

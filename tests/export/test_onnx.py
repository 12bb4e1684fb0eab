"""Models as ONNX graphs: the same answers, and no file where they are not the same."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hf_folders
import numpy as np
import onnx
import pytest
import torch
import transformers
from codes import raises
from extended import all_but
from pretrained import tiny_checkpoints
from safetensors.torch import load_file, save_file

from data_prep.commands.extract_features import main as extract_features
from data_prep.commands.tokenize_text import tokenize_with_hf
from data_prep.schema import read_corpus, read_manifest, write_corpus
from emo_fairseq.encoder_spec import WHISPER_PADDINGS
from emo_fairseq.errors import UsageError
from emo_fairseq.export import graph_files
from emo_fairseq.export import onnx as onnx_export
from emo_fairseq.export.dynamo import DYNAMO, TRACE, scope_of
from emo_fairseq.export.example_batches import make_batch, make_dialogue
from emo_fairseq.export.graphs import GraphOptions, export_graphs
from emo_fairseq.export.onnx import export_onnx
from emo_fairseq.inference.model_folder.files import (
    WEIGHTS_FILE,
    dialogue_graph,
)
from emo_fairseq.inference.model_folder.reading import read_model_folder
from emo_fairseq.inference.model_folder.records import seal
from emo_fairseq.inference.onnx_model import OnnxModel
from emo_fairseq.inference.predictor import load_predictor

LOG_MEL = "--speech-input log_mel"
BOTH = f"--modality text+speech {LOG_MEL}"
CASES = {
    "text, more targets": "--modality text --auxiliary-targets vad,sentiment",
    "log-mel": f"--modality speech {LOG_MEL} --target vad",
    "waveform": "--modality speech --speech-input waveform",
    "cross_attention": BOTH,
    "gated": f"{BOTH} --fusion gated --speech-pooling mean_std --text-pooling attention",
    "adaptive": f"{BOTH} --fusion adaptive",
    "lmf": f"{BOTH} --fusion lmf",
    "tfn": f"{BOTH} --fusion tfn --tfn-factor-dim 4",
    "mult": f"{BOTH} --fusion mult",
    "misa": f"{BOTH} --fusion misa",
}
# Of fusions one that gates, and one with a branch for an absent modality; below, one that attends.
KEPT = {"text, more targets", "waveform", "gated", "mult"}
PARITY = 1e-5
_COLUMN = {"text": "text", "speech": "audio"}


@pytest.fixture
def own_folder(tmp_path: Path) -> Callable[[Path], Path]:
    """A copy of a shared model folder."""
    return lambda folder: Path(shutil.copytree(folder, tmp_path / "model"))


@pytest.fixture(scope="module")
def hf_toy(toy_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy corpus in the words of a tiny BERT, with that and a tiny wav2vec 2.0 beside it."""
    place = tmp_path_factory.mktemp("hf")
    corpus = read_corpus(toy_corpus)
    splits = {split: read_manifest(toy_corpus / f"{split}.tsv") for split in corpus.splits}
    write_corpus(place / "data", corpus, splits)
    (place / "data" / "audio").symlink_to(toy_corpus / "audio")
    hf_folders.build(place / "bert", texts=[str(row.text) for row in splits["train"]])
    tokenize_with_hf(place / "data", place / "bert")
    strides = {"conv_kernel": (10, 8, 8), "conv_stride": (5, 8, 8)}  # a frame every 20 ms
    size = {**hf_folders.SIZES, **strides, "conv_dim": (8, 8, 8)}
    config = transformers.Wav2Vec2Config(  # of base size's kind: a norm over time
        **size, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2, vocab_size=5
    )
    transformers.Wav2Vec2Model(config).save_pretrained(place / "wav2vec2")
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(place / "wav2vec2")
    return place


def rows(data: Path, model: Any) -> dict[str, list[Any]]:
    """What a model reads of some utterances of differing lengths, gaps included."""
    found = read_manifest(data / "test.tsv")[:7]
    given: dict[str, list[Any]] = {
        "audio": [data / str(row.audio) for row in found],
        "text": [str(row.text) for row in found],
    }
    given = {_COLUMN[name]: given[_COLUMN[name]] for name in model.modalities}
    if len(given) > 1:
        given["audio"][2] = given["text"][4] = None
    return given


def assert_same_answers(folder: Path, data: Path, tolerance: float = PARITY) -> None:
    graph, model = load_predictor(folder, onnx=True), load_predictor(folder, "cpu")
    asked = rows(data, model)
    few = {name: values[:1] for name, values in asked.items()}
    for given, size in ((asked, 3), (few, 1)):
        answers = zip(
            graph.predict(**given, batch_size=size),
            model.predict(**given, batch_size=size),
            strict=True,
        )
        for found, expected in answers:
            assert found.label == expected.label
            assert found.modalities == expected.modalities
            assert np.abs(found.embedding - expected.embedding).max() < tolerance
            for name in ("probabilities", "values"):
                assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=tolerance)
            assert {k: pytest.approx(v, abs=tolerance) for k, v in found.auxiliary.items()} == dict(
                expected.auxiliary
            )


@pytest.mark.parametrize("options", all_but(KEPT, CASES))
def test_a_graph_answers_as_its_model(options, trained_models, own_folder, toy_corpus):
    folder = own_folder(trained_models.folder(options))
    assert export_onnx(folder, check=5) < PARITY
    assert_same_answers(folder, toy_corpus)


def test_where_no_row_has_a_modality(trained_models, own_folder, toy_corpus):
    folder = own_folder(trained_models.folder(BOTH))
    export_onnx(folder, check=1)
    graph, model = load_predictor(folder, onnx=True), load_predictor(folder, "cpu")
    text = ["so what do you say", "no"]
    for found, expected in zip(graph.predict(text=text), model.predict(text=text), strict=True):
        assert found.probabilities == pytest.approx(expected.probabilities, abs=PARITY)
    # What the leaves never give, but somebody who calls the graph himself may:
    tokens = {"tokens": torch.full((1, 5000), 7), "padding_mask": torch.zeros(1, 5000).bool()}
    present, absent = torch.tensor([True]), torch.tensor([False])
    with raises("graph-input-too-long"):
        inputs = {"text": {**tokens, "present": present}, "speech": {"present": absent}}
        graph.engine.forward(inputs)


def test_pretrained_encoders_with_lora_and_norms_over_time(trained_models, own_folder, hf_toy):
    options = f"""--modality text+speech --text-encoder hf:{hf_toy / "bert"} --text-layer weighted
        --text-tuning lora --speech-encoder hf:{hf_toy / "wav2vec2"} --fusion concat"""
    sizes = "--arch robertaEMO_tiny --embedding-dim 16"
    folder = own_folder(trained_models.folder(options, hf_toy / "data", sizes))
    assert export_onnx(folder, check=5) < PARITY
    assert_same_answers(folder, hf_toy / "data")


STANDARDIZED = "--standardize-frozen --standardize-fused"


def test_frames_that_are_pooled_in_the_encoder(trained_models, own_folder, hf_toy):
    options = f"""--modality text+speech --text-encoder hf:{hf_toy / "bert"} --text-tuning frozen
        --speech-encoder hf:{hf_toy / "wav2vec2"} --speech-tuning frozen --speech-layer concat
        --speech-frozen-pooling mean_std"""
    sizes = "--arch robertaEMO_tiny --embedding-dim 16"
    folder = own_folder(trained_models.folder(options, hf_toy / "data", sizes))
    assert export_onnx(folder, check=5) < PARITY
    assert_same_answers(folder, hf_toy / "data")


@pytest.mark.parametrize("exporter", all_but({TRACE}, [TRACE, DYNAMO]))
def test_a_standardized_sum_of_layers(exporter, trained_models, own_folder, hf_toy):
    options = f"""--modality text --text-encoder hf:{hf_toy / "bert"} --text-tuning frozen
        --text-layer weighted --text-pooling mean {STANDARDIZED}"""
    sizes = "--arch robertaEMO_tiny --embedding-dim 16"
    folder = own_folder(trained_models.folder(options, hf_toy / "data", sizes))
    export_graphs(folder, GraphOptions(precisions=("int8", "fp16"), check=5, exporter=exporter))
    assert_same_answers(folder, hf_toy / "data", tolerance=5e-4)
    model = load_predictor(folder, "cpu")
    asked = rows(hf_toy / "data", model)
    expected = model.predict(**asked)
    for precision, tolerance in {"fp16": 5e-3, "int8": 5e-2}.items():
        found = load_predictor(folder, precision=precision).predict(**asked)
        for one, other in zip(found, expected, strict=True):
            assert one.probabilities == pytest.approx(other.probabilities, abs=tolerance)
    halved = onnx.load(str(folder / "model.fp16.onnx"))
    standardizing = [n for n in halved.graph.node if re.search("standardize|/mix/", scope_of(n))]
    stored = {x.name: x.data_type for x in halved.graph.initializer}
    read = {stored[name] for node in standardizing for name in node.input if name in stored}
    assert onnx.TensorProto.FLOAT in read
    assert onnx.TensorProto.FLOAT16 not in read


def test_rounding_that_standardization_multiplies_is_accepted(
    trained_models, own_folder, hf_toy, monkeypatch
):
    """Of fused vectors whose means are 1000 deviations."""
    options = f"""--modality text+speech --text-encoder hf:{hf_toy / "bert"} --text-tuning frozen
        --speech-encoder hf:{hf_toy / "wav2vec2"} --speech-tuning frozen --fusion concat
        {STANDARDIZED}"""
    sizes = "--arch robertaEMO_tiny --embedding-dim 16"
    folder = own_folder(trained_models.folder(options, hf_toy / "data", sizes))
    monkeypatch.setattr(onnx_export, "TOLERANCE", 1e-9)
    difference = export_onnx(folder, check=5)
    assert 1e-9 < difference < 1e-3
    monkeypatch.setattr(onnx_export, "_ROUNDINGS", 0.01)
    with raises("graph-differs"):
        export_onnx(folder, check=5)


@pytest.mark.parametrize("padding", all_but({"none", "kept"}, WHISPER_PADDINGS))
def test_whisper(padding, trained_models, own_folder, hf_toy, tmp_path):
    whisper = hf_folders.build_whisper(tmp_path / "whisper", n_layers=1)
    options = f"""--modality speech --speech-encoder hf:{whisper} --max-speech-seconds 2
        --whisper-padding {padding}"""
    sizes = "--arch robertaEMO_tiny --embedding-dim 16"
    folder = own_folder(trained_models.folder(options, hf_toy / "data", sizes))
    assert export_onnx(folder, check=6) < PARITY
    assert_same_answers(folder, hf_toy / "data")


@pytest.mark.parametrize("family", all_but({"bert"}, ["bert", "whisper"]))
def test_the_newer_exporter(family, trained_models, own_folder, hf_toy, tmp_path):
    if family == "whisper":
        whisper = hf_folders.build_whisper(tmp_path / "whisper", n_layers=1)
        options = f"--modality speech --speech-encoder hf:{whisper} --max-speech-seconds 2"
    else:
        options = f"--modality text --text-encoder hf:{hf_toy / 'bert'}"
    sizes = "--arch robertaEMO_tiny --embedding-dim 16"
    folder = own_folder(trained_models.folder(options, hf_toy / "data", sizes))
    assert export_onnx(folder, check=4, exporter=DYNAMO) < PARITY
    assert_same_answers(folder, hf_toy / "data")
    dimensions = onnx.load(str(folder / "model.onnx")).graph.input[0].type.tensor_type.shape.dim
    modality = "speech" if family == "whisper" else "text"
    assert [one.dim_param for one in dimensions] == ["batch", f"{modality}_length"]


@pytest.mark.extended
def test_the_newer_exporter_of_what_is_trained_from_scratch(trained_models, own_folder, toy_corpus):
    """Of text, log-mel frames and cross-attention: fairseq's modules branch on their masks."""
    folder = own_folder(trained_models.folder(BOTH))
    assert export_onnx(folder, check=4, exporter=DYNAMO) < PARITY
    assert_same_answers(folder, toy_corpus)


def test_what_the_newer_exporter_refuses(trained_models, own_folder, monkeypatch):
    def refuse(*_: Any, **__: Any) -> None:
        cause = ValueError("a branch on content\nsecond line")
        raise torch.onnx.errors.OnnxExporterError("failed") from cause

    monkeypatch.setattr(torch.onnx, "export", refuse)
    folder = own_folder(trained_models.folder("--modality text"))
    with raises("onnx-unsupported") as error:
        export_onnx(folder, check=1, exporter=DYNAMO)
    reason = "torch.export refuses the model (ValueError: a branch on content)"
    assert str(error.value).startswith(reason)
    assert str(error.value).endswith("leave --onnx-exporter out")
    assert not (folder / "model.onnx").exists()


FEATURES = {
    "wav2vec2": "--encoder hf:{hf_toy}/wav2vec2 --layer mean --pool mean_std --max-seconds 0.7",
    "whisper": "--encoder hf:{whisper} --layer all --whisper-padding none",
    "log_mel": "--encoder log_mel",
}


@pytest.mark.parametrize("name", FEATURES)
def test_features_are_computed_inside(name, trained_models, own_folder, hf_toy, tmp_path):
    data = Path(shutil.copytree(hf_toy / "data", tmp_path / "data", symlinks=True))
    whisper = tmp_path / "whisper"
    if name == "whisper":
        hf_folders.build_whisper(whisper, seconds=4)
    how = FEATURES[name].format(hf_toy=hf_toy, whisper=whisper)
    assert extract_features([str(data), "--name", "sounds", *how.split()]) == 0
    options = "--modality speech --speech-encoder features:sounds"
    sizes = "--arch robertaEMO_tiny --embedding-dim 16"
    trained = trained_models.folder(options, data, sizes)
    folder = own_folder(trained)
    assert export_onnx(folder, check=3) < 1e-4
    graph = load_predictor(folder, onnx=True)
    assert graph.engine.model.inside == ["speech"]
    limit = load_predictor(folder, onnx=False).max_seconds()
    assert graph.max_seconds() == min(limit, 86_400)
    if (weights := folder / "features_speech.safetensors").is_file():
        weights.unlink()  # the graph holds them
        seal(folder)
    recordings = rows(data, graph)["audio"]
    found = load_predictor(folder, onnx=True).predict(recordings)
    shutil.copytree(trained, folder, dirs_exist_ok=True)
    expected = load_predictor(folder, onnx=False).predict(recordings)
    for one, other in zip(found, expected, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-4)
        assert one.truncations == other.truncations


@pytest.mark.parametrize("kind", all_but({"gumbel"}, ["none", "gumbel", "kmeans"]))
def test_wav2vec(kind, trained_models, own_folder, hf_toy, tmp_path):
    quantizer = {"vq_type": kind, "vq_vars": 6, "vq_groups": 2, "vq_dim": 8}
    options = {"log_compression": True, "skip_connections_agg": True, **quantizer}
    wav2vec = tiny_checkpoints.wav2vec(**options).save(tmp_path / "wav2vec.pt")
    options = f"--modality speech --speech-encoder fairseq:{wav2vec}"
    sizes = "--arch robertaEMO_tiny --embedding-dim 16"
    folder = own_folder(trained_models.folder(options, hf_toy / "data", sizes))
    assert export_onnx(folder, check=6) < PARITY
    assert_same_answers(folder, hf_toy / "data")


def test_what_cannot_be_exported_says_why(trained_models, own_folder, hf_toy, tmp_path):
    skipping = tiny_checkpoints.wav2vec(skip_connections_feat=True)
    wav2vec = skipping.save(tmp_path / "wav2vec.pt")
    options = f"--modality speech --speech-encoder fairseq:{wav2vec}"
    sizes = "--arch robertaEMO_tiny --embedding-dim 16"
    folder = trained_models.folder(options, hf_toy / "data", sizes)
    with raises("onnx-unsupported"):
        export_onnx(folder)
    assert not (folder / "model.onnx").exists()


def test_a_graph_that_answers_otherwise_is_not_kept(trained_models, own_folder, monkeypatch):
    folder = own_folder(trained_models.folder(CASES["log-mel"]))
    prepare = onnx_export.make_traceable

    def spoil(part: Any, n_positions: int) -> None:
        prepare(part, n_positions)
        if hasattr(part, "head"):
            part.head.out_proj.bias.data += 0.25

    monkeypatch.setattr(onnx_export, "make_traceable", spoil)
    with raises("graph-differs") as error:
        export_onnx(folder, check=2)
    assert "by up to 0.25," in str(error.value)
    assert sorted(file.name for file in folder.iterdir()) == ["config.json", WEIGHTS_FILE]


def test_weights_too_large_for_one_file_lie_beside_it(trained_models, own_folder, monkeypatch):
    folder = own_folder(trained_models.folder(CASES["log-mel"]))
    monkeypatch.setattr(graph_files, "ONE_FILE", 0)
    export_onnx(folder, check=2)
    beside = folder / "model.onnx.data"
    assert beside.stat().st_size > 0.8 * (folder / WEIGHTS_FILE).stat().st_size
    onnx.checker.check_model(str(folder / "model.onnx"))
    load_predictor(folder, onnx=True)
    beside.unlink()
    with pytest.raises(UsageError, match=r"model\.onnx\.data: cannot be read"):
        load_predictor(folder, onnx=True)


def test_a_graph_of_other_weights_is_refused(trained_models, own_folder):
    folder = own_folder(trained_models.folder(CASES["log-mel"]))
    with raises("graph-missing"):
        load_predictor(folder, onnx=True)
    export_onnx(folder, check=1)
    shutil.copy(
        trained_models.folder(f"{CASES['log-mel']} --seed 5") / WEIGHTS_FILE, folder / WEIGHTS_FILE
    )
    with pytest.raises(UsageError, match=r"model\.safetensors: damaged or exchanged"):
        load_predictor(folder)
    seal(folder)
    with raises("graph-other"):
        load_predictor(folder, onnx=True)


DIALOGUES = "--modality text --auxiliary-targets vad --dialogue-encoder"
DIALOGUE_CASES = {
    "gru": f"{DIALOGUES} gru --dialogue-embed-dim 8 --dialogue-layers 2",
    "transformer": f"{DIALOGUES} transformer --dialogue-embed-dim 8 --dialogue-causal "
    "--no-dialogue-speakers",
}


def _with_random_context(folder: Path) -> Path:
    """The weights of the context are small after a short training: make them act."""
    file = folder / WEIGHTS_FILE
    weights = load_file(file)
    noise = torch.Generator().manual_seed(0)
    weight = weights["dialogue_encoder.out_proj.weight"]
    weights["dialogue_encoder.out_proj.weight"] = torch.randn(weight.shape, generator=noise)
    save_file(weights, file)
    seal(folder)
    return folder


@pytest.mark.parametrize("options", all_but({"gru"}, DIALOGUE_CASES))
def test_graphs_of_dialogues(options, trained_models, own_folder):
    folder = _with_random_context(own_folder(trained_models.folder(options)))
    assert export_onnx(folder, check=2) < PARITY
    assert dialogue_graph(folder / "model.onnx").is_file()
    loaded = read_model_folder(folder)
    graph = OnnxModel(folder / "model.onnx", loaded.state)
    noise = torch.Generator().manual_seed(4)
    for n_rows, n_windows in ((1, 1), (9, 1), (9, 9), (23, 4)):
        batch = make_batch(loaded.state, torch.rand(n_rows, generator=noise).tolist(), noise)
        dialogue = make_dialogue(n_rows, n_windows, noise)
        with torch.no_grad():
            expected = loaded.model(**batch, dialogue=dialogue)
            alone = loaded.model(**batch)
        found = graph.forward({**batch, "dialogue": dialogue})
        assert found.logits.shape == expected.logits.shape
        for name in ("logits", "embedding"):
            difference = getattr(found, name) - getattr(expected, name).numpy()
            assert np.abs(difference).max() < PARITY
        difference = found.auxiliary["vad"] - expected.auxiliary["vad"].numpy()
        assert np.abs(difference).max() < PARITY
        in_two_calls = graph.classify(graph.embed(batch), dialogue)
        np.testing.assert_array_equal(in_two_calls.logits, found.logits)
        difference = graph.forward(batch).logits - alone.logits.numpy()
        assert np.abs(difference).max() < PARITY
        if n_rows > n_windows:
            assert (expected.logits - alone.logits[dialogue["scored"]]).abs().max() > 20 * PARITY


def test_the_graph_of_dialogues_belongs_to_the_folder(trained_models, own_folder):
    folder = own_folder(trained_models.folder(DIALOGUE_CASES["gru"]))
    export_onnx(folder, check=1)
    load_predictor(folder, onnx=True)
    file = dialogue_graph(folder / "model.onnx")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    with pytest.raises(UsageError, match=r"model\.dialogue\.onnx: damaged or exchanged"):
        load_predictor(folder, onnx=True)
    file.unlink()
    with pytest.raises(UsageError, match=r"model\.dialogue\.onnx: "):
        load_predictor(folder, onnx=True)
    seal(folder)  # as if it had been exported without dialogues
    with raises("graph-other"):
        load_predictor(folder, onnx=True)
    graph = onnx.load_from_string(whole)
    _change_labels(graph)
    file.write_bytes(graph.SerializeToString())
    seal(folder)
    with raises("graph-other"):
        load_predictor(folder, onnx=True)


def _swap_outputs(graph):
    first, second = (output.name for output in graph.graph.output[:2])
    graph.graph.output[0].name, graph.graph.output[1].name = second, first


def _reorder_outputs(graph):
    outputs = [graph.graph.output.pop(0) for _ in range(2)]
    graph.graph.output.extend(outputs[::-1])


def _change_weights(graph):
    weight = max(graph.graph.initializer, key=lambda one: len(one.raw_data))
    weight.raw_data = weight.raw_data[4:] + weight.raw_data[:4]


def _change_labels(graph):
    (fact,) = (fact for fact in graph.metadata_props if fact.key == "labels")
    fact.value = '["d", "c", "b", "a"]'


CHANGES = {
    "outputs swapped": (_swap_outputs, True),
    "outputs in another order": (_reorder_outputs, True),
    "other weights": (_change_weights, False),
    "other labels": (_change_labels, True),
}


def test_a_graph_that_was_changed_is_refused(trained_models, own_folder):
    """As a whole by its record; what can be seen in it also where the records were adapted."""
    folder = own_folder(trained_models.folder("--modality text"))
    export_onnx(folder, check=1)
    load_predictor(folder, onnx=True)
    file = folder / "model.onnx"
    whole = file.read_bytes()
    for change, is_detected in CHANGES.values():
        graph = onnx.load_from_string(whole)
        change(graph)
        file.write_bytes(graph.SerializeToString())
        with pytest.raises(UsageError, match=r"model\.onnx: damaged or exchanged"):
            load_predictor(folder, onnx=True)
        seal(folder)
        if is_detected:
            with raises("graph-other"):
                load_predictor(folder, onnx=True)
        file.write_bytes(whole)
        seal(folder)

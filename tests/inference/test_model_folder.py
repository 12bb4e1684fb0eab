"""Model folders: they answer as the checkpoint does, need nothing beside them, and run no code."""

import contextlib
import errno
import json
import os
import pickle
import re
import shutil
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import hf_folders
import pytest
import torch
from codes import raises
from extended import all_but
from fairseq import checkpoint_utils
from fairseq.data.encoders.gpt2_bpe_utils import bytes_to_unicode
from fairseq.models.wav2vec.wav2vec import Wav2VecConfig, Wav2VecModel
from token_folders import tokens_of

from data_prep.commands.extract_features import main as extract_features
from data_prep.commands.tokenize_text import (
    tokenize_with_gpt2,
    tokenize_with_hf,
)
from data_prep.schema import read_corpus, read_manifest, write_corpus
from data_prep.tokens.vq_wav2vec_corpus import tokenize_with_vq_wav2vec
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.predictions import PROBABILITY
from emo_fairseq.export.model_folder import write_model_folder
from emo_fairseq.inference.checkpoint import load_checkpoint_model
from emo_fairseq.inference.model_folder.reading import read_model_folder
from emo_fairseq.inference.model_folder.records import seal
from emo_fairseq.models.roberta_emo import RobertaEMOModel
from emo_fairseq.pretrained.weights import (
    read_tensors,
    write_tensors,
)

transformers = pytest.importorskip("transformers")

TOLERANCE = 1e-5
SMALL = """--arch robertaEMO_tiny --embedding-dim 16 --fusion-embed-dim 16
    --encoder-attention-heads 2"""
WAV2VEC2 = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": (8, 8, 8),
    "conv_kernel": (10, 8, 8),
    "conv_stride": (8, 5, 4),
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "vocab_size": 5,
}


@pytest.fixture(scope="module")
def built(toy_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy corpus in the words of a tiny BERT, with a tiny wav2vec 2.0 in the folder beside."""
    folder = tmp_path_factory.mktemp("built")
    corpus = read_corpus(toy_corpus)
    splits = {split: read_manifest(toy_corpus / f"{split}.tsv") for split in corpus.splits}
    write_corpus(folder / "data", corpus, splits)
    (folder / "data" / "audio").symlink_to(toy_corpus / "audio")
    hf_folders.build(folder / "pre" / "bert", texts=[str(row.text) for row in splits["train"]])
    torch.manual_seed(3)
    config = transformers.Wav2Vec2Config(**WAV2VEC2)
    transformers.Wav2Vec2Model(config).save_pretrained(folder / "pre" / "wav2vec2")
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder / "pre" / "wav2vec2")
    hf_folders.build_whisper(folder / "pre" / "whisper", seconds=3)
    tokenize_with_hf(folder / "data", folder / "pre" / "bert")
    return folder


@pytest.fixture
def data(built: Path, tmp_path: Path) -> Path:
    """A copy of that data dir, and of ``pre/`` beside it."""
    shutil.copytree(built, tmp_path, symlinks=True, dirs_exist_ok=True)
    return tmp_path / "data"


@pytest.fixture
def nothing_else(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Take away what lies beside a model folder, and all means of running what lies in it."""

    def take_away() -> None:
        for folder in (tmp_path / "pre", data / "text", data / "speech", data / "features"):
            shutil.rmtree(folder, ignore_errors=True)
        for module, name in ((torch, "load"), (pickle, "load"), (pickle, "Unpickler")):
            monkeypatch.setattr(module, name, _refuse)

    return take_away


def _refuse(*_: Any, **__: Any) -> None:
    raise AssertionError("something was unpickled")


def _compare(folder: Path, rows: list[dict[str, str]], audio: Any, text: Any) -> None:
    found = RobertaEMOModel.from_pretrained(folder, "cpu").predict(audio, text)
    for prediction, row in zip(found, rows, strict=True):
        expected = {name: float(row[PROBABILITY + name]) for name in prediction.probabilities}
        assert prediction.probabilities == pytest.approx(expected, abs=TOLERANCE)


def test_pretrained_encoders_go_along(
    data, trained_models, rows_of, nothing_else, tmp_path, monkeypatch
):
    """One adapted by LoRA, one frozen; the checkpoint holds neither."""
    monkeypatch.chdir(tmp_path)
    options = """--text-encoder hf:pre/bert --text-tuning lora --speech-encoder hf:pre/wav2vec2
        --speech-tuning frozen --no-encoder-cache --checkpoint-weights trained"""
    checkpoint = trained_models.checkpoint(options, data, SMALL)
    rows = trained_models.validated(checkpoint, data, "--no-encoder-cache")
    apart = write_model_folder(checkpoint, data, tmp_path / "apart")
    merged = write_model_folder(checkpoint, data, tmp_path / "merged", merge_lora=True)
    again = write_model_folder(checkpoint, data, tmp_path / "again")
    names = {file.name for file in merged.rglob("*") if file.is_file()}
    assert {"config.json", "model.safetensors", "tokenizer.yaml", "tokenizer.json"} <= names
    assert not any(name.endswith((".bin", ".idx", ".pt", ".pkl")) for name in names)
    for file in apart.rglob("*"):
        if file.is_file():
            assert file.read_bytes() == (again / file.relative_to(apart)).read_bytes()
            assert str(tmp_path).encode() not in file.read_bytes(), file
    audio, text = rows_of(data)
    nothing_else()
    for folder in (apart, merged):
        _compare(folder, rows, audio, text)


FEATURES = {
    "vectors of two encoders": (
        """--text-encoder features:words --speech-encoder features:sounds""",
        {
            "words": "--modality text --encoder hf:pre/bert --layer 2",
            "sounds": "--encoder hf:pre/wav2vec2 --layer mean --pool mean_std --max-seconds 0.7",
        },
    ),
    "all layers of a Whisper without padding": (
        """--modality speech --speech-encoder features:layers --speech-layer weighted
        --speech-pooling attentive_statistics""",
        {"layers": "--encoder hf:pre/whisper --layer all --whisper-padding none"},
    ),
    "log-mel vectors": (
        "--modality speech --speech-encoder features:levels",
        {"levels": "--encoder log_mel --pool mean"},
    ),
}


@pytest.mark.parametrize(
    ("options", "features"), all_but(FEATURES.keys() - {"log-mel vectors"}, FEATURES)
)
def test_features_are_computed_again(
    options, features, data, trained_models, rows_of, nothing_else, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    for name, how in features.items():
        assert extract_features([str(data), "--name", name, *how.split()]) == 0
    checkpoint = trained_models.checkpoint(options, data, SMALL)
    rows = trained_models.validated(checkpoint, data)
    folder = write_model_folder(checkpoint, data, tmp_path / "folder")
    audio, text = rows_of(data)
    nothing_else()
    _compare(folder, rows, audio, text if "text" in options else None)
    if "sounds" in features:
        with raises("window-too-long"):
            RobertaEMOModel.from_pretrained(folder, "cpu").timeline(audio[0])


def test_features_of_others_are_told_to_be_missing(data, trained_models, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert extract_features([str(data), "--name", "theirs", "--pool", "mean"]) == 0
    (data / "features" / "theirs" / "features.yaml").unlink()
    options = "--text-encoder hf:pre/bert --speech-encoder features:theirs"
    checkpoint = trained_models.checkpoint(options, data, SMALL)
    predictor = RobertaEMOModel.from_pretrained(write_model_folder(checkpoint, data, "out"), "cpu")
    assert predictor.predict(text="hello").modalities == ("text",)
    with raises("input-unsupported") as error:
        predictor.predict(data / read_manifest(data / "test.tsv")[0].audio)
    assert "features/theirs" in str(error.value)
    # And so is a tokenizer that nobody has kept.
    shutil.rmtree(data / "text")
    predictor = RobertaEMOModel.from_pretrained(write_model_folder(checkpoint, data, "out"), "cpu")
    with raises("input-unsupported"):
        predictor.predict(text="hello")


def test_a_quantizer_goes_along(data, trained_models, rows_of, nothing_else, tmp_path):
    vq_wav2vec = tmp_path / "pre" / "vq.pt"
    _save_quantizer(vq_wav2vec)
    tokenize_with_vq_wav2vec(data, checkpoint=vq_wav2vec)
    options = "--modality speech --speech-input tokens"
    checkpoint = trained_models.checkpoint(options, data)
    rows = trained_models.validated(checkpoint, data)
    folder = write_model_folder(checkpoint, data, tmp_path / "folder")
    audio, _ = rows_of(data)
    nothing_else()
    _compare(folder, rows, audio, None)
    (folder / "speech" / "checkpoint.txt").write_text("../vq.pt")
    seal(folder)
    with raises("weights-elsewhere"):
        read_model_folder(folder)


def test_the_bpe_of_gpt2_goes_along(data, trained_models, rows_of, nothing_else, tmp_path):
    letters = list(bytes_to_unicode().values())
    files = [tmp_path / "pre" / name for name in ("encoder.json", "vocab.bpe", "dict.txt")]
    files[0].write_text(json.dumps({letter: number for number, letter in enumerate(letters)}))
    files[1].write_text("#version: 0.2\n\n")
    files[2].write_text("".join(f"{number} 1\n" for number in range(len(letters))))
    tokenize_with_gpt2(data, *files)
    checkpoint = trained_models.checkpoint(
        "--modality text --text-tokens gpt2 --max-text-tokens 20", data
    )
    rows = trained_models.validated(checkpoint, data)
    folder = write_model_folder(checkpoint, data, tmp_path / "folder")
    _, text = rows_of(data)
    nothing_else()
    _compare(folder, rows, None, text)


def _save_quantizer(file: Path) -> None:
    """A random vq-wav2vec as fairseq wrote it."""
    options = {
        "conv_feature_layers": "[(8, 10, 5), (8, 8, 4), (8, 4, 2), (8, 4, 2), (8, 4, 2)]",
        "conv_aggregator_layers": "[(8, 2, 1)]",
        "prediction_steps": 2,
        "vq_type": "kmeans",
        "vq_vars": 5,
        "vq_groups": 2,
    }
    torch.manual_seed(0)
    model = Wav2VecModel(Wav2VecConfig(**options))
    with torch.no_grad():
        model.vector_quantizer.embedding.mul_(100)  # far enough apart for all to occur
    args = Namespace(arch="wav2vec", task="audio_pretraining", criterion="wav2vec", **options)
    history = [{"criterion_name": "A", "optimizer_name": "B", "num_updates": 3}]
    state = {"args": args, "model": model.state_dict(), "optimizer_history": history}
    torch.save(state, file)


def test_texts_are_cleaned_as_those_of_the_training_were(toy_corpus, trained_models, tmp_path):
    folder = trained_models.folder("--modality text")
    assert RobertaEMOModel.from_pretrained(folder, "cpu").predict(text="“No”").text == '"No"'
    raw = tmp_path / "raw"
    corpus = read_corpus(toy_corpus)
    splits = {
        split: [
            replace(row, text=f"“{row.text}”") for row in read_manifest(toy_corpus / f"{split}.tsv")
        ]
        for split in corpus.splits
    }
    write_corpus(raw, corpus, splits)
    shutil.copytree(toy_corpus / "text", raw / "text")
    (raw / "predictions.tsv").write_text("id\tsplit\tprediction\n")  # no split of the corpus
    checkpoint = trained_models.checkpoint("--modality text")
    folder = write_model_folder(checkpoint, raw, tmp_path / "folder")
    assert RobertaEMOModel.from_pretrained(folder, "cpu").predict(text="“No”\n").text == "“No” "


Change = Callable[[Path], Any]


def _config(change: Callable[[dict[str, Any]], Any]) -> Change:
    def apply(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        change(config)
        (folder / "config.json").write_text(json.dumps(config))
        with contextlib.suppress(ValueError):  # NaN, which no export writes
            seal(folder)

    return apply


def _sealed(change: Change) -> Change:
    """By somebody who adapted the records, too."""

    def apply(folder: Path) -> None:
        change(folder)
        seal(folder)

    return apply


def _flip(folder: Path) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-2] ^= 1
    (folder / "model.safetensors").write_bytes(content)


def _to_nan(folder: Path) -> None:
    tensors = read_tensors(folder / "model.safetensors")
    next(iter(tensors.values())).view(-1)[0] = float("nan")
    write_tensors(folder / "model.safetensors", tensors)


BROKEN: dict[str, tuple[Change, tuple[str, ...]]] = {
    "no configuration": (
        lambda f: (f / "config.json").unlink(),
        ("config.json", "no model folder"),
    ),
    "no JSON": (lambda f: (f / "config.json").write_text("{"), ("config.json", "is not JSON")),
    "nested without end": (
        lambda f: (f / "config.json").write_text("[" * 100_000),
        ("config.json", "nested deeper"),
    ),
    "a list": (
        lambda f: (f / "config.json").write_text("[1]"),
        ("config.json: it is [1] where a mapping",),
    ),
    "of the future": (_config(lambda c: c.update(format=2)), ("of format 2", "reads 1")),
    "no state": (_config(lambda c: c.pop("state")), ("config.json: state is missing",)),
    "labels lost": (_config(lambda c: c["state"].pop("labels")), ("state.labels is missing",)),
    "a folder outside": (
        _config(lambda c: c["front_end"].update(tokenizers=["../text"])),
        ("front_end.tokenizers[0]: '../text' is none of text, speech, video",),
    ),
    "no name of a folder": (
        _config(lambda c: c["front_end"].update(tokenizers=[{}])),
        ("front_end.tokenizers[0] is {} where text is expected",),
    ),
    "features of a folder outside": (
        _config(lambda c: c["front_end"].update(features={"/text": {}})),
        ("'/text' is none of text, speech, video",),
    ),
    "another width": (
        _config(lambda c: c["model"].update(embedding_dim=17)),
        ("model.safetensors", "does not fit the model"),
    ),
    "no number": (
        _config(lambda c: c["model"].update(embedding_dim="x")),
        ("config.json", "embedding_dim"),
    ),
    "an option of nobody": (
        _config(lambda c: c["model"].update(depth=1)),
        ("config.json: model.depth is an unknown option",),
    ),
    "ten million layers": (
        _config(lambda c: c["model"].update(text_encoder_layers=10**7)),
        ("config.json: model.text_encoder_layers is 1e+07",),
    ),
    "a thousand layers": (
        _config(lambda c: c["model"].update(text_encoder_layers=1000)),
        ("config.json: describes a model of more than", "are stored with it"),
    ),
    "a gigantic width": (
        _config(lambda c: c["model"].update(text_ffn_embed_dim=2**24)),
        ("config.json: describes a model of more than", "are stored with it"),
    ),
    "a gigantic vocabulary": (
        _config(lambda c: c["state"]["vocabulary"]["text"].update(size=10**12)),
        ("config.json: state.vocabulary.text.size is 1000000000000",),
    ),
    "more words than are stored": (
        _config(lambda c: c["state"]["vocabulary"]["text"].update(size=2**24)),
        ("config.json: describes a model of more than",),
    ),
    "no statistics": (
        _config(lambda c: c["state"]["frame_statistics"].update(text={"mean": [0], "std": [0]})),
        ("state.frame_statistics.text.std[0] is 0 where",),
    ),
    "a statistic that is no number": (
        _config(lambda c: c["state"].update(class_counts=[float("nan")] * 4)),
        ("state.class_counts[0] is nan",),
    ),
    "no such encoder": (
        _config(lambda c: c["state"]["encoders"]["text"].update(depth=3)),
        ("config.json: state.encoders.text.depth is an unknown key",),
    ),
    "no such modality": (
        _config(lambda c: c["task"].update(modality="smell")),
        ("config.json", "smell"),
    ),
    "code of others": (
        _config(
            lambda c: c["state"]["encoders"]["text"].update(architecture={"auto_map": {"a": 1}})
        ),
        ("auto_map", "is not loaded"),
    ),
    "a kernel of others": (
        _config(lambda c: c["state"].update(x=[{"_attn_implementation": "me/mine"}])),
        ("me/mine", "is not loaded"),
    ),
    "weights of others": (
        _config(lambda c: c["model"].update(checkpoint_weights="trained")),
        ("config.json: checkpoint_weights is 'trained'", "from outside of the folder"),
    ),
    "a backbone of others": (
        _config(lambda c: c["state"].update(x={"use_pretrained_backbone": True})),
        ("use_pretrained_backbone", "is not loaded"),
    ),
    "a tokenizer of others": (
        _sealed(
            lambda f: (f / "text" / "tokenizer_config.json").write_text('{"auto_map": {"a": 1}}')
        ),
        ("tokenizer_config.json: names auto_map", "is not loaded"),
    ),
    "weights with another bit": (_flip, ("model.safetensors: damaged or exchanged: SHA-256",)),
    "weights that are no numbers": (_sealed(_to_nan), ("model.safetensors: 1 of ", "NaN or inf")),
    "no weights": (
        lambda f: (f / "model.safetensors").unlink(),
        ("model.safetensors: cannot be read (No such file",),
    ),
    "cut weights": (
        _sealed(
            lambda f: (f / "model.safetensors").write_bytes(
                (f / "model.safetensors").read_bytes()[:-9]
            )
        ),
        ("model.safetensors: cannot be read",),
    ),
    "a pickle": (
        _sealed(lambda f: torch.save({"a": torch.ones(1)}, f / "model.safetensors")),
        ("model.safetensors: cannot be read",),
    ),
    "no tokenizer": (
        _sealed(lambda f: shutil.rmtree(f / "text")),
        ("tokenizer.yaml: is missing",),
    ),
}


@pytest.mark.parametrize(("change", "fragments"), BROKEN.values(), ids=BROKEN)
def test_what_is_broken_is_named(change, fragments, trained_models, tmp_path):
    folder = tmp_path / "folder"
    shutil.copytree(trained_models.folder("--modality text"), folder)
    change(folder)
    with pytest.raises(UsageError) as refused:
        read_model_folder(folder)
    for fragment in (*fragments, str(folder)):
        assert fragment in str(refused.value)


def test_what_cannot_be_written_is_told(trained_models, toy_corpus, data, tmp_path):
    checkpoint = trained_models.checkpoint("--modality text")
    cases = {
        "checkpoint-missing": (tmp_path / "none.pt", None, "out", False),
        "folder-not-empty": (checkpoint, None, "data", False),
        "folder-missing": (checkpoint, tmp_path / "none", "out", False),
        "vocabulary-other": (checkpoint, data, "out", False),  # of a BERT
        "lora-missing": (checkpoint, None, "out", True),
    }
    for code, (file, beside, out, merge) in cases.items():
        with raises(code):
            write_model_folder(file, beside, tmp_path / out, merge_lora=merge)
    with pytest.raises(UsageError, match="not loaded"):
        write_model_folder(data / "corpus.yaml", None, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_no_unreadable_tokenizer(trained_models, tmp_path, monkeypatch):
    checkpoint = trained_models.checkpoint("--modality text")

    def fill(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", fill)
    with raises("disk-full") as error:
        write_model_folder(checkpoint, None, tmp_path / "out")
    assert "no space left on device; free some space" in str(error.value)
    assert not list(tmp_path.iterdir())


def test_prototypes_are_told_to_readers_of_the_folder(trained_models, tmp_path):
    """As plain values: those of a class without one are null, since JSON knows no NaN."""
    nan = float("nan")
    values = torch.tensor([[[0.5, 0.25, 1.0], [nan, nan, nan]]])
    saved = torch.load(trained_models.checkpoint("--modality text"), weights_only=True)
    prototypes = {"fitted": values, "values": values, "quantiles": {0.5: 0.125}}
    saved["task_state"]["prototypes"] = prototypes
    saved["task_state"]["confidence"] = {"epoch": 2, "values": torch.ones(32)}
    torch.save(saved, tmp_path / "checkpoint.pt")
    folder = write_model_folder(tmp_path / "checkpoint.pt", None, tmp_path / "folder")
    state = json.loads((folder / "config.json").read_text())["state"]
    points = [[[0.5, 0.25, 1.0], [None, None, None]]]
    assert state["prototypes"] == {
        "fitted": points,
        "values": points,
        "quantiles": {"0.5": 0.125},
    }
    assert "confidence" not in state  # of the training's utterances
    assert read_model_folder(folder).state.labels == state["labels"]


def test_a_folder_is_written_over_by_the_next_model_alone(trained_models, tmp_path):
    out = tmp_path / "out"
    codes = trained_models.checkpoint("--modality speech --speech-input tokens --fusion concat")
    write_model_folder(codes, None, out)
    (out / "notes.txt").write_text("mine")
    (out / "config.json").unlink()
    with raises("folder-not-empty"):
        write_model_folder(codes, None, out)
    (out / ".unfinished").touch()  # as a run that was killed leaves it
    text = write_model_folder(trained_models.checkpoint("--modality text"), None, out)
    assert {path.name for path in text.iterdir()} == {
        "config.json",
        "model.safetensors",
        "text",
        "notes.txt",
    }
    assert read_model_folder(text).state.modalities == ("text",)


def test_a_model_gives_way_only_to_a_whole_one(trained_models, toy_corpus, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(trained_models.folder("--modality text"), out)
    for name in ("README.md", "model.onnx", "model.onnx.data"):
        (out / name).write_text("of the old weights")
    shutil.copytree(toy_corpus / "text", tmp_path / "data" / "text")
    (tokens_of(tmp_path / "data") / "sentencepiece.model").unlink()
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    checkpoint = trained_models.checkpoint("--modality text --seed 5")

    def refuse(folder: Path) -> None:
        assert read_model_folder(folder).state.modalities == ("text",)
        raise UsageError("the card cannot be written")

    for data, finish, fragment in (
        (None, refuse, "the card cannot be written"),
        (tmp_path / "data", None, r"sentencepiece\.model: cannot be read"),
    ):
        with pytest.raises(UsageError, match=fragment):
            write_model_folder(checkpoint, data, out, finish=finish)
        with pytest.raises(UsageError, match=fragment):
            write_model_folder(checkpoint, data, tmp_path / "new", finish=finish)
        assert {file: file.read_bytes() for file in out.rglob("*") if file.is_file()} == before
        assert not (tmp_path / "new").exists()
    # The folder's own tokenizers will do, and of the old model nothing else is left.
    write_model_folder(checkpoint, out, out)
    assert {file.name for file in out.iterdir()} == {"config.json", "model.safetensors", "text"}
    assert read_model_folder(out).processor.tokenizers == {"text": out / "text"}
    assert (out / "model.safetensors").read_bytes() != before[out / "model.safetensors"]


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"text_encoder_layers": 10**7}, "cfg.model.text_encoder_layers is 1e+07, and at most"),
        ({"text_encoder_layers": 1000}, "describes a model of more than"),
        ({"text_ffn_embed_dim": 2**24}, "describes a model of more than"),
    ],
)
def test_a_checkpoint_that_claims_too_much_is_not_built(options, what, trained_models, tmp_path):
    """By ours, and by what fairseq-validate calls."""
    saved = torch.load(trained_models.checkpoint("--modality text"), weights_only=True)
    saved["cfg"]["model"].update(options)
    file = tmp_path / "checkpoint.pt"
    torch.save(saved, file)
    with pytest.raises(UsageError, match=re.escape(f"{file}: {what}")):
        load_checkpoint_model(file)
    overrides = {"task": "emotion_prediction", "data": str(trained_models.data)}
    with pytest.raises(UsageError, match=re.escape(f"{file}: {what}")):
        checkpoint_utils.load_model_ensemble_and_task([str(file)], overrides)

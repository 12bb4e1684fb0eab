"""Models of the hub: uploaded to, and loaded from, a server on this machine."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from codes import raises
from local_hub import LocalHub, running_hub

from data_prep.files import hub as hub_module
from data_prep.files.hub import download, encoder_files
from data_prep.schema import read_manifest
from data_prep.tokens.hf_tokenizer import HuggingFaceTokenizer
from emo_fairseq.cli.__main__ import main
from emo_fairseq.evaluation import predictions
from emo_fairseq.export.upload import upload
from emo_fairseq.inference.predictor import load_predictor
from emo_fairseq.pretrained.hf_files import find_weights, read_config

OPTIONS = "--modality text"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    """A hub, and an empty local cache."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    hub_module._download.cache_clear()
    with running_hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running
    hub_module._download.cache_clear()


def files_of(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_pushed_model_is_private_and_predicts_as_the_folder_does(
    hub: LocalHub, trained_models: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = trained_models.folder(OPTIONS)
    assert main(["push", str(folder), "org/model"]) == 0
    printed = capsys.readouterr().out
    assert "private" in printed
    repository = hub.repositories["org/model"]
    assert repository.private
    name, stored = repository.files("main")
    assert {path: stored[path] for path in files_of(folder)} == files_of(folder)
    assert f"hf:org/model@{name}" in printed
    expected = load_predictor(folder, "cpu").predict(text="no no")
    loaded = load_predictor(f"hf:org/model@{name}", "cpu").predict(text="no no")
    assert loaded == expected
    assert main(["predict", "hf:org/model", "--text", "no no"]) == 0
    assert max(expected.probabilities, key=expected.probabilities.get) in capsys.readouterr().out


def test_a_shared_model_is_evaluated_analyzed_and_served(
    hub: LocalHub,
    trained_models: Any,
    started: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = trained_models.folder(OPTIONS)
    name = f"hf:org/model@{hub.add('org/model', files_of(folder))}"
    data = trained_models.data
    expected = load_predictor(folder, "cpu")
    scored = tmp_path / "predictions.tsv"
    assert main(["evaluate", name, str(data), "--cpu", "--save-predictions", str(scored)]) == 0
    texts = [row.text for row in read_manifest(data / "test.tsv")]
    wanted = [prediction.label for prediction in expected.predict(text=texts)]
    assert [row["prediction"] for row in predictions.read(scored)] == wanted

    sound = str(data / str(read_manifest(data / "test.tsv")[0].audio))
    turns = tmp_path / "turns.csv"
    turns.write_text("start,end,text\n0.0,0.5,no no\n")
    out = tmp_path / "conversations"
    words = [sound, "--segments", str(turns), "--formats", "csv", "--output-dir", str(out)]
    assert main(["analyze", name, *words]) == 0
    (written,) = out.glob("*.csv")
    assert expected.predict(text="no no").label in written.read_text()

    served: list[Path] = []
    monkeypatch.setattr(
        "emo_fairseq.serving.serve.serve", lambda path, *_, **__: served.append(path)
    )
    assert main(["serve", name]) == 0
    assert [files_of(path) for path in served] == [files_of(folder)]


def test_a_training_starts_from_a_shared_model(
    hub: LocalHub, trained_models: Any, make_task: Any, make_model: Any
) -> None:
    name = f"hf:org/model@{hub.add('org/model', files_of(trained_models.folder(OPTIONS)))}"
    sizes = {
        "text_embed_dim": 16,
        "text_ffn_embed_dim": 16,
        "text_attention_heads": 2,
        "text_encoder_layers": 1,
        "embedding_dim": 16,
    }
    sources = (name, str(trained_models.checkpoint(OPTIONS)), None)
    shared, own, fresh = (
        make_model(
            make_task(trained_models.data, modality="text", init_from=source), **sizes
        ).state_dict()
        for source in sources
    )
    assert all(torch.equal(value, own[key]) for key, value in shared.items())
    head = next(key for key in shared if key.startswith("head.") and key.endswith("weight"))
    assert not torch.equal(shared[head], fresh[head])


def test_an_upload_that_is_interrupted_changes_nothing_and_is_continued(
    hub: LocalHub, trained_models: Any
) -> None:
    folder = trained_models.folder(OPTIONS)
    hub.broken = 0
    with raises("hub-unreachable"):
        upload(folder, "org/model")
    assert [*hub.repositories["org/model"].files("main")[1]] == [".gitattributes"]
    hub.broken = None
    uploaded = upload(folder, "org/model", public=True)
    assert uploaded.is_private, "an existing model stays as it is"
    sent = sum(request.startswith("PUT") for request in hub.requests)
    upload(folder, "org/model@second")
    assert sum(request.startswith("PUT") for request in hub.requests) == sent
    assert {"main", "second"} == hub.repositories["org/model"].branches.keys()


def test_what_cannot_be_pushed_is_refused(
    hub: LocalHub, trained_models: Any, tmp_path: Path
) -> None:
    with raises("hub-name-invalid"):
        upload(trained_models.folder(OPTIONS), "T--ET(a)")
    with raises("model-folder-missing"):
        upload(tmp_path, "org/model")
    damaged = Path(shutil.copytree(trained_models.folder(OPTIONS), tmp_path / "damaged"))
    config = json.loads((damaged / "config.json").read_text())
    config["state"]["labels"].reverse()
    (damaged / "config.json").write_text(json.dumps(config))
    with raises("file-changed"):
        upload(damaged, "org/model")
    assert not hub.repositories


def test_an_encoder_is_one_commit_of_one_weights_format(hub: LocalHub) -> None:
    first = hub.add(
        "org/encoder",
        {"config.json": b"{}", "model.safetensors": b"1", "pytorch_model.bin": b"2"},
    )
    hub.add("org/encoder", {"config.json": b"{}", "model.safetensors": b"3"})
    folder = download(f"org/encoder@{first}", encoder_files)
    assert files_of(folder) == {"config.json": b"{}", "model.safetensors": b"1"}
    assert find_weights(f"org/encoder@{first}")[0].read_bytes() == b"1"
    assert find_weights("org/encoder")[0].read_bytes() == b"3"
    gets = [request for request in hub.requests if request.startswith("GET /org")]
    assert len(gets) == 3, "config.json is the same in both commits"


def test_without_a_network_the_cache_is_read_with_a_warning(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    commit = hub.add("org/encoder", {"config.json": b"{}"})
    folder = download("org/encoder", encoder_files)
    hub_module._download.cache_clear()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert download("org/encoder", encoder_files) == folder
    assert f"commit {commit} of the local cache is read" in caplog.text
    with raises("hub-unreachable") as error:
        read_config("org/other")
    assert "there is no such folder" in str(error.value)


def test_a_missing_model_or_revision_is_one_sentence(hub: LocalHub) -> None:
    hub.add("org/encoder", {"config.json": b"{}"})
    with raises("hub-unknown"):
        HuggingFaceTokenizer("org/encodr")
    with raises("hub-unknown") as error:
        read_config("org/encoder@v2")
    assert "has no revision v2" in str(error.value)


def test_offline_says_at_once_what_is_missing(
    hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with raises("hub-unreachable") as error:
        read_config("org/encoder")
    assert "HF_HUB_OFFLINE is set" in str(error.value)
    assert not hub.requests

"""Model folders held to their records; no model is built here."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from codes import raises

from data_prep.files import (
    digests,
)
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.model_folder.records import seal, verify_folder, verify_graph


@pytest.fixture(autouse=True)
def _memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMO_FAIRSEQ_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(digests, "_warned", set())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As an export leaves it, as far as files go."""
    model = tmp_path / "model"
    (model / "text").mkdir(parents=True)
    config = {"format": 1, "state": {"labels": ["neutral", "happy"]}, "scale": 0.1}
    (model / "config.json").write_text(json.dumps(config))
    for name in ("model.safetensors", "text/dict.txt", "model.onnx", "model.onnx.data"):
        (model / name).write_bytes(name.encode() * 9)
    (model / "README.md").write_text("A card.")
    seal(model)
    return model


def content_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return content


def verify(folder: Path) -> None:
    verify_folder(folder, content_of(folder))
    verify_graph(folder, content_of(folder)["files"])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


def halve(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def zero(file: Path) -> None:
    file.write_bytes(b"\0" * file.stat().st_size)


FILES = ("model.safetensors", "text/dict.txt", "model.onnx", "model.onnx.data")


@pytest.mark.parametrize("damage", [flip, halve, zero, Path.unlink], ids=lambda x: x.__name__)
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_not_as_it_was_exported_is_refused(
    folder: Path, name: str, damage: Callable[[Path], None]
) -> None:
    verify(folder)
    damage(folder / name)
    with raises("file-changed", UsageError) as error:
        verify(folder)
    assert str(error.value).startswith(f"{folder / name}: ")


def test_a_model_without_its_graph_is_whole(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    verify_folder(folder, content_of(folder))


def test_a_graph_of_another_folder_is_refused(folder: Path) -> None:
    for name in ("model.onnx", "model.onnx.data"):
        (folder / name).unlink()
    seal(folder)
    (folder / "model.onnx").write_bytes(b"of another")
    verify_folder(folder, content_of(folder))
    with raises("graph-other"):
        verify(folder)


def test_labels_that_changed_places_are_refused(folder: Path) -> None:
    content = content_of(folder)
    content["state"]["labels"].reverse()
    (folder / "config.json").write_text(json.dumps(content))
    with raises("file-changed"):
        verify(folder)


def test_a_record_that_was_adapted_is_refused(folder: Path) -> None:
    flip(folder / "model.safetensors")
    content = content_of(folder)
    content["files"] |= digests.records_of(folder, ["model.safetensors"])
    (folder / "config.json").write_text(json.dumps(content))
    with raises("file-changed"):
        verify(folder)


def test_how_a_config_is_written_does_not_matter(folder: Path) -> None:
    content = content_of(folder)
    (folder / "config.json").write_text(json.dumps(dict(reversed(content.items())), indent=4))
    verify(folder)


def test_the_card_may_be_edited_and_files_may_come_beside(folder: Path) -> None:
    (folder / "README.md").write_text("Another card.")
    (folder / ".gitattributes").write_text("")
    (folder / "figure.png").write_bytes(b"")
    verify(folder)


def test_a_file_that_came_to_a_tokenizer_is_refused(folder: Path) -> None:
    (folder / "text" / "added_tokens.json").write_text("{}")
    with raises("file-unknown"):
        verify(folder)


def test_a_folder_of_an_older_version_is_read_with_a_warning(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = content_of(folder)
    del content["files"], content["digest"]
    flip(folder / "model.safetensors")
    with caplog.at_level(logging.WARNING):
        verify_folder(folder, content)
    assert "config.json: has no record of its size and SHA-256, not verified; export" in caplog.text


def test_an_unchanged_folder_is_hashed_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_MIN_AGE_SECONDS", -10.0)
    read = []
    digest = digests.file_digest
    monkeypatch.setattr(digests, "file_digest", lambda f: read.append(Path(f).name) or digest(f))
    for _ in range(2):
        verify(folder)
    assert sorted(read) == sorted(Path(name).name for name in FILES)

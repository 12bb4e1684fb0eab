"""What a configuration of others claims: held to bounds, and to the tensors that lie beside it."""

import json
from pathlib import Path
from typing import Any

import hf_folders
import pytest
import tiny_checkpoints as tiny

from emo_fairseq import pretrained
from emo_fairseq.errors import UsageError
from emo_fairseq.pretrained.hf_files import (
    find_weights,
    read_config,
)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("pre") / "bert"
    hf_folders.build(place, texts=list(hf_folders.TEXTS))
    return place


def changed(bert: Path, place: Path, **options: Any) -> str:
    """A folder like `bert` with other claims."""
    place.mkdir()
    for file in bert.iterdir():
        if file.name != "config.json":
            (place / file.name).symlink_to(file)
    config = json.loads((bert / "config.json").read_text())
    (place / "config.json").write_text(json.dumps({**config, **options}))
    return str(place)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"num_hidden_layers": 10**7}, "config.json: num_hidden_layers is 1e+07, and at most 1024"),
        ({"num_hidden_layers": 1000}, "config.json: num_hidden_layers is 1000, and"),
        ({"hidden_size": 10**9}, "config.json: hidden_size is 1e+09"),
        ({"hidden_size": 4096}, "config.json: hidden_size is 4096, and no stored tensor is as"),
        ({"vocab_size": 2**20}, "config.json: vocab_size is 1048576, and no stored tensor is as"),
        ({"max_position_embeddings": 10**12}, "max_position_embeddings is 1e+12"),
        ({"layer_norm_eps": float("nan")}, "layer_norm_eps is nan, which is no finite number"),
    ],
)
def test_sizes_that_no_tensor_has_are_refused(
    bert: Path, tmp_path: Path, options: dict[str, Any], what: str
) -> None:
    place = changed(bert, tmp_path / "model", **options)
    with pytest.raises(UsageError) as error:
        pretrained.describe("text", f"hf:{place}")
    assert what in str(error.value)
    assert str(error.value).endswith("; fetch the model again")


def test_sizes_that_are_stored_are_accepted(bert: Path, tmp_path: Path) -> None:
    place = changed(bert, tmp_path / "model")
    assert read_config(place).num_hidden_layers == hf_folders.SIZES["num_hidden_layers"]


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("config.json", '{"a":' * 100_000, "config.json: line 1: is nested deeper"),
        ("config.json", "[1]", "config.json: it is [1] where a mapping"),
        ("config.json", '{"a": 1, "a": 2}', "config.json: a is there twice"),
    ],
)
def test_a_configuration_that_is_none_is_refused(
    bert: Path, tmp_path: Path, name: str, text: str, what: str
) -> None:
    place = changed(bert, tmp_path / "model")
    (Path(place) / name).write_text(text)
    with pytest.raises(UsageError) as error:
        pretrained.describe("text", f"hf:{place}")
    assert what in str(error.value)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ({"weight_map": {"a": "../../secret.safetensors"}}, "is not the name of a file beside it"),
        ({"weight_map": {"a": 3}}, "weight_map.a is 3 where text is expected"),
        ({"weight_map": {}}, "weight_map is {} where a length from 1 up"),
        ({}, "weight_map is missing"),
    ],
)
def test_a_list_of_shards_of_another_form_is_refused(
    tmp_path: Path, content: dict[str, Any], what: str
) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(content))
    with pytest.raises(UsageError) as error:
        find_weights(str(tmp_path))
    assert what in str(error.value)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"encoder_layers": 10**7}, "encoder_layers is 1e+07, and at most 1024"),
        ({"encoder_embed_dim": 10**9}, "encoder_embed_dim is 1e+09"),
    ],
)
def test_a_checkpoint_of_fairseq_that_claims_too_much_is_refused(
    tmp_path: Path, options: dict[str, Any], what: str
) -> None:
    model = tiny.wav2vec2()
    for name, value in options.items():
        setattr(model.args, name, value)
    file = model.save(tmp_path / "model.pt")
    with pytest.raises(UsageError) as error:
        pretrained.describe("speech", f"fairseq:{file}")
    assert what in str(error.value)
    assert str(error.value).endswith("; fetch the checkpoint again")


def test_sizes_that_contradict_each_other_name_the_encoder(bert: Path, tmp_path: Path) -> None:
    place = changed(bert, tmp_path / "odd", num_attention_heads=12)
    message = r"^hf:.*odd: its configuration is invalid \(The"
    with pytest.raises(UsageError, match=message):
        pretrained.build(pretrained.describe("text", f"hf:{place}"))

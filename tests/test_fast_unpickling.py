"""Checkpoints that tests read fast are those that torch reads, and it refuses what it refuses."""

import os
import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from fast_unpickling import _Original, _Unpickler
from torch import _weights_only_unpickler as of_torch


def test_what_is_read_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = torch.arange(6.0)
    state = {
        "weights": OrderedDict(one=shared.view(2, 3), two=shared[2:], half=shared.bfloat16()),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "options": {"numbers": [1, 2**40, -0.5, None, True], "text": "ä", "size": torch.Size([2])},
    }
    torch.save(state, tmp_path / "state.pt")
    assert of_torch.Unpickler is _Unpickler
    found = torch.load(tmp_path / "state.pt", weights_only=True)
    monkeypatch.setattr(of_torch, "Unpickler", _Original)
    expected = torch.load(tmp_path / "state.pt", weights_only=True)
    assert found["options"] == expected["options"] == state["options"]
    assert type(found["parameter"]) is torch.nn.Parameter
    assert list(found["weights"]) == list(expected["weights"])
    for name, value in expected["weights"].items():
        assert found["weights"][name].dtype == value.dtype
        assert torch.equal(found["weights"][name], value)
    found["weights"]["one"][1, 1] = 9.0
    assert found["weights"]["two"][2] == 9.0  # of one storage, as before


class Command:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("true",)


def test_what_torch_refuses_is_refused_in_its_words(tmp_path: Path) -> None:
    torch.save({"x": Command()}, tmp_path / "state.pt")
    with pytest.raises(pickle.UnpicklingError, match="(?s)Weights only load failed.*posix"):
        torch.load(tmp_path / "state.pt", weights_only=True)


def test_a_file_that_is_none_of_torch_is_refused_in_its_words(tmp_path: Path) -> None:
    for content in (b"labels:\n- happy\n", pickle.dumps([1, 2], 2)):
        (tmp_path / "a.pt").write_bytes(content)
        said = []
        for unpickler in (_Original, _Unpickler):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(of_torch, "Unpickler", unpickler)
                with pytest.raises(Exception, match=r"\w") as refused:
                    torch.load(tmp_path / "a.pt", weights_only=True)
            said.append((type(refused.value), str(refused.value)))
        assert said[0] == said[1]


def test_what_a_caller_allows_is_allowed_where_it_is(tmp_path: Path) -> None:
    torch.save(Path("a"), tmp_path / "state.pt")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "state.pt", weights_only=True)
    with torch.serialization.safe_globals([type(Path("a"))]):
        assert torch.load(tmp_path / "state.pt", weights_only=True) == Path("a")

"""fairseq's own data2vec 2.0, which it keeps among its examples and Python 3.11 does not import.

It is imported as it is, with what stops that taken out of the way: dataclasses as defaults, which
must be hashable since 3.11; ``timm``, of which the audio branch has a plain feed-forward block; and
the branches of images and text.
"""

import copy
import dataclasses
import importlib
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import fairseq
from hydra.core.config_store import ConfigStore
from torch import Tensor, nn

_EXAMPLES = Path(fairseq.__file__).parent / "examples"
_MODEL = "examples.data2vec.models"


class _FeedForward(nn.Module):
    """``timm``'s Mlp: dropout of the same probability after either layer."""

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        act_layer: Callable[[], nn.Module],
        drop: float,
    ) -> None:
        super().__init__()
        self.fc1 = nn.Linear(in_features, hidden_features)
        self.act = act_layer()
        self.fc2 = nn.Linear(hidden_features, in_features)
        self.drop = nn.Dropout(drop)

    def forward(self, x: Tensor) -> Tensor:
        dropped: Tensor = self.drop(self.fc2(self.drop(self.act(self.fc1(x)))))
        return dropped


def _dataclass(cls: type | None = None, **options: Any) -> Any:
    decorate = partial(_DATACLASS, unsafe_hash=True, **options)
    return decorate if cls is None else decorate(cls)


_DATACLASS = dataclasses.dataclass


def _module(name: str, **content: Any) -> ModuleType:
    module = ModuleType(name)
    module.__dict__.update(content)
    return module


_TIMM = "timm.models.vision_transformer"
_FAKE_TIMM = _module(_TIMM, Mlp=_FeedForward, DropPath=None)


def build_data2vec2(model: Mapping[str, Any], audio: Mapping[str, Any]) -> nn.Module:
    """Build fairseq's ``Data2VecMultiModel`` of audio alone, with its teacher and decoder.

    Args:
        model: options of the model.
        audio: options of the branch, those of its decoder among them.
    """
    fairseqs, branch = _import_model()
    modality = importlib.import_module("examples.data2vec.data.modality").Modality.AUDIO
    decoder = fairseqs.D2vDecoderConfig(**audio["decoder"])
    config = fairseqs.Data2VecMultiConfig(**{**model, "supported_modality": modality})
    config.modalities = fairseqs.D2vModalitiesConfig(
        audio=branch.D2vAudioConfig(**{**audio, "type": modality, "decoder": decoder})
    )
    with mock.patch.dict(sys.modules, {_TIMM: _FAKE_TIMM}):
        built: nn.Module = fairseqs.Data2VecMultiModel(config, [modality])
    return built


def _import_model() -> tuple[ModuleType, ModuleType]:
    """Return fairseq's modules of the model and of its audio branch."""
    for name in ("examples", "examples.data2vec", "examples.data2vec.data", _MODEL):
        folder = _EXAMPLES.joinpath(*name.split(".")[1:])
        sys.modules.setdefault(name, _module(name, __path__=[str(folder)]))
    branches = f"{_MODEL}.modalities"
    # What it registers with Hydra would be pickled with the jobs of later sweeps.
    store = ConfigStore.instance()
    restored = mock.patch.object(store, "repo", copy.deepcopy(store.repo))
    with restored, mock.patch.object(dataclasses, "dataclass", _dataclass):
        audio = importlib.import_module(f"{branches}.audio")
        for name in ("Image", "Text"):
            parts = {f"D2v{name}Config": audio.D2vAudioConfig, f"{name}Encoder": None}
            other = f"{branches}.{'images' if name == 'Image' else 'text'}"
            sys.modules.setdefault(other, _module(other, **parts))
        return importlib.import_module(f"{_MODEL}.data2vec2"), audio

"""What runs a model: arrays in, arrays out, whatever library computes.

:mod:`.torch_model` runs a model in torch, :mod:`.onnx_model` its graph in onnxruntime.
"""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from emo_fairseq.inference.input_processor import InputProcessor
from emo_fairseq.task_state import TaskState

if TYPE_CHECKING:
    from emo_fairseq.models.roberta_emo import RobertaEMOModel

# By modality what :mod:`emo_fairseq.data.in_memory` collates.
NetInput = Mapping[str, Mapping[str, Any]]


class LoadedModel(NamedTuple):
    """A trained model and what is needed to run it.

    Attributes:
        state: what it reads and predicts.
        model: in evaluation mode, on the CPU.
        processor: its tokenizers and feature extractors.
    """

    state: TaskState
    model: "RobertaEMOModel"
    processor: InputProcessor


class ModelOutput(NamedTuple):
    """Outputs of a batch, float32.

    Attributes:
        logits: (B, n_outputs).
        embedding: (B, E), the vectors before the head.
        auxiliary: (B, n) of each auxiliary target, by name.
    """

    logits: np.ndarray
    embedding: np.ndarray
    auxiliary: Mapping[str, np.ndarray] = MappingProxyType({})


class InferenceModel(Protocol):
    """A model that predicts; those of dialogues also embed and classify.

    Attributes:
        device: that it is on, such as ``cpu`` or ``cuda:0``.
    """

    device: str

    def forward(self, net_input: NetInput) -> ModelOutput:
        """Score a batch; see :meth:`RobertaEMOModel.forward`."""

    def embed(self, net_input: NetInput) -> np.ndarray:
        """Encode a batch of turns; see :meth:`RobertaEMOModel.embed`."""

    def classify(self, embedding: np.ndarray, dialogue: Mapping[str, np.ndarray]) -> ModelOutput:
        """Score turns in their dialogues; see :meth:`RobertaEMOModel.classify`."""

    def missing_warning(self, missing: Collection[str]) -> str:
        """Return the warning of a prediction without these modalities; empty for none."""

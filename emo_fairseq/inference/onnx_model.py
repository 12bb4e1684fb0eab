"""Run the graphs of :mod:`emo_fairseq.export.onnx` in onnxruntime, without torch."""

import importlib
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from data_prep.features.log_mel import N_MELS
from emo_fairseq.data.dialogue_windows import UNKNOWN_SPEAKER
from emo_fairseq.data.in_memory import Collated, pad_right
from emo_fairseq.data.input_limits import MIN_SAMPLES
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.graph_inputs import (
    TENSOR_OF,
    graph_name,
    modalities_inside,
    state_of_graph,
)
from emo_fairseq.inference.model import ModelOutput, NetInput
from emo_fairseq.inference.model_folder.files import dialogue_graph
from emo_fairseq.inference.providers import CPU, check_chosen, choose_providers
from emo_fairseq.modalities import LOG_MEL, PIXELS, TOKENS, WAVEFORM, missing_warning
from emo_fairseq.task_state import TaskState

LOGITS, EMBEDDING, AUXILIARY = "logits", "embedding", "auxiliary."
TURN_EMBEDDING = "turn_embedding"  # between the two graphs of a model of dialogues
DIALOGUE = "dialogue"  # in the names of inputs, as if it were a modality

FEW_FRAMES = 8  # more than the convolutions over frames reach


def output_names(state: TaskState) -> list[str]:
    """Return the names of the outputs of a model's last graph."""
    return [LOGITS, EMBEDDING] + [f"{AUXILIARY}{name}" for name in state.auxiliary]


def load_library(name: str) -> Any:
    """Import ``onnx`` or ``onnxruntime``.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        extra = "predict" if name == "onnxruntime" else "onnx"
        raise UsageError(
            f"ONNX needs {name}, which is not installed; pip install 'emo_fairseq[{extra}]'",
            "library-missing",
        ) from error


class Node(NamedTuple):
    """An input or an output of a graph.

    Attributes:
        name: of it.
        type: of its numbers, such as ``float32``.
        shape: of integers, or names where a size is free.
    """

    name: str
    type: str
    shape: list[int | str]


class OnnxModel:
    """Runs graphs; see :class:`emo_fairseq.inference.model.InferenceModel`.

    Args:
        file: of :func:`emo_fairseq.export.onnx.export_onnx`; that of the dialogues is beside it.
        state: what the model reads and predicts.
        modality_dropout: that it was trained with.
        provider: that runs it; see :data:`emo_fairseq.inference.providers.PROVIDERS`.
        settings: of the features on disk that it was trained with, by modality.

    Attributes:
        file: the same.
        device: ``cpu``, where inputs and outputs are.
        inside: modalities whose features the graph computes of samples.
        state: what the graph reads and predicts: samples where the model reads such features.

    Raises:
        UsageError: onnxruntime is not installed or lacks the provider, cannot read a file, or it
            gives other outputs.
    """

    device = "cpu"

    def __init__(
        self,
        file: Path,
        state: TaskState,
        modality_dropout: float = 0.0,
        *,
        provider: str = CPU,
        settings: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    ) -> None:
        self.file = file
        self._modality_dropout = modality_dropout
        outputs = output_names(state)
        has_dialogues = state.options.has_dialogue_encoder
        self._rows = _Graph(file, [TURN_EMBEDDING] if has_dialogues else outputs, provider)
        self._dialogues = _Graph(dialogue_graph(file), outputs, provider) if has_dialogues else None
        self.inside = modalities_inside(state, self._rows.inputs)
        self.state = state_of_graph(state, self.inside, settings)
        # For batches in which no row has a modality: a graph cannot leave an encoder out.
        self._placeholders = {name: _placeholder(self.state, name) for name in state.modalities}

    @property
    def metadata(self) -> list[Mapping[str, str]]:
        """What the export wrote into each file beside the graph."""
        graphs = [self._rows, self._dialogues]
        return [graph.metadata for graph in graphs if graph is not None]

    def signatures(self) -> dict[str, tuple[list[Node], list[Node]]]:
        """Return the inputs and the outputs of each graph, by the name of its file."""
        graphs = [self._rows, self._dialogues]
        return {graph.file.name: graph.signature for graph in graphs if graph is not None}

    def forward(self, net_input: NetInput) -> ModelOutput:
        """Score a batch; see :meth:`RobertaEMOModel.forward`.

        Args:
            net_input: of each modality what its rows collate to; and of a batch of dialogues
                ``dialogue``, see :func:`emo_fairseq.data.dialogue_windows.collate_windows`.

        Raises:
            UsageError: an input longer than the graph allows.
        """
        dialogue = net_input.get(DIALOGUE)
        outputs = self._run_over_rows(net_input)
        if self._dialogues is not None:
            return self.classify(outputs[TURN_EMBEDDING], dialogue)
        if dialogue is not None:
            scored = np.asarray(dialogue["scored"])
            outputs = {name: values[scored] for name, values in outputs.items()}
        return _model_output(outputs)

    def embed(self, net_input: NetInput) -> np.ndarray:
        """Return the embeddings (U, E) of rows; see :meth:`RobertaEMOModel.embed`.

        Raises:
            UsageError: an input longer than the graph allows.
        """
        outputs = self._run_over_rows(net_input)
        return outputs[EMBEDDING if self._dialogues is None else TURN_EMBEDDING]

    def classify(
        self, embedding: np.ndarray, dialogue: Mapping[str, Any] | None = None
    ) -> ModelOutput:
        """Score embeddings (U, E) of a model of dialogues; see :meth:`RobertaEMOModel.classify`.

        Args:
            embedding: of :meth:`embed`.
            dialogue: where each turn is; None: each is a dialogue of its own.
        """
        assert self._dialogues is not None, "the head is in the graph of the encoders"
        turns = _single_turns(len(embedding)) if dialogue is None else dialogue
        named = {graph_name(DIALOGUE, name): values for name, values in turns.items()}
        return _model_output(self._dialogues.run({TURN_EMBEDDING: embedding, **named}))

    def missing_warning(self, missing: Collection[str]) -> str:
        """Return the warning of a prediction without these modalities; empty for none."""
        return missing_warning(missing, self._modality_dropout)

    def named_inputs(self, net_input: NetInput) -> dict[str, np.ndarray]:
        """Return the inputs of the first graph by their names, of what :meth:`forward` takes."""
        filled = {m: self._fill(m, parts) for m, parts in net_input.items() if m != DIALOGUE}
        named = {graph_name(m, p): x for m, parts in filled.items() for p, x in parts.items()}
        return {name: np.asarray(named[name]) for name in self._rows.inputs}

    def _run_over_rows(self, inputs: NetInput) -> dict[str, np.ndarray]:
        return self._rows.run(self.named_inputs(inputs))

    def _fill(self, modality: str, parts: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the input of a modality, with a placeholder where no row has it."""
        if set(parts) != {"present"}:
            return parts
        n_rows = len(parts["present"])
        rows = {
            name: np.repeat(values, n_rows, axis=0)
            for name, values in self._placeholders[modality].items()
        }
        return {**rows, "present": parts["present"]}


class _Graph:
    """A graph in onnxruntime.

    Args:
        file: of :func:`emo_fairseq.export.onnx.export_onnx`.
        outputs: names that it must have.
        provider: that runs it.

    Attributes:
        file: the same.
        inputs: their names.
        signature: inputs and outputs.
        metadata: what the export wrote into the file beside the graph.

    Raises:
        UsageError: onnxruntime is not installed or lacks the provider, cannot read the file, or it
            gives other outputs.
    """

    def __init__(self, file: Path, outputs: Sequence[str], provider: str) -> None:
        runtime = load_library("onnxruntime")
        providers = choose_providers(provider, runtime)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = _n_threads()
        try:
            self._session = runtime.InferenceSession(str(file), options, providers=providers)
        except Exception as error:  # its own classes share no other base
            first = str(error).strip().splitlines()[0]
            raise UsageError(
                f"{file}: no graph that onnxruntime can run ({first}); export it again",
                "graph-unreadable",
            ) from error
        check_chosen(provider, self._session.get_providers())
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        self.file = file
        self.signature = (
            [_node(node) for node in self._session.get_inputs()],
            [_node(node) for node in self._session.get_outputs()],
        )
        self.inputs = [node.name for node in self._session.get_inputs()]
        self._outputs = [node.name for node in self._session.get_outputs()]
        if self._outputs != list(outputs):
            raise UsageError(
                f"{file}: gives {', '.join(self._outputs)}, where the model gives "
                f"{', '.join(outputs)}; export it again",
                "graph-other",
            )

    def run(self, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Return the outputs by name.

        Raises:
            UsageError: an input longer than the graph allows.
        """
        # Of dialogues without speakers, for one, the graph does not read all.
        named = {name: np.asarray(inputs[name]) for name in self.inputs}
        errors = load_library("onnxruntime").capi.onnxruntime_pybind11_state
        try:
            results = self._session.run(None, named)
        except (errors.InvalidArgument, errors.RuntimeException, errors.Fail) as error:
            shapes = ", ".join(f"{name} {x.shape}" for name, x in named.items())
            raise UsageError(
                f"{self.file}: the graph cannot take {shapes} "
                f"({str(error).strip().splitlines()[0]}); give shorter inputs, or use the model "
                "folder without ONNX",
                "graph-input-too-long",
            ) from error
        return dict(zip(self._outputs, results, strict=True))


_TYPES = {"float": "float32", "double": "float64"}  # others have the names of NumPy


def _node(node: Any) -> Node:
    kind = node.type.removeprefix("tensor(").removesuffix(")")
    return Node(node.name, _TYPES.get(kind, kind), list(node.shape))


def _n_threads() -> int:
    """Return the threads of one graph: OMP_NUM_THREADS, or the processors of this process."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdecimal() and int(wanted):
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _model_output(outputs: Mapping[str, np.ndarray]) -> ModelOutput:
    auxiliary = {
        name.removeprefix(AUXILIARY): x for name, x in outputs.items() if name.startswith(AUXILIARY)
    }
    return ModelOutput(outputs[LOGITS], outputs[EMBEDDING], auxiliary)


def _placeholder(state: TaskState, modality: str) -> Collated:
    """Return the input for a modality that no row of a batch has: one row, not present."""
    kind = state.encoders[modality].input
    pad = 0.0
    if kind == TOKENS:
        specials = state.vocabularies[modality].specials
        row, pad = np.array([specials.init, specials.separator]), specials.pad
    elif kind == WAVEFORM:
        row = np.zeros(MIN_SAMPLES, dtype=np.float32)
    elif kind == PIXELS:
        size = state.encoders[modality].picture_size
        row = np.zeros((1, size.height, size.width, 3), dtype=np.uint8)
    else:
        width = N_MELS if kind == LOG_MEL else len(state.frame_statistics[modality].mean)
        row = np.zeros((FEW_FRAMES, width), dtype=np.float32)
    values, padding_mask = pad_right([row], pad)
    return {TENSOR_OF[kind]: values, "padding_mask": padding_mask}


def _single_turns(n_turns: int) -> Collated:
    """Return the `dialogue` of a batch in which each row is a dialogue of one turn."""
    rows = np.arange(n_turns)
    return {
        "turns": rows[:, None],
        "padding_mask": np.zeros((n_turns, 1), dtype=bool),
        "speaker": np.full((n_turns, 1), UNKNOWN_SPEAKER),
        "scored": rows,
    }

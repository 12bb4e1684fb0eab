"""Describe what goes into a graph and comes out: ``model.yaml``, and the graph's own metadata.

Whoever runs the graph elsewhere, from C++ or JavaScript, needs no more. The form follows audonnx's
``model.yaml``, which has labels and sampling rate beside each input and output.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from data_prep.audio.part import WINDOW_MS
from data_prep.files.yaml_values import dump_yaml
from data_prep.schema import SAMPLE_RATE
from data_prep.tokens.folder import TOKENIZER_FILE
from emo_fairseq.data.input_limits import MIN_SAMPLES
from emo_fairseq.data.neighbors import has_context
from emo_fairseq.export.front_ends import outside
from emo_fairseq.inference.graph_inputs import TENSOR_OF, graph_name
from emo_fairseq.inference.model import LoadedModel
from emo_fairseq.inference.onnx_model import (
    AUXILIARY,
    EMBEDDING,
    LOGITS,
    OnnxModel,
)
from emo_fairseq.modalities import FRAMES, LOG_MEL, PIXELS, TEXT, TOKENS, WAVEFORM
from emo_fairseq.targets import LabeledTarget, TargetKind
from emo_fairseq.task_state import TaskState

FORMAT = 1
_RESAMPLING = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")  # Pillow's numbers

_SCORES = {
    TargetKind.CATEGORICAL: "softmax of logits (B, K): the probability of each label",
    TargetKind.DISTRIBUTION: "softmax of logits (B, K): the share of annotators of each label",
    TargetKind.BINARY_PER_LABEL: (
        "logits (B, 2 K) are K pairs (no, yes): softmax of each pair, of which the second is the "
        "probability of the label"
    ),
    TargetKind.CONTINUOUS: "logits (B, K) are the values, as they are",
}


def describe(loaded: LoadedModel, front_ends: nn.ModuleDict) -> dict[str, Any]:
    """Describe the inputs, steps and outputs of a model's graph.

    Returns:
        Plain values: ``target``, ``labels`` and ``scores`` of its output, ``auxiliary`` likewise,
        and ``modalities`` with the limits of each input and the steps before the graph.
    """
    state = loaded.state
    main = LabeledTarget(state.target, state.labels)
    described: dict[str, Any] = {
        "format": FORMAT,
        **_describe_target(main),
        "auxiliary": {name: _describe_target(other) for name, other in state.auxiliary.items()},
        "modalities": {
            modality: _describe_input(loaded, front_ends, modality) for modality in state.modalities
        },
    }
    if state.options.has_dialogue_encoder:
        described["dialogue"] = {
            "window": state.options.dialogue_window,
            "causal": state.options.dialogue_causal,
            "about": "model.onnx gives turn_embedding of single turns; model.dialogue.onnx reads "
            "those of a window of turns, in order of time",
        }
    return described


def _describe_target(target: LabeledTarget) -> dict[str, Any]:
    return {
        "target": target.target.name,
        "labels" if target.target.has_labels else "axes": list(target.labels),
        "scores": _SCORES[target.target.kind],
    }


def _describe_input(
    loaded: LoadedModel, front_ends: nn.ModuleDict, modality: str
) -> dict[str, Any]:
    state = loaded.state
    kind = state.encoders[modality].input
    if kind == TOKENS and modality == TEXT:
        return _describe_text(loaded)
    if kind == TOKENS:
        return {
            **_describe_tokens(state, modality),
            "outside": f"the tokenizer of speech in {modality}/{TOKENIZER_FILE}, by data_prep",
        }
    if kind == PIXELS:
        return _describe_pictures(state, modality)
    if kind == WAVEFORM or modality in front_ends:
        return _describe_samples(loaded, front_ends, modality)
    name = "log-mel frames" if kind == LOG_MEL else f"features {state.encoders[modality].source}"
    return {
        "input": graph_name(modality, TENSOR_OF[kind]),
        "features": len(state.frame_statistics[modality].mean),
        "outside": f"{name} and their normalization are computed by emo_fairseq, since "
        f"{outside(loaded, modality)}",
    }


def _describe_samples(
    loaded: LoadedModel, front_ends: nn.ModuleDict, modality: str
) -> dict[str, Any]:
    options = loaded.state.options
    seconds: Any = options.max_speech_seconds
    if loaded.state.encoders[modality].input == FRAMES:
        seconds = loaded.processor.extractors[modality].settings.get("max_seconds")
    limits = {} if seconds is None else {"max_samples": int(float(seconds) * SAMPLE_RATE)}
    described = {
        "input": graph_name(modality, TENSOR_OF[WAVEFORM]),
        "about": "mono samples in [-1, 1], as they are: nothing is normalized before the graph",
        "sample_rate": SAMPLE_RATE,
        "min_samples": MIN_SAMPLES,
        **limits,
        "outside": "resampling and mixing to mono; what is longer than max_samples is truncated "
        f"at its end, what is shorter than min_samples ({WINDOW_MS} ms) is refused",
    }
    if modality in front_ends:
        described["inside"] = front_ends[modality].about
    return described


def _describe_pictures(state: TaskState, modality: str) -> dict[str, Any]:
    options, size = state.limits.picture_options(modality), state.encoders[modality].picture_size
    faces = {} if options.face_detector is None else {"faces": options.face_detector}
    crop = {} if size.shortest_edge is None else {"shortest_edge": size.shortest_edge}
    how = f"resized to {size.width} x {size.height}"
    if size.shortest_edge is not None:
        how = "resized to shortest_edge, and the middle cropped"
    of_faces = "cropped to a face, or left out without one, then " if faces else ""
    return {
        "input": graph_name(modality, TENSOR_OF[PIXELS]),
        "about": "pictures of red, green and blue from 0 to 255: scaled and normalized inside",
        "frames_per_second": options.rate,
        "max_pictures": options.max_pictures,
        "height": size.height,
        "width": size.width,
        **crop,
        "resample": _RESAMPLING[size.resample],
        **faces,
        "outside": f"decoding; the pictures are {of_faces}{how}, by Pillow's filter resample",
    }


def _describe_text(loaded: LoadedModel) -> dict[str, Any]:
    described = _describe_tokens(loaded.state, TEXT)
    normalizes = loaded.processor.normalizes_text
    described["normalize"] = (
        "mojibake repaired, quotes, dashes and ellipses as ASCII, runs of spaces as one"
        if normalizes
        else "line breaks and tabs as spaces"
    )
    if has_context(loaded.state.options):
        described["outside"] = "texts of neighboring turns are joined by emo_fairseq"
    return described


def _describe_tokens(state: TaskState, modality: str) -> dict[str, Any]:
    specials = state.vocabularies[modality].specials
    return {
        "input": graph_name(modality, TENSOR_OF[TOKENS]),
        "about": "first_token, the ids of the text without special tokens, last_token",
        "first_token": specials.init,
        "last_token": specials.separator,
        "padding_token": specials.pad,
        "vocabulary_size": state.vocabularies[modality].size,
        "max_tokens": state.limits.max_tokens(modality),
    }


def as_metadata(interface: Mapping[str, Any]) -> dict[str, str]:
    """Return a description as the ``metadata_props`` of a graph: a key each, values as JSON."""
    return {name: json.dumps(value) for name, value in interface.items()}


_ABOUT_PARTS = {
    "tokens": "ids of the text",
    "waveform": "samples",
    "frames": "normalized features",
    "pixels": "pictures of a row, (pictures, height, width, 3)",
    "padding_mask": "True where a row has ended",
    "present": "False for a row that lacks the modality, whatever its other inputs are",
    "focus": "True for the tokens of the turn itself",
    LOGITS: "see scores",
    EMBEDDING: "the vectors before the head",
}


def write_interface(file: Path, interface: Mapping[str, Any], graph: OnnxModel) -> None:
    """Write a description as YAML, with the inputs and outputs that the graph has."""
    graphs = {
        graph_file: {
            "inputs": [_describe_node(*node) for node in inputs],
            "outputs": [_describe_node(*node) for node in outputs],
        }
        for graph_file, (inputs, outputs) in graph.signatures().items()
    }
    file.write_text(dump_yaml({**interface, "graphs": graphs}), encoding="utf-8")


def _describe_node(name: str, kind: str, shape: list[Any]) -> dict[str, Any]:
    part = name.rpartition(".")[2] if not name.startswith(AUXILIARY) else LOGITS
    about = {"about": _ABOUT_PARTS[part]} if part in _ABOUT_PARTS else {}
    return {"name": name, "type": kind, "shape": shape, **about}

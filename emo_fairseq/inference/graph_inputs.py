"""What a graph reads: the inputs of its model, or samples where it computes the features itself."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from emo_fairseq.modalities import FRAMES, LOG_MEL, PIXELS, TOKENS, WAVEFORM
from emo_fairseq.task_state import TaskState

TENSOR_OF: Mapping[str, str] = {  # by what an encoder reads, the name of its tensor
    TOKENS: "tokens",
    WAVEFORM: "waveform",
    LOG_MEL: "frames",
    FRAMES: "frames",
    PIXELS: "pixels",
}
_UNLIMITED_SECONDS = 86_400.0  # of features without a limit: a day


def graph_name(modality: str, part: str) -> str:
    """Return the name of a graph's input.

    >>> graph_name("text", "tokens")
    'text.tokens'
    """
    return f"{modality}.{part}"


def modalities_inside(state: TaskState, inputs: Collection[str]) -> list[str]:
    """Return the modalities whose features a graph computes itself."""
    return [
        modality
        for modality in state.modalities
        if state.encoders[modality].input in (LOG_MEL, FRAMES)
        and graph_name(modality, TENSOR_OF[WAVEFORM]) in inputs
    ]


def state_of_graph(
    state: TaskState, inside: Collection[str], settings: Mapping[str, Mapping[str, Any]]
) -> TaskState:
    """Return the state of a model as its graph reads it."""
    encoders, options = dict(state.encoders), state.options
    for modality in inside:
        if encoders[modality].input == FRAMES:
            seconds = settings[modality].get("max_seconds") or _UNLIMITED_SECONDS
            options = options.model_copy(update={"max_speech_seconds": float(seconds)})
        encoders[modality] = replace(encoders[modality], input=WAVEFORM)
    return replace(state, encoders=encoders, options=options) if inside else state

"""Export the model of a model folder to one ONNX file.

The graph is everything from token ids, samples and pictures, with their masks, to logits, embedding
and auxiliary outputs; batch size and lengths are free. Log-mel frames, features of a pretrained
encoder and their normalization are computed inside (:mod:`emo_fairseq.export.front_ends`), and so
is the normalization of pictures, which have the size that their encoder reads; ``model.yaml``
describes what goes in and comes out (:mod:`emo_fairseq.export.interface`). Every export is compared
with the model before the file is kept. :mod:`emo_fairseq.inference.onnx_model` runs it.

A model of dialogues becomes two graphs: ``model.onnx`` ends with the embeddings of single turns,
and ``model.dialogue.onnx`` reads those of whole dialogues, of any number and length
(:mod:`emo_fairseq.modules.dialogue.base`). So a live conversation encodes each turn once.

torch's tracing exporter records the operations on one batch. Branches on the content of a mask
(fairseq's ``if padding_mask.any()``) come out the same for every batch, since masks without padding
hide nothing; what else depends on the batch is replaced before the model is traced.

Tested are encoders from scratch of text, samples and log-mel frames, all fusions, and Hugging
Face's BERT, wav2vec 2.0 and Whisper, wav2vec 1.0, and the encoders of pictures of
:mod:`emo_fairseq.pretrained.hf_video`. Others may be tried, and the comparison decides.
"""

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from data_prep.audio.frames import num_frames
from emo_fairseq.data.in_memory import InMemoryData
from emo_fairseq.data.normalization import RowGroups
from emo_fairseq.errors import UsageError
from emo_fairseq.export.dynamo import DYNAMO, OPSET, TRACE, export_by_dynamo
from emo_fairseq.export.example_batches import Batch, Check, make_batch, make_checks, make_dialogue
from emo_fairseq.export.flat_models import (
    FlatDialogueModel,
    FlatModel,
    flatten_input,
    flatten_output,
)
from emo_fairseq.export.front_ends import build_front_ends
from emo_fairseq.export.graph_files import save_graph
from emo_fairseq.export.interface import as_metadata, describe, write_interface
from emo_fairseq.export.tokenizer_json import write_tokenizer_json
from emo_fairseq.export.traceable import make_traceable
from emo_fairseq.inference.graph_folder import WEIGHTS_KEY
from emo_fairseq.inference.graph_inputs import graph_name, state_of_graph
from emo_fairseq.inference.input_processor import FeatureExtractor
from emo_fairseq.inference.model import LoadedModel, ModelOutput
from emo_fairseq.inference.model_folder.files import (
    GRAPH_FILE,
    INTERFACE_FILE,
    WEIGHTS_FILE,
    dialogue_graph,
)
from emo_fairseq.inference.model_folder.reading import read_model_folder
from emo_fairseq.inference.model_folder.records import seal
from emo_fairseq.inference.onnx_model import (
    DIALOGUE,
    TURN_EMBEDDING,
    OnnxModel,
    load_library,
    output_names,
)
from emo_fairseq.models.roberta_emo import RobertaEMOModel
from emo_fairseq.modules.standardization import Standardization
from emo_fairseq.option_values import BY_UTTERANCE
from emo_fairseq.pretrained.fairseq_wav2vec import Wav2VecEncoder
from emo_fairseq.pretrained.weights import weights_file_digest
from emo_fairseq.task_state import TaskState


def check_exportable(*parts: nn.Module) -> None:
    """Check that every encoder in a model, or in its front ends, can be traced.

    Raises:
        UsageError: one cannot; gives the reason.
    """
    for part in (module for whole in parts for module in whole.modules()):
        if isinstance(part, Wav2VecEncoder) and part.feature_extractor.skip_connections:
            raise UsageError(
                "a wav2vec 1.0 with skip connections between its convolutions over samples cannot "
                "be exported to ONNX: which samples they skip depends on the length of a row; "
                "serve the model folder as it is, without --onnx",
                "onnx-unsupported",
            )


TOLERANCE = 1e-4  # of logits, embeddings and auxiliary outputs, absolute
# Standardization multiplies what single precision rounds: then the tolerance is at least so many
# times the difference between the model and itself in double precision.
_ROUNDINGS = 4

_FRAMES_UNLIMITED = 4096  # of features without --max-frames


def export_onnx(folder: Path, check: int = 12, exporter: str = TRACE) -> float:
    """Export the model of a folder, and compare the graph with it.

    Args:
        folder: a model folder; see :mod:`emo_fairseq.inference.model_folder`. It gets
            ``model.onnx``. Weights of more than 2 GB are put beside it in a file of the same name
            that ends in ``.data``, and the second graph of a model of dialogues in one that
            :func:`dialogue_graph` names. ``config.json`` gets the records of all.
        check: batches to compare on, of one row and of several, of differing lengths.
        exporter: one of :data:`emo_fairseq.export.dynamo.EXPORTERS`.

    Returns:
        The largest absolute difference between the outputs of graph and model.

    Raises:
        UsageError: the model cannot be exported, a library is missing, or the outputs differ by
            more than :data:`TOLERANCE` and by more than rounding; then no file is left.
    """
    if check < 1:
        raise UsageError(
            f"--check {check}: a graph is compared on one batch at least", "option-out-of-range"
        )
    load_library("onnx")
    loaded = read_model_folder(folder)
    model = loaded.model.float()
    front_ends = build_front_ends(loaded)
    check_exportable(model, front_ends)
    state = _state_of_graph(loaded, front_ends)
    checks = make_checks(model, state, check)
    with torch.no_grad():
        outputs = [
            flatten_output(model(**frames_of_batch(loaded, front_ends, batch), dialogue=dialogue))
            for batch, dialogue in checks
        ]
        for part in (model, front_ends):
            make_traceable(part, _positions(state))
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{GRAPH_FILE}.") as unfinished:
        file = Path(unfinished) / GRAPH_FILE
        interface = describe(loaded, front_ends)
        metadata = {WEIGHTS_KEY: weights_digest(folder), **as_metadata(interface)}
        _trace(model, state, front_ends, file, metadata, exporter)
        if model.dialogue_encoder is not None:
            _trace_dialogues(model, state, dialogue_graph(file), metadata, exporter)
        settings = {name: x.settings for name, x in loaded.processor.extractors.items()}
        graph = OnnxModel(file, loaded.state, settings=settings)
        difference = _largest_difference(graph, checks, outputs)
        tolerance = TOLERANCE
        if difference > tolerance and any(isinstance(x, Standardization) for x in model.modules()):
            rounding = _rounding(folder, front_ends, checks, outputs)
            tolerance = max(tolerance, _ROUNDINGS * rounding)
        if not difference <= tolerance:  # NaN is not either
            raise UsageError(
                f"{GRAPH_FILE}: not written: its outputs differ from the model's by up to "
                f"{difference:.2g}, more than {tolerance:.2g}, on {check} made-up batches; use the "
                "model folder without ONNX",
                "graph-differs",
            )
        write_interface(Path(unfinished) / INTERFACE_FILE, interface, graph)
        for written in Path(unfinished).iterdir():
            written.replace(folder / written.name)
    write_tokenizer_json(folder, loaded)
    seal(folder)
    return difference


def compare_graphs(loaded: LoadedModel, exact: Path, other: Path, check: int) -> float:
    """Return the largest absolute difference between the outputs of two graphs of a model.

    Raises:
        UsageError: an output of the other one is not finite.
    """
    settings = {name: x.settings for name, x in loaded.processor.extractors.items()}
    graphs = [OnnxModel(file, loaded.state, settings=settings) for file in (exact, other)]
    checks = make_checks(loaded.model, graphs[0].state, check)
    outputs = [
        tuple(map(torch.from_numpy, _flatten(graphs[0].forward(_with_dialogue(*batch_of_check)))))
        for batch_of_check in checks
    ]
    difference = _largest_difference(graphs[1], checks, outputs)
    if not np.isfinite(difference):
        raise UsageError(
            f"{other.name}: not written: its outputs are not finite; use {exact.name}",
            "graph-differs",
        )
    return difference


def _state_of_graph(loaded: LoadedModel, front_ends: nn.ModuleDict) -> TaskState:
    settings = {name: x.settings for name, x in loaded.processor.extractors.items()}
    return state_of_graph(loaded.state, list(front_ends), settings)


def frames_of_batch(loaded: LoadedModel, front_ends: nn.ModuleDict, batch: Batch) -> Batch:
    """Return the batch that the model reads, with frames computed as in Python."""
    state, inputs = loaded.state, dict(batch)
    data = InMemoryData(state.options, state.modalities)
    data.set_encoders(state.encoders)
    for modality in front_ends:
        lengths = (~batch[modality]["padding_mask"]).sum(dim=1).tolist()
        waveforms, present = batch[modality]["waveform"].numpy(), batch[modality]["present"]
        samples = [row[:n] for row, n in zip(waveforms, lengths, strict=True)]
        contents: list[np.ndarray | None] = list(samples)
        if extractor := loaded.processor.extractors.get(modality):
            contents = [x.frames for x in FeatureExtractor(extractor, "cpu")(samples)]
        contents = [
            x if is_there else None for x, is_there in zip(contents, present.tolist(), strict=True)
        ]
        rows = data.build_rows(
            modality,
            contents,
            statistics=state.frame_statistics[modality],
            groups=RowGroups(state.normalize_by, [None] * len(contents))
            if state.normalize_by == BY_UTTERANCE
            else None,
        )
        collated = rows.collate(range(len(contents)))
        inputs[modality] = {name: torch.from_numpy(x) for name, x in collated.items()}
    return inputs


def weights_digest(folder: Path) -> str:
    """Return the SHA-256 of a model folder's weights."""
    return weights_file_digest(folder / WEIGHTS_FILE)


def _positions(state: TaskState) -> int:
    """Return the most frames of a row, before subsampling."""
    of_audio = num_frames(int(state.options.max_speech_seconds * 16_000))
    return max(of_audio, state.options.max_frames or _FRAMES_UNLIMITED)


def _trace(
    model: RobertaEMOModel,
    state: TaskState,
    front_ends: nn.ModuleDict,
    file: Path,
    metadata: dict[str, str],
    exporter: str,
) -> None:
    # Several rows with padding, or the graph would support neither.
    example = flatten_input(make_batch(state, (0.3, 0.7, 0.5), torch.Generator().manual_seed(0)))
    names = list(example)
    axes = {
        graph_name(*name): {0: "batch"} | ({1: f"{name[0]}_length"} if x.ndim > 1 else {})
        for name, x in example.items()
    }
    is_last = model.dialogue_encoder is None
    outputs = output_names(state) if is_last else [TURN_EMBEDDING]
    axes |= {name: {0: "batch"} for name in outputs}
    named = {graph_name(*name): x for name, x in example.items()}
    _write_graph(
        FlatModel(model, names, front_ends), named, outputs, axes, file, metadata, exporter
    )


def _trace_dialogues(
    model: RobertaEMOModel,
    state: TaskState,
    file: Path,
    metadata: dict[str, str],
    exporter: str,
) -> None:
    generator = torch.Generator().manual_seed(0)
    dialogue = make_dialogue(7, 3, generator)
    example = {
        TURN_EMBEDDING: torch.randn(7, model.embedding.output_dim, generator=generator),
        **{graph_name(DIALOGUE, name): x for name, x in dialogue.items()},
    }
    axes = {
        name: {0: "windows", 1: "dialogue_length"} if x.ndim > 1 else {0: "scored"}
        for name, x in example.items()
    }
    axes[TURN_EMBEDDING] = {0: "batch"}
    outputs = output_names(state)
    axes |= {name: {0: "scored"} for name in outputs}
    flat = FlatDialogueModel(model, list(dialogue))
    _write_graph(flat, example, outputs, axes, file, metadata, exporter)


def _write_graph(
    flat: nn.Module,
    example: Mapping[str, Tensor],
    outputs: Sequence[str],
    axes: Mapping[str, Mapping[int, str]],
    file: Path,
    metadata: dict[str, str],
    exporter: str,
) -> None:
    """Trace a model of positional tensors on an example, and write the graph with its metadata.

    Weights that are too large for the file are put beside it.
    """
    onnx = load_library("onnx")
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        traced = Path(folder) / file.name  # above the limit the exporter writes a file a tensor
        with torch.no_grad(), warnings.catch_warnings():
            # That branches are recorded as one batch takes them is wanted, see the module's
            # docstring; and only the older exporter records them so, torch.export refuses them.
            warnings.simplefilter("ignore")
            if exporter == DYNAMO:
                export_by_dynamo(flat.eval(), example, outputs, axes, traced)
            else:
                torch.onnx.export(
                    flat.eval(),
                    tuple(example.values()),
                    str(traced),
                    input_names=list(example),
                    output_names=list(outputs),
                    dynamic_axes=axes,
                    opset_version=OPSET,
                    dynamo=False,
                )
        graph = onnx.load(str(traced))
    save_graph(graph, file, metadata)


def _with_dialogue(batch: Batch, dialogue: dict[str, Tensor] | None) -> Batch:
    return batch if dialogue is None else {**batch, DIALOGUE: dialogue}


def _flatten(output: ModelOutput) -> tuple[np.ndarray, ...]:
    return output.logits, output.embedding, *output.auxiliary.values()


def _rounding(
    folder: Path,
    front_ends: nn.ModuleDict,
    checks: Sequence[Check],
    outputs: Sequence[tuple[Tensor, ...]],
) -> float:
    """Return the largest difference of outputs from those of the model in double precision."""
    loaded = read_model_folder(folder)
    model = loaded.model.double()
    differences = []
    with torch.no_grad():
        for (batch, dialogue), output in zip(checks, outputs, strict=True):
            inputs = frames_of_batch(loaded, front_ends, batch)
            exact = flatten_output(model(**inputs, dialogue=dialogue))
            differences += [
                float((one - other).abs().max()) for one, other in zip(output, exact, strict=True)
            ]
    return max(differences)


def _largest_difference(
    graph: OnnxModel, checks: Sequence[Check], outputs: Sequence[tuple[Tensor, ...]]
) -> float:
    differences = [
        float(np.abs(actual - expected.numpy()).max())
        for (batch, dialogue), output in zip(checks, outputs, strict=True)
        for actual, expected in zip(
            _flatten(graph.forward(_with_dialogue(batch, dialogue))), output, strict=True
        )
    ]
    return max(differences, key=lambda x: (x != x, x))  # a NaN is the largest of all

"""A model folder's model as one ONNX file, and a predictor that runs it.

The graph is everything between the leaves of the data (token ids, samples, log-mel frames, their
masks) and logits, embedding and auxiliary outputs; batch and lengths are free. Tokenizers and the
log-mel front end stay in Python. Every export is compared with the model before the file is kept.

Tested are encoders from scratch of text, samples and log-mel frames, all fusions, and Hugging
Face's BERT and wav2vec 2.0. With others it may be tried, and the comparison decides; Whisper and
wav2vec 1.0 cannot be exported, see :mod:`emo_fairseq.export.onnx_graph`.
"""

import json
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch

from data_prep.audio.frames import num_frames
from emo_fairseq.errors import UsageError
from emo_fairseq.export.onnx_graph import (
    FlatModel,
    check_exportable,
    flatten,
    graph_name,
    in_a_row,
    make_traceable,
    output_names,
)
from emo_fairseq.export.onnx_inputs import Batch, check_batches, make_batch, placeholder
from emo_fairseq.export.onnx_session import OnnxModel, library
from emo_fairseq.inference.folder_records import GRAPH_FILE, seal, verify_graph
from emo_fairseq.inference.model_folder import WEIGHTS_FILE, read_config, read_model_folder
from emo_fairseq.inference.predictor import EmotionPredictor
from emo_fairseq.models.roberta_emo import RobertaEMOModel
from emo_fairseq.pretrained.digests import weights_file_digest

TOLERANCE = 1e-4  # of logits, embeddings and auxiliary outputs, absolute

_OPSET = 18
_ONE_FILE = 1_900_000_000  # bytes; protobuf allows 2 GiB, weights and graph together
_EXTERNAL = ".data"  # what the weights of a larger model are written to, beside the graph
# Keys of the graph's metadata: the model that it was exported from, and its outputs.
_WEIGHTS, _LABELS = "weights_sha256", "labels"
_FRAMES_UNLIMITED = 4096  # of features without --max-frames


def export_onnx(folder: Path, out: Path | None = None, check: int = 12) -> float:
    """Export the model of a folder, and compare the graph with it.

    Args:
        folder: a model folder; see :mod:`emo_fairseq.export.model_folder`.
        out: the file; by default ``model.onnx`` in the folder. Weights of more than 2 GB are put
            beside it in a file of the same name that ends in ``.data``. In the folder, its
            ``config.json`` gets the records of both.
        check: batches to compare on, of one row and of several, of differing lengths.

    Returns:
        The largest absolute difference that was seen.

    Raises:
        UsageError: the model cannot be exported, a library is missing, or the graph answers
            otherwise than the model by more than :data:`TOLERANCE`; then no file is left.
    """
    if check < 1:
        raise UsageError(f"--check {check}: a graph is compared on one batch at least")
    library("onnx")
    out = out or folder / GRAPH_FILE
    task, model, *_ = read_model_folder(folder)
    model = model.float()
    check_exportable(model)
    batches = check_batches(task, check)
    with torch.no_grad():
        answers = [in_a_row(model(**batch)) for batch in batches]
        make_traceable(model, _positions(task))
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as unfinished:
        file = Path(unfinished) / out.name
        _trace(model, task, file)
        facts = {_WEIGHTS: weights_digest(folder), _LABELS: json.dumps(list(task.labels))}
        _finish(file, model, facts)
        graph = OnnxModel(file, _placeholders(task), output_names(model))
        difference = _largest_difference(graph, batches, answers)
        if not difference <= TOLERANCE:  # NaN is not either
            raise UsageError(
                f"{out.name}: not written: its answers differ from the model's by up to "
                f"{difference:.2g}, more than {TOLERANCE:g}, on {check} made-up batches; use the "
                "model folder without ONNX"
            )
        for written in Path(unfinished).iterdir():
            written.replace(out.parent / written.name)
    if out.parent.resolve() == folder.resolve():
        seal(folder)
    return difference


class OnnxPredictor(EmotionPredictor):
    """A predictor whose model is a graph; everything before and after it is the same."""

    @classmethod
    def from_folder(cls, folder: Path | str) -> "OnnxPredictor":
        """Of a model folder in which there is a ``model.onnx``.

        Raises:
            UsageError: there is none, it is damaged, or it is of other weights than the folder's.
        """
        folder = Path(folder)
        file = folder / GRAPH_FILE
        loaded = read_model_folder(folder)
        if not file.is_file():
            raise UsageError(
                f"{file}: there is no such file; make it with `emotion-recognize export CHECKPOINT "
                f"--output {folder} --onnx`"
            )
        verify_graph(folder, read_config(folder).model_dump()["files"])
        graph = OnnxModel(file, _placeholders(loaded.task), output_names(loaded.model))
        if graph.facts.get(_WEIGHTS) != weights_digest(folder):
            raise UsageError(
                f"{file}: was exported from other weights than {folder / WEIGHTS_FILE}; export it "
                "again"
            )
        labels = json.dumps(list(loaded.task.labels))
        if graph.facts.get(_LABELS, labels) != labels:
            raise UsageError(f"{file}: was exported with other labels; export it again")
        return cls(loaded._replace(model=cast(RobertaEMOModel, graph.eval())))


def weights_digest(folder: Path) -> str:
    """SHA-256 of a model folder's weights."""
    return weights_file_digest(folder / WEIGHTS_FILE)


def _positions(task: Any) -> int:
    """The most frames of a row, before any are subsampled."""
    of_audio = num_frames(int(task.cfg.max_speech_seconds * 16_000))
    return max(of_audio, task.cfg.max_frames or _FRAMES_UNLIMITED)


def _placeholders(task: Any) -> Batch:
    return {modality: placeholder(task, modality) for modality in task.modalities}


def _trace(model: Any, task: Any, file: Path) -> None:
    # Several rows with padding, or the graph would not know of either.
    example = flatten(make_batch(task, (0.3, 0.7, 0.5), torch.Generator().manual_seed(0)))
    names = list(example)
    axes = {
        graph_name(name): {0: "batch"} | ({1: f"{name[0]}_length"} if x.ndim > 1 else {})
        for name, x in example.items()
    }
    outputs = output_names(model)
    axes |= {name: {0: "batch"} for name in outputs}
    with torch.no_grad(), warnings.catch_warnings():
        # That branches are drawn as one batch takes them is wanted, see onnx_graph; and it is
        # only the older exporter that draws them so, torch.export refuses them.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            FlatModel(model, names).eval(),
            tuple(example.values()),
            str(file),
            input_names=[graph_name(name) for name in names],
            output_names=outputs,
            dynamic_axes=axes,
            opset_version=_OPSET,
            dynamo=False,
        )


def _finish(file: Path, model: Any, facts: dict[str, str]) -> None:
    """Write the facts into the file, and weights that are too large for it beside it."""
    onnx = library("onnx")
    graph = onnx.load(str(file))
    onnx.helper.set_model_props(graph, facts)
    size = sum(x.numel() * x.element_size() for x in (*model.parameters(), *model.buffers()))
    for written in list(file.parent.iterdir()):
        written.unlink()  # above the limit the exporter writes a file a tensor
    if size <= _ONE_FILE:
        onnx.save_model(graph, str(file))
        return
    place = f"{file.name}{_EXTERNAL}"
    onnx.save_model(graph, str(file), save_as_external_data=True, location=place)


def _largest_difference(
    graph: OnnxModel, batches: Sequence[Batch], answers: Sequence[tuple[torch.Tensor, ...]]
) -> float:
    differences = [
        float((found - expected).abs().max())
        for batch, answer in zip(batches, answers, strict=True)
        for found, expected in zip(in_a_row(graph(**batch)), answer, strict=True)
    ]
    return max(differences, key=lambda x: (x != x, x))  # a NaN is the largest of all

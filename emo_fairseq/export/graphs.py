"""Write the graphs of a model folder in several precisions, and measure what each costs."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.names import display_name
from emo_fairseq.export.dynamo import TRACE
from emo_fairseq.export.graph_files import EXTERNAL
from emo_fairseq.export.graph_rows import Measured, RowSource, calibration_batches, measure
from emo_fairseq.export.onnx import compare_graphs, export_onnx
from emo_fairseq.export.quantization import write_fp16, write_int8
from emo_fairseq.inference.model_folder.files import FP16, FP32, GRAPH_FILES, INT8, dialogue_graph
from emo_fairseq.inference.model_folder.reading import read_model_folder
from emo_fairseq.inference.model_folder.records import seal
from emo_fairseq.inference.predictor import EmotionPredictor, load_predictor

DYNAMIC, STATIC = "dynamic", "static"


@dataclass(frozen=True)
class GraphOptions:
    """Which graphs are written.

    Attributes:
        precisions: beside that in single precision, of ``fp16`` and ``int8``.
        check: made-up batches that the graph is compared on.
        calibration_rows: of the train split, that the ranges of int8's activations are measured on;
            0: they are measured as each input comes.
        metrics_split: that the metrics of all graphs are measured on; None: they are not.
        source: the data dir of both; None without.
        exporter: one of :data:`emo_fairseq.export.dynamo.EXPORTERS`.
    """

    precisions: Sequence[str] = ()
    check: int = 12
    calibration_rows: int = 0
    metrics_split: str | None = None
    source: RowSource | None = None
    exporter: str = TRACE


@dataclass(frozen=True)
class GraphReport:
    """What is known of one graph.

    Attributes:
        file: its name.
        precision: a key of :data:`emo_fairseq.inference.model_folder.files.GRAPH_FILES`.
        megabytes: of the file, and of the weights beside it.
        quantization: ``dynamic`` or ``static`` of int8; else empty.
        difference: the largest of its outputs to the model's on made-up batches, or to those of the
            graph in single precision.
        measured: its metrics; None without.
    """

    file: str
    precision: str
    megabytes: float
    quantization: str
    difference: float
    measured: Measured | None = None

    def describe(self) -> str:
        """Return what is known of it, as the end of a sentence."""
        parts = [f"{self.megabytes:.0f} MB" if self.megabytes >= 1 else "less than 1 MB"]
        if self.quantization:
            parts.append(f"{self.quantization} int8")
        peer = "the model" if self.precision == FP32 else GRAPH_FILES[FP32]
        parts.append(f"differs from {peer} by {self.difference:.1g} at most on made-up batches")
        if self.measured is not None:
            metrics = [f"{display_name(k)} {x:.4f}" for k, x in self.measured.metrics.items()]
            parts.append(f"{', '.join(metrics)} on {self.measured.split}")
        return ", ".join(parts)


def export_graphs(folder: Path, options: GraphOptions) -> list[GraphReport]:
    """Write the graphs of a model folder, that in single precision first, and record all of them.

    Raises:
        UsageError: the model cannot be exported, or there are no rows to calibrate or to measure
            on; what was written before that stays in `folder`, which is to be thrown away.
    """
    if (options.calibration_rows or options.metrics_split) and options.source is None:
        option = "--calibrate" if options.calibration_rows else "--onnx-metrics"
        raise UsageError(
            f"{option}: the data dir of the training is gone; give one by --data", "data-missing"
        )
    differences = {FP32: export_onnx(folder, check=options.check, exporter=options.exporter)}
    for precision in options.precisions:
        _write(folder, precision, options)
        exact, other = (folder / GRAPH_FILES[name] for name in (FP32, precision))
        loaded = read_model_folder(folder)
        differences[precision] = compare_graphs(loaded, exact, other, options.check)
    quantization = STATIC if options.calibration_rows else DYNAMIC
    measured = _measure(folder, options)
    return [
        GraphReport(
            GRAPH_FILES[precision],
            precision,
            _megabytes(folder / GRAPH_FILES[precision]),
            quantization if precision == INT8 else "",
            differences[precision],
            measured.get(precision),
        )
        for precision in (FP32, *options.precisions)
    ]


def _write(folder: Path, precision: str, options: GraphOptions) -> None:
    graph, out = folder / GRAPH_FILES[FP32], folder / GRAPH_FILES[precision]
    if precision == FP16:
        write_fp16(graph, out)
    else:
        batches = None
        if options.calibration_rows:
            assert options.source is not None
            predictor = load_predictor(folder, onnx=True, precision=FP32)
            batches = calibration_batches(predictor, options.source, options.calibration_rows)
        write_int8(graph, out, batches)
    if (of_dialogues := dialogue_graph(graph)).is_file():  # small: it stays as it is
        shutil.copyfile(of_dialogues, dialogue_graph(out))
    seal(folder)


def _megabytes(file: Path) -> float:
    files = [file, file.with_name(f"{file.name}{EXTERNAL}")]
    return sum(part.stat().st_size for part in files if part.is_file()) / 1e6


def _measure(folder: Path, options: GraphOptions) -> dict[str, Measured]:
    """Return the metrics of each graph, by its precision."""
    if options.metrics_split is None:
        return {}
    assert options.source is not None
    target = read_model_folder(folder).state.target
    predictors: Mapping[str, EmotionPredictor] = {
        precision: load_predictor(folder, onnx=True, precision=precision)
        for precision in (FP32, *options.precisions)
    }
    return {
        precision: measure(predictor, options.source, options.metrics_split, target)
        for precision, predictor in predictors.items()
    }

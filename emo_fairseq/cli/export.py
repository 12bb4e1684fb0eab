"""``emotion-recognize export``: write a checkpoint as a model folder with its card, and as ONNX."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_prep.number_types import positive_int
from emo_fairseq.cli.checkpoints import check_supported_inputs, find_checkpoint
from emo_fairseq.cli.evaluate.combination_options import (
    BALANCED,
    COMBINATIONS,
    STACK,
    check_balanced,
)
from emo_fairseq.cli.processes import write
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.model_folder.files import FP16, INT8, is_model_folder
from emo_fairseq.requirements import require_training_stack

if TYPE_CHECKING:
    from emo_fairseq.export.graphs import GraphReport

_BATCHES = 12  # default of `--check`
_EXPORTERS = ("trace", "dynamo")  # as emo_fairseq.export.dynamo has them
_PRECISIONS = (FP16, INT8)


def add(subcommands: Any, about: str) -> None:
    """Add the parser."""
    parser: argparse.ArgumentParser = subcommands.add_parser(
        "export", help=about, description=about
    )
    parser.set_defaults(run=run, takes_further=False, loads_models=True)
    option = parser.add_argument
    which = "checkpoint, or folder of a training (its best checkpoint); several with --combine"
    option("models", type=Path, nargs="+", metavar="CHECKPOINT", help=which)
    own = "data dir with the tokenizers and corpus.yaml (default: that of the training)"
    option("--data", type=Path, metavar="DIR", help=own)
    named = "folder to write; with / at its end, to a folder in it named after the model"
    option("--output", required=True, metavar="DIR", help=named)
    how = (
        "write an ensemble, of checkpoints or model folders: mean of the outputs, vote of the "
        "labels, or stack: a linear model, fitted on --predictions of each on a split such as valid"
    )
    option("--combine", choices=COMBINATIONS, help=how)
    option("--balanced", action="store_true", help=BALANCED)
    option("--merge-lora", action="store_true", help="add the updates of LoRA to the weights")
    figures = "saved predictions, whose metrics go into the card"
    option("--predictions", type=Path, nargs="+", default=[], metavar="FILE", help=figures)
    option(
        "--onnx",
        action="store_true",
        help="write model.onnx, too, if its outputs are those of the model",
    )
    checked = f"random batches that model.onnx is compared on (default: {_BATCHES})"
    option("--check", type=positive_int, metavar="N", help=checked)
    how = (
        "how model.onnx is made: trace records the operations on one batch (default), dynamo is "
        "torch.export, which refuses some models"
    )
    option("--onnx-exporter", choices=_EXPORTERS, help=how)
    more = "write model.int8.onnx or model.fp16.onnx beside model.onnx"
    option("--onnx-precision", nargs="+", choices=_PRECISIONS, default=[], help=more)
    ranges = (
        "measure the ranges of activations of int8 on N rows of the train split (static; default: "
        "on each input, dynamic)"
    )
    option("--calibrate", type=positive_int, metavar="N", help=ranges)
    cost = "measure the metrics of all ONNX graphs on this split, for the card"
    option("--onnx-metrics", metavar="SPLIT", help=cost)
    option(
        "--data-raw",
        type=Path,
        metavar="DIR",
        help="folder that paths of audio are relative to, for --calibrate and --onnx-metrics",
    )


def run(options: argparse.Namespace) -> int:
    """Write the folder.

    Raises:
        UsageError: no checkpoint of this package, or one that cannot be exported; an existing
            folder stays unchanged then, with its graph.
    """
    _check_graph_options(options)
    check_balanced(options)
    require_training_stack("emotion-recognize export")
    if options.combine or len(options.models) > 1:
        return _export_ensemble(options)
    from emo_fairseq.export.model_card import write_card
    from emo_fairseq.export.model_folder import write_model_folder

    checkpoint = find_checkpoint(options.models[0], takes_folders=False)
    out = Path(options.output)
    name = out.resolve().name
    if options.output.endswith("/"):
        from emo_fairseq.export.naming import folder_name

        name = _title(checkpoint)
        out /= folder_name(name)
    notes = [f"{out}: written; its card is {out / 'README.md'}"]

    def complete(folder: Path) -> None:
        _check_inputs(folder, checkpoint, options.data)
        graphs = _write_graphs(folder, checkpoint, options) if options.onnx else []
        notes.extend(f"{out / graph.file}: written; {graph.describe()}" for graph in graphs)
        write_card(folder, checkpoint, options.data, options.predictions, name, graphs)

    write_model_folder(
        checkpoint, options.data, out, merge_lora=options.merge_lora, finish=complete
    )
    for note in notes:
        write(note)
    return 0


def _check_graph_options(options: argparse.Namespace) -> None:
    needs_onnx = ("check", "onnx_exporter", "onnx_precision", "calibrate", "onnx_metrics")
    for name in needs_onnx if not options.onnx else ():
        if getattr(options, name):
            raise UsageError(
                f"--{name.replace('_', '-')} does not act: there is no --onnx; leave it out",
                "check-without-onnx",
            )
    if options.calibrate and INT8 not in options.onnx_precision:
        raise UsageError(
            "--calibrate does not act: there is no --onnx-precision int8; leave it out",
            "option-idle",
        )
    if options.data_raw and not (options.calibrate or options.onnx_metrics):
        raise UsageError(
            "--data-raw does not act: there is no --calibrate and no --onnx-metrics; leave it out",
            "option-idle",
        )


def _write_graphs(
    folder: Path, checkpoint: Path, options: argparse.Namespace
) -> "list[GraphReport]":
    from data_prep.schema import CORPUS_FILE
    from emo_fairseq.export.graph_rows import RowSource
    from emo_fairseq.export.graphs import GraphOptions, export_graphs
    from emo_fairseq.inference.checkpoint import read_checkpoint

    source = None
    if options.calibrate or options.onnx_metrics:
        task = read_checkpoint(checkpoint)["cfg"].task
        data = Path(options.data or task.data)
        if (data / CORPUS_FILE).is_file():
            # The folders of recordings hold for the data dir of the training alone.
            own = task if data.resolve() == Path(task.data).resolve() else {}
            raws = options.data_raw or own.get("data_raw"), own.get("video_raw")
            audio, video = (None if raw is None else Path(raw) for raw in raws)
            source = RowSource(data, audio, task.get("fold"), video)
    return export_graphs(
        folder,
        GraphOptions(
            precisions=tuple(dict.fromkeys(options.onnx_precision)),
            check=options.check or _BATCHES,
            calibration_rows=options.calibrate or 0,
            metrics_split=options.onnx_metrics,
            source=source,
            exporter=options.onnx_exporter or _EXPORTERS[0],
        ),
    )


def _export_ensemble(options: argparse.Namespace) -> int:
    if len(options.models) == 1 or options.combine is None:
        given = "one model" if options.combine else f"{len(options.models)} models and no --combine"
        raise UsageError(
            f"export: {given}; give several with --combine, or one without", "combine-one-model"
        )
    if options.combine == STACK and len(options.predictions) != len(options.models):
        raise UsageError(
            f"--combine stack: {len(options.models)} models and {len(options.predictions)} files "
            "of --predictions; give a file for each model, in their order",
            "option-incomplete",
        )
    for name in ("onnx",) if options.combine == STACK else ("onnx", "predictions"):
        if getattr(options, name):
            raise UsageError(
                f"--{name}: does not act with --combine; export that model by itself", "option-idle"
            )
    if options.output.endswith("/"):
        raise UsageError(
            f"--output {options.output}: an ensemble has no name of its own; give its folder "
            "without / at the end",
            "option-incomplete",
        )
    import emo_fairseq
    from emo_fairseq.cli.score_table import rows_by_id
    from emo_fairseq.export.ensemble import check_order, fit_stacking, write_ensemble_folder
    from emo_fairseq.inference.ensemble import Combination

    emo_fairseq.register()
    models = [
        model if is_model_folder(model) else find_checkpoint(model) for model in options.models
    ]
    combination, labels = Combination(options.combine), None
    if options.combine == STACK:
        check_order(models, options.predictions)

        def speakers_of(split: str) -> dict[str, str | None]:
            rows = {} if options.data is None else rows_by_id(options.data, split)
            return {id_: row.speaker for id_, row in rows.items()}

        combination, labels = fit_stacking(options.predictions, speakers_of, options.balanced)
    out = write_ensemble_folder(
        models,
        combination,
        Path(options.output),
        options.data,
        labels=labels,
        merge_lora=options.merge_lora,
    )
    write(f"{out}: written, an ensemble of {len(options.models)} models")
    return 0


def _check_inputs(folder: Path, checkpoint: Path, data: Path | None) -> None:
    """Raise a `UsageError` if a folder, not yet in place, could not preprocess any input."""
    from emo_fairseq.inference.model_folder.config import read_config

    config = read_config(folder)
    modalities, missing = [*config.state.encoders], config.front_end.missing
    check_supported_inputs(checkpoint, modalities, missing, data)


def _title(checkpoint: Path) -> str:
    from emo_fairseq.export.naming import title_of
    from emo_fairseq.inference.checkpoint import read_checkpoint
    from emo_fairseq.options import legacy_flags

    cfg = read_checkpoint(checkpoint)["cfg"]
    task = cfg.task
    return title_of(task, cfg.model, legacy_flags.modalities(task), legacy_flags.target(task).name)

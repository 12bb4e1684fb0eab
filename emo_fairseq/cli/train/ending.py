"""The end of a training: its score on the test split beside baselines, and what to do next."""

import argparse
import importlib.util
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.manifest.audio_root import audio_root, video_root
from data_prep.schema import Utterance
from emo_fairseq.cli import processes
from emo_fairseq.cli.evaluate import fairseq_command
from emo_fairseq.cli.evaluate.training_record import Training
from emo_fairseq.cli.train.data import DataFolder
from emo_fairseq.cli.train.inputs import Inputs
from emo_fairseq.types import SPEECH, TEXT, VIDEO

PREDICTIONS, REPORT = "predictions.tsv", "report"
_PROGRAM = "emotion-recognize"


@dataclass(frozen=True)
class Scored:
    """A model whose predictions are saved.

    Attributes:
        name: heads its column of the summary.
        checkpoint: that was scored.
        predictions: of the test split.
    """

    name: str
    checkpoint: Path
    predictions: Path


def score_words(
    options: argparse.Namespace, data: DataFolder, split: str, checkpoint: Path, predictions: Path
) -> list[str]:
    """Return the fairseq-validate command that scores a checkpoint and saves its predictions."""
    training = Training(options.fold, data.folder, None)
    scoring = argparse.Namespace(
        data=data.folder,
        data_raw=data.data_raw,
        split=split,
        batch_size=32,
        save_predictions=predictions,
        cpu=options.cpu,
        further=[],
    )
    return fairseq_command.command(scoring, checkpoint, training)


def report_words(data: DataFolder, predictions: Path, log: Path | None, name: str) -> list[str]:
    """Return the command that writes the page and the figures of a scored split."""
    words = processes.module("emo_fairseq.report", predictions, "--title", name)
    if importlib.util.find_spec("matplotlib") is None:
        return words  # a table and metrics.json; the summary names the extra
    words += ["--output", str(predictions.with_name(REPORT))]
    if not data.is_legacy:
        words += ["--data", str(data.folder)]
        words += [] if data.data_raw is None else ["--data-raw", str(data.data_raw)]
    return words if log is None else [*words, "--log", str(log)]


# -- the summary -----------------------------------------------------------------------------------


def summary_lines(
    data: DataFolder, inputs: Inputs, models: Sequence[Scored], has_report: bool
) -> Iterator[str]:
    """Yield metrics with intervals beside the baselines, the files, and the next commands.

    Args:
        data: that was scored.
        inputs: of the training.
        models: the first is the one that was trained; its baselines follow.
        has_report: whether its report is written.
    """
    from emo_fairseq.cli.score_table import rows_by_id, table_lines
    from emo_fairseq.evaluation.statistics import read_predictions

    rows = rows_by_id(data.folder, inputs.test)
    predictions = {model.name: read_predictions(model.predictions)[inputs.test] for model in models}
    yield from table_lines(inputs.test, predictions, rows)
    yield ""
    trained = models[0]
    files = {"checkpoint": trained.checkpoint, "predictions": trained.predictions}
    for name, file in {**files, **(_report_files(trained) if has_report else {})}.items():
        yield f"{name:<12} {file}"
    yield ""
    yield "next:"
    for words in _next_commands(data, trained, inputs, rows):
        yield f"  {shlex.join(words)}"


def _report_files(model: Scored) -> dict[str, str]:
    folder = model.predictions.with_name(REPORT)
    if folder.is_dir():
        return {"metrics": f"{folder}/metrics.json", "report": f"{folder}/report.html"}
    missing = 'none: it needs matplotlib, pip install -e ".[report]"'
    return {"metrics": str(model.predictions.with_name("metrics.json")), "report": missing}


def _next_commands(
    data: DataFolder, model: Scored, inputs: Inputs, rows: Mapping[str, Utterance]
) -> Iterator[list[str]]:
    """Yield the commands that predict for an input of the data, analyze a recording, and serve."""
    folder = str(model.checkpoint.parent)
    example = next(iter(_examples(data, inputs, rows)), None)
    if example is not None:
        yield [_PROGRAM, "predict", folder, *example]
    if SPEECH in inputs.modalities:
        yield [_PROGRAM, "analyze", folder, "RECORDING"]
    yield [_PROGRAM, "serve", folder]


def _examples(
    data: DataFolder, inputs: Inputs, rows: Mapping[str, Utterance]
) -> Iterator[list[str]]:
    """Yield the words of inputs that predict takes, as the rows of the data have them."""
    root = audio_root(data.folder, data.data_raw, must_exist=False)
    videos = video_root(data.folder, None, data.data_raw, must_exist=False)
    for row in rows.values():
        audio = None if row.audio is None else root / row.audio
        if SPEECH in inputs.modalities and audio is not None and audio.is_file():
            has_text = TEXT in inputs.modalities and row.text
            yield [str(audio), *(("--text", str(row.text)) if has_text else ())]
        elif VIDEO in inputs.modalities and row.video is not None:
            yield [str(videos / row.video)]
        elif TEXT in inputs.modalities and SPEECH not in inputs.modalities and row.text:
            yield ["--text", row.text]

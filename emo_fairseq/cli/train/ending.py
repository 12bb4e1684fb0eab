"""The end of a training: its score on the test split beside baselines, and what to do next."""

import argparse
import importlib.util
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.features.stored import CARD_FILE, features_folder
from data_prep.manifest.audio_root import audio_root, video_root
from data_prep.schema import Utterance
from emo_fairseq.cli import processes
from emo_fairseq.cli.evaluate import fairseq_command
from emo_fairseq.cli.evaluate.training_record import Training
from emo_fairseq.cli.train.data import DataFolder
from emo_fairseq.cli.train.inputs import Inputs
from emo_fairseq.encoder_spec import features_name
from emo_fairseq.modalities import SPEECH, TEXT, VIDEO

PREDICTIONS, REPORT = "predictions.tsv", "report"
_REASONS = 3  # for which rows were left out of the data, in the summary
_FEW_SPEAKERS = 10  # of a test split, below which folds are suggested
_FOLDS = "k_fold"  # the protocol of these
_QUICK = "--quick"
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


def report_words(
    data: DataFolder,
    predictions: Path,
    log: Path | None,
    name: str,
    baseline: Path | None = None,
) -> list[str]:
    """Return the command that writes the page and the figures of a scored split."""
    words = processes.module("emo_fairseq.report", predictions, "--title", name)
    if importlib.util.find_spec("matplotlib") is None:
        return words  # a table and metrics.json; the summary names the extra
    words += ["--output", str(predictions.with_name(REPORT))]
    if not data.is_legacy:
        words += ["--data", str(data.folder)]
        words += [] if data.data_raw is None else ["--data-raw", str(data.data_raw)]
    words += [] if baseline is None else ["--baseline", str(baseline)]
    return words if log is None else [*words, "--log", str(log)]


# -- the summary -----------------------------------------------------------------------------------


def summary_lines(
    options: argparse.Namespace,
    data: DataFolder,
    inputs: Inputs,
    models: Sequence[Scored],
    has_report: bool,
    has_next: bool = True,
) -> Iterator[str]:
    """Yield metrics with intervals beside the baselines, rows, files, and the next commands.

    The first model is the one that was trained; its baselines follow.
    """
    from emo_fairseq.cli.score_table import rows_by_id, table_lines
    from emo_fairseq.evaluation.statistics import read_predictions

    rows = rows_by_id(data.folder, inputs.test)
    predictions = {model.name: read_predictions(model.predictions)[inputs.test] for model in models}
    yield from table_lines(inputs.test, predictions, rows)
    yield ""
    yield from _row_lines(data, inputs)
    trained = models[0]
    files = {"checkpoint": trained.checkpoint, "predictions": trained.predictions}
    for name, file in {**files, **(_report_files(trained) if has_report else {})}.items():
        yield f"{name:<12} {file}"
    if not has_next:
        return
    yield ""
    yield "next:"
    for words in next_commands(options, data, trained, inputs, rows):
        yield f"  {shlex.join(words)}"


def _row_lines(data: DataFolder, inputs: Inputs) -> Iterator[str]:
    """Yield how many rows of each split are used, and why others were left out of the data."""
    from data_prep.manifest.summary import group_dropped
    from data_prep.schema import CORPUS_FILE, read_corpus

    if not inputs.usable:
        return
    counts = [
        f"{split} {n:,}" if n == n_all else f"{split} {n:,} of {n_all:,}"
        for split, (n, n_all) in inputs.usable.items()
    ]
    has_unused = any(n < n_all for n, n_all in inputs.usable.values())
    unused = f"; the others lack the {inputs.target} or an input" if has_unused else ""
    yield f"{'rows':<12} {', '.join(counts)}{unused}"
    if groups := group_dropped(read_corpus(data.folder).dropped):
        shown = [f"{group.count:,} x {group.what}: {group.reason}" for group in groups[:_REASONS]]
        shown += ["…"] if len(groups) > _REASONS else []
        listed = f"{data.folder / CORPUS_FILE} lists each"
        yield f"{'left out':<12} {'; '.join(shown)}; {listed}"


def _report_files(model: Scored) -> dict[str, str]:
    folder = model.predictions.with_name(REPORT)
    if folder.is_dir():
        return {"metrics": f"{folder}/metrics.json", "report": f"{folder}/report.html"}
    missing = 'none: it needs matplotlib, pip install -e ".[report]"'
    return {"metrics": str(model.predictions.with_name("metrics.json")), "report": missing}


def next_commands(
    options: argparse.Namespace,
    data: DataFolder,
    model: Scored,
    inputs: Inputs,
    rows: Mapping[str, Utterance],
) -> Iterator[list[str]]:
    """Yield the commands that train on, predict, analyze a recording, serve and export."""
    folder = str(model.checkpoint.parent)
    foreign = _foreign_features(options, data, inputs)
    words = [word for word in options.words if word != _QUICK]
    if options.quick:
        yield words
    if _suggests_folds(options, data, inputs, rows):
        end = words.index("--") if "--" in words else len(words)
        yield [*words[:end], "--fold", _FOLDS, *words[end:]]
    if foreign:  # which only data dirs with the same features have
        yield [_PROGRAM, "evaluate", folder, str(data.folder)]
        return
    example = next(iter(_examples(data, inputs, rows)), None)
    if example is not None:
        yield [_PROGRAM, "predict", folder, *example]
    if SPEECH in inputs.modalities:
        yield [_PROGRAM, "analyze", folder, "RECORDING"]
    yield [_PROGRAM, "serve", folder]
    yield [_PROGRAM, "export", folder, "--output", "models/"]


def _foreign_features(
    options: argparse.Namespace, data: DataFolder, inputs: Inputs
) -> Sequence[str]:
    """Return the names of features that another program has made, so that predict cannot."""
    specs = [getattr(options, f"{modality}_encoder") for modality in inputs.modalities]
    names = [name for spec in specs if (name := features_name(spec))]
    cards = {name: features_folder(data.folder, name) / CARD_FILE for name in names}
    return [name for name, card in cards.items() if not card.is_file()]


def _suggests_folds(
    options: argparse.Namespace, data: DataFolder, inputs: Inputs, rows: Mapping[str, Utterance]
) -> bool:
    """Return whether the test split has few speakers, and the data have enough for folds."""
    from data_prep.folds.protocols import FoldOptions

    if options.fold is not None or data.is_legacy:
        return False
    speakers = [row.speaker for row in rows.values()]  # those of the test split come first
    tested = speakers[: inputs.usable[inputs.test][1]]
    has_folds = None not in speakers and len({*speakers}) >= FoldOptions().n_folds
    return has_folds and len({*tested}) < _FEW_SPEAKERS


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
            yield [str(audio), "--text", str(row.text)] if has_text else [str(audio)]
        elif VIDEO in inputs.modalities and row.video is not None:
            yield [str(videos / row.video)]
        elif TEXT in inputs.modalities and SPEECH not in inputs.modalities and row.text:
            yield ["--text", row.text]

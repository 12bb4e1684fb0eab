"""The command line of fairseq-validate that scores a checkpoint."""

import argparse
from pathlib import Path

from data_prep.manifest.audio_root import audio_root
from emo_fairseq.cli import processes
from emo_fairseq.cli.evaluate.training_record import Training, fold_arguments


def command(options: argparse.Namespace, checkpoint: Path, training: Training) -> list[str]:
    """Return the command line of fairseq-validate.

    Args:
        options: of the command line.
        checkpoint: to be scored.
        training: of the checkpoint. Its --data-raw holds for its own data dir alone.

    Raises:
        UsageError: the model was trained on a fold that may not be one of the data dir.
    """
    raw = options.data_raw
    if raw is None and not training.was_on(options.data):
        raw = audio_root(options.data, must_exist=False)
    words = [processes.tool("fairseq-validate"), "--user-dir", str(processes.PLUGIN)]
    words += ["--task", "emotion_prediction", "--path", str(checkpoint)]
    words += ["--data", str(options.data)]
    if raw is not None:
        words += ["--data-raw", str(raw)]
    words += fold_arguments(training, options.data, options.further)
    words += ["--valid-subset", options.split, "--batch-size", str(options.batch_size)]
    if options.save_predictions is not None:
        words += ["--save-predictions", str(options.save_predictions)]
    if options.cpu:
        words += ["--cpu"]
    return [*words, *options.further]

"""The command line of fairseq-validate that scores a checkpoint."""

import argparse
from pathlib import Path

from data_prep.manifest.audio_root import audio_root, has_videos, video_root
from data_prep.packed_audio.card import FOLDER as PACKED_AUDIO
from emo_fairseq.cli import processes
from emo_fairseq.cli.evaluate.training_record import Training, fold_arguments


def command(options: argparse.Namespace, checkpoint: Path, training: Training) -> list[str]:
    """Return the command line of fairseq-validate.

    Args:
        options: of the command line.
        checkpoint: to be scored.
        training: of the checkpoint. Its folders of recordings, and of packed audio, hold for its
            own data dir alone.

    Raises:
        UsageError: the model was trained on a fold that may not be one of the data dir.
    """
    raw = options.data_raw
    further: list[str] = []
    if not training.was_on(options.data):
        raw = raw or audio_root(options.data, must_exist=False)
        further += ["--packed-audio-dir", str(options.data / PACKED_AUDIO)]
        if has_videos(options.data):
            videos = video_root(options.data, None, raw, must_exist=False)
            further += ["--video-raw", str(videos)]
    words = [processes.tool("fairseq-validate"), "--user-dir", str(processes.PLUGIN)]
    words += ["--task", "emotion_prediction", "--path", str(checkpoint)]
    words += ["--data", str(options.data)]
    if raw is not None:
        words += ["--data-raw", str(raw)]
    words += further
    words += fold_arguments(training, options.data, options.further)
    words += ["--valid-subset", options.split, "--batch-size", str(options.batch_size)]
    if options.save_predictions is not None:
        words += ["--save-predictions", str(options.save_predictions)]
    if options.cpu:
        words += ["--cpu"]
    return [*words, *options.further]

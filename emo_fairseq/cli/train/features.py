"""The command that stores log-mel frames, so that a training decodes every recording once."""

import argparse

from data_prep.features.log_mel import LOG_MEL
from data_prep.schema import read_corpus
from emo_fairseq.cli import processes
from emo_fairseq.cli.train.data import DataFolder
from emo_fairseq.cli.train.inputs import Inputs
from emo_fairseq.data.augmentation.options import AUDIO_OPTIONS
from emo_fairseq.modalities import SPEECH

_BYTES_A_SECOND = 16_000  # 100 frames of 80 bands in half precision
_LARGEST = 8e9  # bytes of frames; of longer corpora every epoch decodes the recordings again


def feature_steps(options: argparse.Namespace, data: DataFolder, inputs: Inputs) -> list[list[str]]:
    """Return the command that stores frames, unless they are stored or would not be read.

    Args:
        options: of the command line.
        data: the data dir, which is there.
        inputs: of the training.
    """
    reads_frames = SPEECH in inputs.modalities and options.speech_encoder is None
    if not reads_frames or data.is_legacy or inputs.seconds * _BYTES_A_SECOND > _LARGEST:
        return []
    if any(word.partition("=")[0] in AUDIO_OPTIONS for word in options.further):
        return []
    folder = data.folder / "features" / LOG_MEL
    if all((folder / f"{split}.lengths").is_file() for split in read_corpus(data.folder).splits):
        return []
    raw = () if data.data_raw is None else ("--data-raw", data.data_raw)
    return [processes.module("data_prep.extract_features", data.folder, *raw)]

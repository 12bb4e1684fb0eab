"""What ``train`` runs once the data dir is there: tokens, frames, the baseline, the model."""

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.features.log_mel import LOG_MEL
from data_prep.features.stored import features_folder
from data_prep.schema import read_corpus
from emo_fairseq.cli import processes
from emo_fairseq.cli.train.data import DataFolder
from emo_fairseq.cli.train.fairseq_command import (
    LOG_FILE,
    ONLY_OF_PROBE,
    TrainingPlan,
    options_of_probe,
    plan_probe,
    plan_training,
    split_further,
)
from emo_fairseq.cli.train.inputs import Inputs
from emo_fairseq.cli.train.token_steps import token_steps
from emo_fairseq.data.augmentation.options import AUDIO_OPTIONS
from emo_fairseq.modalities import SPEECH

TRAINED, BASELINE = "this model", "linear baseline"
_QUICK_EPOCHS = 5  # where there is no linear baseline: text from scratch, which is fast
_BYTES_A_SECOND = 16_000  # 100 frames of 80 bands in half precision
_LARGEST = 8e9  # bytes of frames; of longer corpora every epoch decodes the recordings again


@dataclass(frozen=True)
class Model:
    """A model to be trained and scored.

    Attributes:
        name: heads its column of the summary.
        training: its fairseq-train command.
        is_solved: whether it is solved in one step, so that its checkpoint is a finished training.
    """

    name: str
    training: TrainingPlan
    is_solved: bool = False

    @property
    def folder(self) -> Path:
        """Of its checkpoints."""
        return self.training.folder

    @property
    def log(self) -> Path | None:
        """The log of its training, with a line an epoch; None where there are no epochs."""
        return None if self.is_solved else self.folder / LOG_FILE


@dataclass(frozen=True)
class Plan:
    """What is run once the data dir is there.

    Attributes:
        steps: commands before the models.
        models: the baseline first, the model of the command line last.
        notes: for the user.
    """

    steps: Sequence[Sequence[str]]
    models: Sequence[Model]
    notes: list[str] = field(default_factory=list)


def make_plan(options: argparse.Namespace, data: DataFolder, inputs: Inputs) -> Plan:
    """Plan the steps and models of a training.

    Raises:
        UsageError: encoders, tokens or options that do not fit the data.
    """
    probe = None if options.no_probe else plan_probe(options, data, inputs)
    models = [] if probe is None else [Model(BASELINE, probe, is_solved=True)]
    notes = [] if probe is None else list(probe.notes)
    if probe is not None:
        further = split_further(options.further, ONLY_OF_PROBE)[1]
        options = argparse.Namespace(**{**vars(options), "further": further})
    if options.quick and models:
        notes.append("--quick: the linear baseline alone, on all rows; without it a model is tuned")
        unused = split_further(options.further, options_of_probe(inputs.modalities))[1]
        if unused:
            notes.append(f"the linear baseline does not use {shlex.join(unused)}")
    else:
        if options.quick and options.epochs is None:
            options = argparse.Namespace(**{**vars(options), "epochs": _QUICK_EPOCHS})
            notes.append(f"--quick: {_QUICK_EPOCHS} epochs, on all rows")
        training = plan_training(options, data, inputs)
        notes += training.notes
        models.append(Model(TRAINED, training))
    modalities = tuple(
        name for name in inputs.modalities if any(name in m.training.modalities for m in models)
    )
    steps = token_steps(data.folder, modalities, options) if not data.is_legacy else []
    return Plan([*steps, *_feature_steps(options, data, inputs)], models, notes)


def _feature_steps(
    options: argparse.Namespace, data: DataFolder, inputs: Inputs
) -> list[list[str]]:
    """Return the command that stores log-mel frames, so that each recording is decoded once.

    There is none where they are stored, of the recordings as they are now, or would not be read.
    """
    reads_frames = SPEECH in inputs.modalities and options.speech_encoder is None
    if not reads_frames or data.is_legacy or inputs.seconds * _BYTES_A_SECOND > _LARGEST:
        return []
    if any(word.partition("=")[0] in AUDIO_OPTIONS for word in options.further):
        return []
    from data_prep.commands.extract_features import log_mel_is_outdated  # which takes time

    folder = features_folder(data.folder, LOG_MEL)
    is_stored = all(
        (folder / f"{split}.lengths").is_file() for split in read_corpus(data.folder).splits
    )
    if is_stored and not log_mel_is_outdated(data.folder, data.data_raw):
        return []
    raw = () if data.data_raw is None else ("--data-raw", data.data_raw)
    return [processes.module("data_prep.extract_features", data.folder, *raw)]

"""The fairseq-train command of a training, with defaults by its encoders and their tuning."""

import argparse
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from data_prep.errors import CodedError
from emo_fairseq.cli import processes
from emo_fairseq.cli.train.chosen_model import (
    ChosenModel,
    choose_model,
    encoder_of,
    kind_of_encoder,
    refuse_tuning,
)
from emo_fairseq.cli.train.data import DataFolder
from emo_fairseq.cli.train.dialogue_batches import count_dialogue_batches, read_dialogue_window
from emo_fairseq.cli.train.inputs import Inputs
from emo_fairseq.cli.train.precision import FP32, Precision, choose_precision
from emo_fairseq.cli.train.recipes import SCRATCH, WARMUP, Combined, n_epochs
from emo_fairseq.encoder_spec import PRETRAINED, check_spec
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.names import is_larger_better
from emo_fairseq.modalities import MODALITIES, SPEECH, TEXT, VIDEO, parse_modalities
from emo_fairseq.models.fusions import FUSIONS
from emo_fairseq.option_values import FROZEN, FULL
from emo_fairseq.targets import TARGETS, TargetKind

LOG_FILE = "train.log"
_CHECKPOINTS = Path("checkpoints")  # of the folder in which the user works
_ROWS_UNKNOWN = 5_000  # of the legacy layout, whose IEMOCAP has 3,228: for the length of the decay
# What would change how many updates there are, and the length that they are planned for.
_LENGTH_OPTIONS = ("batch-size", "max-tokens", "update-freq", "max-epoch", "distributed-world-size")
_PLANNED_LENGTH = "--total-num-update"
ONLY_OF_PROBE = ("--probe-strengths", "--refit")
# What an encoder reads, and so its stored outputs, by modality: of the linear baseline, too.
_OF_INPUT = {
    SPEECH: ("--whisper-padding", "--max-speech-seconds", "--packed-audio", "--packed-audio-dir"),
    VIDEO: ("--frames-per-second", "--max-video-seconds", "--face-detector"),
}
# Criterion, and the metric of the valid split that chooses the checkpoint.
_OF_LABELS = ("emotion_classification", "weighted_f1")
_OF_VOTES = ("emotion_classification", "votes_ce")
_OF_NUMBERS = ("emotion_regression", "ccc")


@dataclass(frozen=True)
class TrainingPlan:
    """The fairseq-train command of a training.

    Attributes:
        words: of the command line.
        folder: of its checkpoints.
        modalities: that it reads.
        notes: for the user, such as which encoder is trained in full.
    """

    words: list[str]
    folder: Path
    modalities: Sequence[str]
    notes: list[str] = field(default_factory=list)


def check_options(options: argparse.Namespace) -> None:
    """Refuse options that no data would make right, before anything is prepared.

    Raises:
        UsageError: names the option.
    """
    _check_schedule(options.further)
    if options.fusion is not None and options.fusion not in FUSIONS:
        raise UsageError(
            f"--fusion {options.fusion}: choose one of {', '.join(FUSIONS)}", "fusion-unknown"
        )
    specs = {name: encoder_of(options, name) for name in MODALITIES}
    for name, spec in specs.items():
        if spec is not None:
            check_spec(name, spec)
    reads_video = options.modality is not None and VIDEO in parse_modalities(options.modality)
    if reads_video and specs[VIDEO] is None:
        raise UsageError(
            f"--modality {options.modality}: video is read by no encoder from scratch; add "
            "--video-encoder hf:FOLDER, or features:NAME of a data dir",
            "encoder-missing",
        )
    given = [spec for spec in specs.values() if spec is not None]
    if options.memory_limit is not None and not options.find_batch_size:
        raise UsageError(
            "--memory-limit does not act: there is no --find-batch-size; leave it out",
            "option-idle",
        )
    if (options.freeze or options.lora) and not any(
        kind_of_encoder(s) in PRETRAINED for s in given
    ):
        refuse_tuning(options, MODALITIES[0])


def _check_schedule(words: Sequence[str]) -> None:
    given = [word.partition("=")[0] for word in words]
    named = [f"--{name}" for name in _LENGTH_OPTIONS if f"--{name}" in given]
    if named and _PLANNED_LENGTH not in given:
        raise UsageError(
            f"{', '.join(named)} behind --: the learning rate would still fall to 0 as if it were "
            f"not there; add {_PLANNED_LENGTH} N --warmup-updates N too, or give --batch-size and "
            "--epochs before --",
            "schedule-mismatch",
        )


def run_folder(options: argparse.Namespace, data: DataFolder, inputs: Inputs) -> Path:
    """Return the folder of a training: of ``--output``, else of the data, named after the model."""
    fold = "" if options.fold is None else options.fold.replace("/", "-")
    parent: Path = options.output or _CHECKPOINTS / data.name / fold
    return parent / choose_model(options, inputs.modalities, []).folder_name(inputs.target)


def plan_training(options: argparse.Namespace, data: DataFolder, inputs: Inputs) -> TrainingPlan:
    """Return the command for the options and the data.

    Raises:
        UsageError: ``--freeze`` or ``--lora`` without a pretrained encoder.
    """
    notes: list[str] = []
    model = choose_model(options, inputs.modalities, notes)
    combined = model.combined
    precision = choose_precision(
        options.precision, model.tunes_pretrained, options.cpu, options.further
    )
    if precision.reason:
        notes.append(f"--precision {precision.name}: {precision.reason}")
    folder = run_folder(options, data, inputs)
    words = _base_words(options, data, inputs, inputs.modalities, model)
    for name in model.specs:
        mean = (f"--{name}-pooling", "mean") if model.is_pretrained(name) else ()
        words += _statistics_words(options, model, name) or mean
        if model.tuning[name] != FULL:
            words += [f"--{name}-tuning", model.tuning[name]]
    if FROZEN in model.tuning.values() and "--no-encoder-cache" not in options.further:
        words.append("--standardize-frozen")
    if set(model.tuning.values()) == {FROZEN}:
        words.append("--standardize-fused")
    for name, scale in combined.lr_scales.items():
        words += [f"--{name}-lr-scale", f"{scale:g}"]
    if len(model.specs) > 1:
        words += ["--fusion", model.fusion]
    words += _schedule_words(options, inputs, combined)
    words += combined.recipe.options.split()
    words += _saving_words(options, folder, precision)
    words += ["--log-format", "json", "--log-file", str(folder / LOG_FILE)]
    if options.patience is not None:
        words += ["--patience", str(options.patience)]
    words += options.further
    return TrainingPlan(words, folder, inputs.modalities, notes)


def plan_probe(
    options: argparse.Namespace, data: DataFolder, inputs: Inputs
) -> TrainingPlan | None:
    """Return the command of the linear baseline on pooled, frozen encoders; None if there is none.

    It has the modalities whose encoders are pretrained, frames on disk, or log-mel frames: a
    linear layer on random weights would be no baseline.
    """
    probed = [name for name in inputs.modalities if _is_probed(options, data, name)]
    if not probed:
        return None
    notes = []
    if len(probed) < len(inputs.modalities):
        notes.append(f"the linear baseline reads {' and '.join(probed)} alone")
    model = choose_model(options, probed, [])
    folder = run_folder(options, data, inputs) / "probe"
    words = [*_base_words(options, data, inputs, probed, model), "--probe"]
    for name in probed:  # as in the training, which then reads the same stored outputs
        words += _statistics_words(options, model, name)
    # Which fairseq-train requires; the layer is solved without updates.
    words += ["--optimizer", "emotion_adamw", "--lr", "0.001"]
    words += ["--batch-size", str(options.batch_size or model.combined.recipe.batch_size)]
    words += _saving_words(options, folder, Precision(FP32))
    words += split_further(options.further, options_of_probe(probed))[0]
    return TrainingPlan(words, folder, probed, notes)


def options_of_probe(modalities: Sequence[str]) -> list[str]:
    """Return the options after ``--`` that the linear baseline on these modalities takes."""
    of_inputs = [option for name in modalities for option in _OF_INPUT.get(name, ())]
    return [*ONLY_OF_PROBE, *of_inputs]


def split_further(words: Sequence[str], names: Collection[str]) -> tuple[list[str], list[str]]:
    """Return the words for fairseq-train that are of some options, and the other ones.

    Args:
        words: after ``--``.
        names: of the options.

    >>> words = ["--refit", "--dropout", "0.3", "--probe-strengths", "1,10"]
    >>> split_further(words, ONLY_OF_PROBE)
    (['--refit', '--probe-strengths', '1,10'], ['--dropout', '0.3'])
    """
    named: list[str] = []
    others: list[str] = []
    part = others
    for word in words:
        if word.startswith("--"):
            part = named if word.partition("=")[0] in names else others
        part.append(word)
    return named, others


def _is_probed(options: argparse.Namespace, data: DataFolder, modality: str) -> bool:
    kind = kind_of_encoder(encoder_of(options, modality))
    return kind != SCRATCH or (modality == SPEECH and not data.is_legacy)


def _base_words(
    options: argparse.Namespace,
    data: DataFolder,
    inputs: Inputs,
    modalities: Sequence[str],
    model: ChosenModel,
) -> list[str]:
    """Return what a training and its baseline have in common: data, encoders and objective."""
    words = [processes.tool("fairseq-train"), "--user-dir", str(processes.PLUGIN)]
    # Absolute, since the checkpoint keeps them, and is loaded from other folders.
    words += ["--task", "emotion_prediction", "--data", str(data.folder.resolve())]
    if data.data_raw is not None:
        words += ["--data-raw", str(data.data_raw.resolve())]
    if options.fold is not None:
        words += ["--fold", options.fold]
    words += ["--modality", "+".join(modalities), "--target", inputs.target]
    for name in modalities:
        if (spec := model.specs[name]) is not None:
            words += [f"--{name}-encoder", spec]
        elif name == SPEECH and not data.is_legacy:
            words += ["--speech-input", "log_mel"]
        if tokens := getattr(options, f"{name}_tokens", None):
            words += [f"--{name}-tokens", tokens]
    target = TARGETS[inputs.target]
    criterion, metric = _OF_LABELS if target.has_labels else _OF_NUMBERS
    if target.kind == TargetKind.DISTRIBUTION:
        criterion, metric = _OF_VOTES
    words += ["--arch", model.arch, "--criterion", criterion, "--best-checkpoint-metric", metric]
    words += ["--maximize-best-checkpoint-metric"] if is_larger_better(metric) else []
    return words


def _statistics_words(
    options: argparse.Namespace, model: ChosenModel, modality: str
) -> Sequence[str]:
    """Return the options that store statistics of frozen speech or video in place of its frames.

    They are those of the mean of all layers: the last layer alone is specific to the task that the
    encoder was trained on. No options where others choose layers or a pooling.
    """
    chosen = {f"--{modality}-{name}" for name in ("layer", "pooling", "frozen-pooling")}
    is_chosen = any(word.partition("=")[0] in chosen for word in options.further)
    if model.tuning[modality] != FROZEN or modality == TEXT or is_chosen:
        return ()
    return f"--{modality}-layer", "mean", f"--{modality}-frozen-pooling", "mean_std"


def _schedule_words(options: argparse.Namespace, inputs: Inputs, combined: Combined) -> list[str]:
    """Return the options of batches, and of a learning rate that warms up and then decays to 0."""
    recipe = combined.recipe
    rate = recipe.lr if options.lr is None else options.lr
    batch_size = options.batch_size or recipe.batch_size
    n_rows = inputs.n_rows or _ROWS_UNKNOWN
    # fairseq-train starts a process for each GPU, and an update has a batch of each.
    n_processes = 1 if options.cpu else max(1, torch.cuda.device_count())
    n_batches = -(-n_rows // batch_size)
    window = read_dialogue_window(options.further)
    if window is not None and inputs.rows:
        try:
            n_batches = count_dialogue_batches(inputs.rows, window, batch_size)
        except CodedError as error:
            raise UsageError(f"the train split: {error}", error.code) from error
    updates_an_epoch = -(-n_batches // n_processes)
    epochs = options.epochs or n_epochs(recipe, updates_an_epoch)
    updates = epochs * updates_an_epoch
    words = ["--optimizer", "emotion_adamw", "--lr", f"{rate:g}", "--clip-norm", "1.0"]
    words += ["--lr-scheduler", "polynomial_decay", "--warmup-updates", str(int(WARMUP * updates))]
    words += ["--total-num-update", str(updates), "--max-epoch", str(epochs)]
    return [*words, "--batch-size", str(batch_size)]


def _saving_words(options: argparse.Namespace, folder: Path, precision: Precision) -> list[str]:
    words = ["--no-epoch-checkpoints", "--save-dir", str(folder), "--seed", str(options.seed)]
    words += precision.options
    return [*words, "--cpu"] if options.cpu else words

"""Plan what ``train`` runs: preparation of data, and fairseq-train with defaults by the tuning."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch

from data_prep.corpora.meld import COLUMNS as MELD_COLUMNS
from data_prep.schema import CORPUS_FILE, Utterance, read_manifest
from data_prep.tables.reader import TableFormat, read_table
from emo_fairseq.cli import processes
from emo_fairseq.cli.token_steps import token_steps
from emo_fairseq.errors import UsageError
from emo_fairseq.export.naming import folder_name
from emo_fairseq.models.fusions import FUSIONS
from emo_fairseq.types import (
    FROZEN,
    FULL,
    LORA,
    MODALITY_LETTERS,
    SPEECH,
    TARGETS,
    TEXT,
    default_fusion,
    parse_modalities,
)

_MELD_TRAIN = "train_sent_emo.csv"
_MELD_VIDEOS = ("train_splits", "train/train_splits")
_PREPARED = "_prepared"  # suffix of the data dir of a raw corpus


@dataclass(frozen=True)
class DataPlan:
    """The data of a training.

    Attributes:
        folder: the data dir, which exists or which the steps write.
        data_raw: folder that `audio` is relative to; None = `folder`.
        modalities: inputs of the model.
        n_rows: rows of the train split with the target; None where they cannot be counted.
        steps: commands to run first.
    """

    folder: Path
    data_raw: Path | None
    modalities: tuple[str, ...]
    n_rows: int | None
    steps: list[list[str]] = field(default_factory=list)

    @property
    def is_legacy(self) -> bool:
        """Whether it is in the legacy layout, which has tokens and no audio."""
        return self.n_rows is None


def plan_data(options: argparse.Namespace) -> DataPlan:
    """Plan the data of a training: find the data dir, check it, and list what has to run first.

    Raises:
        UsageError: neither a data dir nor MELD, or data without the inputs or the target.
    """
    folder: Path = options.data
    modalities = parse_modalities(options.modality, "--modality")
    if (folder / _MELD_TRAIN).is_file() and not (folder / CORPUS_FILE).is_file():
        return _plan_meld(options, modalities)
    if not (folder / CORPUS_FILE).is_file():
        if (folder / "train_size.tsv").is_file() or (folder / "train_t.tsv").is_file():
            return DataPlan(folder, options.data_raw, modalities, None)  # the legacy T_data layout
        raise UsageError(
            f"{folder}: no data dir, it has no {CORPUS_FILE}; make one of your corpus with "
            f"`emotion-recognize prepare CORPUS {folder} OUT`",
            "data-dir-missing",
        )
    rows = _train_rows(folder, options.fold)
    _check_inputs(folder, rows, modalities, options)
    columns = TARGETS[options.target].columns
    n_rows = sum(any(getattr(row, c) is not None for c in columns) for row in rows)
    if not n_rows:
        raise UsageError(
            f"{folder}/train.tsv: no row has {' or '.join(columns)}; give another --target",
            "target-missing",
        )
    steps = token_steps(folder, modalities, options)
    return DataPlan(folder, options.data_raw, modalities, n_rows, steps)


def _train_rows(folder: Path, fold: str | None) -> Sequence[Utterance]:
    if fold is None:
        return read_manifest(folder / "train.tsv")
    from emo_fairseq.data.manifest import read_fold_rows

    return read_fold_rows(folder, fold)["train"]


def _check_inputs(
    folder: Path,
    rows: Sequence[Utterance],
    modalities: tuple[str, ...],
    options: argparse.Namespace,
) -> None:
    columns = {TEXT: "text", SPEECH: "audio"}
    for modality in modalities:
        spec = getattr(options, f"{modality}_encoder") or ""
        column = columns.get(modality)
        if column is None or spec.startswith("features:"):
            continue
        if not any(getattr(row, column) is not None for row in rows):
            others = "+".join(MODALITY_LETTERS[name] for name in modalities if name != modality)
            raise UsageError(
                f"{folder}/train.tsv: no row has {column}, which --modality {options.modality} "
                f"reads; prepare the corpus with its {column}, or give --modality "
                f"{others or 'another'}",
                "column-empty",
            )


def _plan_meld(options: argparse.Namespace, modalities: tuple[str, ...]) -> DataPlan:
    """Plan MELD from its CSV files: a data dir beside them, prepared unless it exists."""
    raw: Path = options.data
    folder = raw.resolve().with_name(f"{raw.resolve().name}{_PREPARED}")
    videos = next((raw for name in _MELD_VIDEOS if (raw / name).is_dir()), None)
    has_clips = any((raw / "audios").glob("*/*.flac"))
    prepared = (folder / CORPUS_FILE).is_file()
    if SPEECH in modalities and not (videos or has_clips or prepared):
        raise UsageError(
            f"{raw}: no audio, which --modality {options.modality} reads: neither "
            "audios/train/*.flac nor the folders of MELD.Raw with its videos are beside the CSV "
            "files; put them there, or give --modality T",
            "audio-missing",
        )
    options.data_raw = options.data_raw or (raw if has_clips else None)
    if prepared:
        options.data = folder
        return plan_data(options)
    words = ["--video", str(videos)] if videos and SPEECH in modalities else []
    prepare = processes.module("data_prep.meld", raw, folder, *words)
    n_rows = len(read_table(raw / _MELD_TRAIN, MELD_COLUMNS, TableFormat(legacy_bytes=True)))
    if options.target not in ("emotion", "sentiment", "binary_emotion"):
        raise UsageError(
            f"--target {options.target}: MELD has emotion and sentiment", "target-unsupported"
        )
    steps = [prepare, *token_steps(folder, modalities, options)]
    return DataPlan(folder, options.data_raw, modalities, n_rows, steps)


# -- fairseq-train, with defaults by how the encoders are tuned ------------------------------------

_PRETRAINED = ("hf", "fairseq")
_SCRATCH, _FEATURES = "scratch", "features"
_ROWS_UNKNOWN = 5_000  # of the legacy layout, whose IEMOCAP has 3,228: for the length of the decay
_WARMUP = 0.06  # of all updates, as in BERT's and RoBERTa's fine-tuning
# What would change how many updates there are, and the length that they are planned for.
_LENGTH_OPTIONS = ("batch-size", "max-tokens", "update-freq", "max-epoch", "distributed-world-size")
_PLANNED_LENGTH = "--total-num-update"


class _Recipe(NamedTuple):
    """Learning rate, epochs, and further options of fairseq-train."""

    lr: float
    epochs: int
    options: str


# By how encoders are tuned. Where they differ, the first of these that occurs.
_RECIPES: Mapping[str, _Recipe] = {
    FULL: _Recipe(2e-5, 5, "--layer-lr-decay 0.9 --head-lr-scale 10 --weight-decay 0.01"),
    LORA: _Recipe(2e-4, 8, "--weight-decay 0.01"),
    FROZEN: _Recipe(1e-3, 20, "--weight-decay 0.01"),
    _SCRATCH: _Recipe(1e-3, 20, "--dropout 0.2 --weight-decay 0.05"),
}

# Criterion, and the metric of the valid split that chooses the checkpoint, larger is better.
_OF_LABELS = ("emotion_classification", "weighted_f1")
_OF_NUMBERS = ("emotion_regression", "ccc")


@dataclass(frozen=True)
class TrainingPlan:
    """The fairseq-train command of a training.

    Attributes:
        words: of the command line.
        folder: of its checkpoints.
        notes: for the user, such as which encoder is trained in full.
    """

    words: list[str]
    folder: Path
    notes: list[str]


def plan_training(options: argparse.Namespace, data: DataPlan) -> TrainingPlan:
    """Return the command for the options and the data.

    Raises:
        UsageError: ``--freeze`` or ``--lora`` without a pretrained encoder; or options for fairseq
            that change the number of updates, and not the schedule of the learning rate.
    """
    _check_schedule(options.further)
    specs = {name: getattr(options, f"{name}_encoder") for name in data.modalities}
    kinds = {name: (spec or _SCRATCH).partition(":")[0] for name, spec in specs.items()}
    tuning, notes = _tuning(options, kinds)
    if options.fusion is not None and options.fusion not in FUSIONS:
        raise UsageError(
            f"--fusion {options.fusion}: choose one of {', '.join(FUSIONS)}", "fusion-unknown"
        )
    arch = options.arch or ("robertaEMO_tiny" if _SCRATCH in kinds.values() else "robertaEMO")
    fusion = options.fusion or default_fusion(len(specs))
    size = arch.partition("_")[2] or "base"
    encoders = {name: spec or f"{_SCRATCH}:{size}" for name, spec in specs.items()}
    folder = options.output / folder_name(options.target, encoders, tuning, fusion)
    recipe = _recipe(kinds, tuning)
    words = [processes.tool("fairseq-train"), "--user-dir", str(processes.PLUGIN)]
    words += ["--task", "emotion_prediction", *_data_arguments(options, data)]
    words += ["--modality", "+".join(data.modalities), "--target", options.target]
    words += _encoder_arguments(specs, kinds, tuning, recipe, has_audio=not data.is_legacy)
    words += ["--arch", arch]
    if len(specs) > 1:
        words += ["--fusion", fusion]
    words += _objective_arguments(options.target)
    words += _schedule_arguments(options, data, recipe)
    words += recipe.options.split()
    words += ["--save-dir", str(folder), "--seed", str(options.seed)]
    words += ["--log-format", "json", "--log-file", str(folder / "train.log")]
    if options.cpu:
        words += ["--cpu"]
    words += options.further
    return TrainingPlan(words, folder, notes)


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


def _tuning(
    options: argparse.Namespace, kinds: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    requested = FROZEN if options.freeze else LORA if options.lora else FULL
    tuning = {n: requested if kind in _PRETRAINED else FULL for n, kind in kinds.items()}
    if requested == FULL:
        return tuning, []
    others = [name for name, kind in kinds.items() if kind not in _PRETRAINED]
    if len(others) == len(kinds):
        flag = "--freeze" if options.freeze else "--lora"
        raise UsageError(
            f"{flag}: no encoder is pretrained, so that random weights would stay as they are; add "
            f"--{others[0]}-encoder hf:FOLDER or fairseq:CHECKPOINT, or leave {flag} out",
            "encoder-not-pretrained",
        )
    return tuning, [f"{name}: {kinds[name]}, so trained in full" for name in others]


def _recipe(kinds: Mapping[str, str], tuning: Mapping[str, str]) -> _Recipe:
    of = {tuning[name] for name, kind in kinds.items() if kind in _PRETRAINED}
    return next((_RECIPES[name] for name in (FULL, LORA, FROZEN) if name in of), _RECIPES[_SCRATCH])


def _data_arguments(options: argparse.Namespace, data: DataPlan) -> list[str]:
    # Absolute, since the checkpoint keeps them, and is loaded from other folders.
    raw = () if data.data_raw is None else ("--data-raw", str(data.data_raw.resolve()))
    fold = () if options.fold is None else ("--fold", options.fold)
    return ["--data", str(data.folder.resolve()), *raw, *fold]


def _encoder_arguments(
    specs: Mapping[str, str | None],
    kinds: Mapping[str, str],
    tuning: Mapping[str, str],
    recipe: _Recipe,
    has_audio: bool,
) -> list[str]:
    words = []
    for name, spec in specs.items():
        if spec is not None:
            words += [f"--{name}-encoder", spec]
        elif name == SPEECH and has_audio:
            words += ["--speech-input", "log_mel"]
        if kinds[name] in _PRETRAINED:
            words += [f"--{name}-pooling", "mean"]
        if tuning[name] != FULL:
            words += [f"--{name}-tuning", tuning[name]]
        if kinds[name] not in _PRETRAINED and recipe is _RECIPES[FULL]:
            # Beside a fine-tuned encoder, at the learning rate of new parameters.
            words += [f"--{name}-lr-scale", "10"]
    return words


def _objective_arguments(target: str) -> list[str]:
    criterion, metric = _OF_LABELS if TARGETS[target].has_labels else _OF_NUMBERS
    best = ["--best-checkpoint-metric", metric, "--maximize-best-checkpoint-metric"]
    return ["--criterion", criterion, *best, "--no-epoch-checkpoints"]


def _schedule_arguments(options: argparse.Namespace, data: DataPlan, recipe: _Recipe) -> list[str]:
    """Return the options of batches, and of a learning rate that warms up and then decays to 0."""
    epochs = options.epochs or recipe.epochs
    rate = recipe.lr if options.lr is None else options.lr
    n_rows = data.n_rows or _ROWS_UNKNOWN
    # fairseq-train starts a process for each GPU, and an update has a batch of each.
    n_processes = 1 if options.cpu else max(1, torch.cuda.device_count())
    updates = epochs * -(-n_rows // (options.batch_size * n_processes))
    words = ["--optimizer", "emotion_adamw", "--lr", f"{rate:g}", "--clip-norm", "1.0"]
    words += ["--lr-scheduler", "polynomial_decay", "--warmup-updates", str(int(_WARMUP * updates))]
    words += ["--total-num-update", str(updates), "--max-epoch", str(epochs)]
    return [*words, "--batch-size", str(options.batch_size)]

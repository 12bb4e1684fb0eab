"""The fairseq-train command that ``train`` runs: defaults by how the encoders are tuned."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from emo_fairseq.cli import processes
from emo_fairseq.cli.train_data import DataPlan
from emo_fairseq.errors import UsageError
from emo_fairseq.export.naming import folder_name
from emo_fairseq.models.fusions import FUSIONS, default_fusion
from emo_fairseq.types import (
    FROZEN,
    FULL,
    LORA,
    SPEECH,
    TARGETS,
)

_PRETRAINED = ("hf", "fairseq")
_SCRATCH, _FEATURES = "scratch", "features"
_ROWS_UNKNOWN = 5_000  # of the seed's layout, whose IEMOCAP has 3,228: for the length of the decay
_WARMUP = 0.06  # of all updates, as in BERT's and RoBERTa's fine-tuning
# What would change how many updates there are, and the length that they are planned for.
_OF_LENGTH = ("batch-size", "max-tokens", "update-freq", "max-epoch", "distributed-world-size")
_PLANNED = "--total-num-update"


class _Recipe(NamedTuple):
    """Learning rate, epochs, and options beside."""

    lr: float
    epochs: int
    options: str


# By what is trained. Where encoders differ, that of the first of these which occurs.
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
    """A training.

    Attributes:
        words: the fairseq-train command.
        folder: of its checkpoints.
        remarks: what the user should know beside it.
    """

    words: list[str]
    folder: Path
    remarks: list[str]


def plan_training(options: argparse.Namespace, data: DataPlan) -> TrainingPlan:
    """The command for what was asked.

    Raises:
        UsageError: ``--freeze`` or ``--lora`` without a pretrained encoder; or words for fairseq
            that change how many updates there are, and not what the learning rate is planned for.
    """
    _check_further(options.further)
    specs = {name: getattr(options, f"{name}_encoder") for name in data.modalities}
    kinds = {name: (spec or _SCRATCH).partition(":")[0] for name, spec in specs.items()}
    tuning, remarks = _tuning(options, kinds)
    several = len(specs) > 1
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
    words = [
        *(processes.tool("fairseq-train"), "--user-dir", str(processes.PLUGIN)),
        *("--task", "emotion_prediction", *_of_data(options, data)),
        *("--modality", "+".join(data.modalities), "--target", options.target),
        *_of_encoders(specs, kinds, tuning, recipe, has_audio=not data.is_legacy),
        *("--arch", arch, *(("--fusion", fusion) if several else ())),
        *_of_goal(options.target),
        *_of_length(options, data, recipe),
        *recipe.options.split(),
        *("--save-dir", str(folder), "--seed", str(options.seed)),
        *("--log-format", "json", "--log-file", str(folder / "train.log")),
        *(("--cpu",) if options.cpu else ()),
        *options.further,
    ]
    return TrainingPlan(words, folder, remarks)


def _check_further(words: Sequence[str]) -> None:
    given = [word.partition("=")[0] for word in words]
    named = [f"--{name}" for name in _OF_LENGTH if f"--{name}" in given]
    if named and _PLANNED not in given:
        raise UsageError(
            f"{', '.join(named)} behind --: the learning rate would still fall to 0 as if it were "
            f"not there; add {_PLANNED} N --warmup-updates N too, or give --batch-size and "
            "--epochs before --"
        )


def _tuning(
    options: argparse.Namespace, kinds: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    asked = FROZEN if options.freeze else LORA if options.lora else FULL
    tuning = {n: asked if kind in _PRETRAINED else FULL for n, kind in kinds.items()}
    if asked == FULL:
        return tuning, []
    others = [name for name, kind in kinds.items() if kind not in _PRETRAINED]
    if len(others) == len(kinds):
        flag = "--freeze" if options.freeze else "--lora"
        raise UsageError(
            f"{flag}: no encoder is pretrained, so that random weights would stay as they are; add "
            f"--{others[0]}-encoder hf:FOLDER or fairseq:CHECKPOINT, or leave {flag} out"
        )
    return tuning, [f"{name}: {kinds[name]}, so trained in full" for name in others]


def _recipe(kinds: Mapping[str, str], tuning: Mapping[str, str]) -> _Recipe:
    of = {tuning[name] for name, kind in kinds.items() if kind in _PRETRAINED}
    return next((_RECIPES[name] for name in (FULL, LORA, FROZEN) if name in of), _RECIPES[_SCRATCH])


def _of_data(options: argparse.Namespace, data: DataPlan) -> list[str]:
    # Absolute, since the checkpoint keeps them, and is asked from other folders.
    raw = () if data.data_raw is None else ("--data-raw", str(data.data_raw.resolve()))
    fold = () if options.fold is None else ("--fold", options.fold)
    return ["--data", str(data.folder.resolve()), *raw, *fold]


def _of_encoders(
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
            # Beside one that is fine-tuned, at the rate of what is new.
            words += [f"--{name}-lr-scale", "10"]
    return words


def _of_goal(target: str) -> list[str]:
    criterion, metric = _OF_LABELS if TARGETS[target].has_labels else _OF_NUMBERS
    best = ["--best-checkpoint-metric", metric, "--maximize-best-checkpoint-metric"]
    return ["--criterion", criterion, *best, "--no-epoch-checkpoints"]


def _of_length(options: argparse.Namespace, data: DataPlan, recipe: _Recipe) -> list[str]:
    """Batches, and a learning rate that rises for the first of them and then falls to 0."""
    epochs = options.epochs or recipe.epochs
    rate = recipe.lr if options.lr is None else options.lr
    n_rows = data.n_rows or _ROWS_UNKNOWN
    # fairseq-train starts a process for each GPU, and an update has a batch of each.
    n_processes = 1 if options.cpu else max(1, torch.cuda.device_count())
    updates = epochs * -(-n_rows // (options.batch_size * n_processes))
    return [
        *("--optimizer", "emotion_adamw", "--lr", f"{rate:g}", "--clip-norm", "1.0"),
        *("--lr-scheduler", "polynomial_decay", "--warmup-updates", str(int(_WARMUP * updates))),
        *("--total-num-update", str(updates), "--max-epoch", str(epochs)),
        *("--batch-size", str(options.batch_size)),
    ]

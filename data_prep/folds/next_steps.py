"""The commands that use the folds of a data dir, as they are printed once these are written."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from data_prep.folds.records import Folds
from data_prep.schema import AXES, Corpus, Utterance

_CONFIGS = Path(__file__).parents[2] / "examples" / "toy" / "config"  # in a clone of the repository
_TARGET_OF = {  # by column; the first one that any row has
    "emotion": "emotion",
    "sentiment": "sentiment",
    "sentiment_score": "sentiment_score",
    **dict.fromkeys(AXES, "vad"),
}
_NUMBERS = ("sentiment_score", "vad")


def next_steps(
    data_dir: Path, corpus: Corpus, folds: Folds, rows: Sequence[Utterance]
) -> Iterator[str]:
    """Yield a line for each: train on every fold; on the first, and score it; and a sweep.

    What the data have is read by encoders from scratch; the sweep reads speech.
    """
    target = _target(rows)
    if target is None:
        yield "note: no row has a label or a number to train on; prepare the corpus with one"
        return
    fold = next(iter(folds.folds))
    data = shlex.quote(str(data_dir))
    output = shlex.quote(f"checkpoints/{data_dir.resolve().name}/{folds.protocol}-{fold}")
    model = f"--target {target}"
    yield f"train all with: emotion-recognize train {data} --fold {folds.protocol} {model}"
    yield (
        f"train one with: emotion-recognize train {data} --fold {folds.protocol}/{fold} {model} "
        f"--output {output}"
    )
    yield f"score it with: emotion-recognize evaluate {output} {data}"
    if _has_any(rows, "audio") and _CONFIGS.is_dir():
        yield f"sweep with: {_sweep(data_dir, folds.protocol, target)}"


def _target(rows: Sequence[Utterance]) -> str | None:
    return next((x for column, x in _TARGET_OF.items() if _has_any(rows, column)), None)


def _has_any(rows: Sequence[Utterance], column: str) -> bool:
    return any(getattr(row, column) is not None for row in rows)


def _sweep(data_dir: Path, protocol: str, target: str) -> str:
    words = ["--config-dir", os.path.relpath(_CONFIGS), "--config-name", "speech"]
    words += ["--folds", protocol, f"runs/{data_dir.resolve().name}-{protocol}"]
    words += [f"task.data={_quoted(str(data_dir))}", f"task.target={target}"]
    if target in _NUMBERS:
        words += ["criterion._name=emotion_regression", "checkpoint.best_checkpoint_metric=ccc"]
    return f"python -m emo_fairseq.experiments.sweep {shlex.join(words)}"


def _quoted(path: str) -> str:
    """Return a path as Hydra reads it."""
    if re.fullmatch(r"[\w./-]+", path):
        return path
    escaped = path.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"

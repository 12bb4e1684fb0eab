"""What changes in a task's state as training goes on, taken up where a checkpoint left it.

fairseq saves the state of a task, and gives it back where a model is scored; its trainer, which
resumes model, criterion and optimizer, does not.
"""

import functools
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from fairseq import checkpoint_utils

from emo_fairseq.compat import TASK_NAME
from emo_fairseq.data.manifest import read_corpus_file

_AT_START: Mapping[str, Callable[[], Any]] = {
    "prototypes": dict,  # see emo_fairseq.tasks.class_prototypes
    "embedding_queue": list,  # see emo_fairseq.criterions.terms.queue
    "confidence": dict,  # see emo_fairseq.tasks.confidence
}


def updates_of(checkpoint: Path) -> int:
    """How many updates a checkpoint has had; its tensors are left on disk."""
    is_zip = zipfile.is_zipfile(checkpoint)
    state = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=is_zip)
    history = state.get("optimizer_history") or [{}]
    return int(history[-1].get("num_updates", 0))


def changing_state(resumed: Path | None, cfg: Any) -> dict[str, Callable[[], Any]]:
    """For each such part of the state what makes it: the checkpoint's, or an empty one.

    And the corpus and the fold that are trained on, which do not change.

    Args:
        resumed: the checkpoint that training goes on from. It is read when the first of them is
            asked for, which is before the first update.
        cfg: the task's options.
    """
    at_start = {**_AT_START, "corpus": lambda: _corpus(cfg), "fold": lambda: cfg.fold}

    @functools.cache
    def saved() -> Mapping[str, Any]:
        if resumed is None:
            return {}
        state = checkpoint_utils.load_checkpoint_to_cpu(str(resumed), {"task": TASK_NAME})
        task_state = state.get("task_state", {})
        return {name: task_state[name] for name in at_start if name in task_state}

    def factory(name: str, empty: Callable[[], Any]) -> Callable[[], Any]:
        return lambda: saved().get(name, empty())

    return {name: factory(name, empty) for name, empty in at_start.items()}


def _corpus(cfg: Any) -> str | None:
    corpus = read_corpus_file(Path(cfg.data))
    return None if corpus is None else corpus.name

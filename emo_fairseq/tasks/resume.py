"""Resume a training: the state of the task in its checkpoint, if the data are still the same.

fairseq saves the state of a task, and loads it where a model is scored; its trainer, which resumes
model, criterion and optimizer, does not.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fairseq import checkpoint_utils

from data_prep.manifest.provenance import Provenance
from emo_fairseq.compat.checkpoints import TASK_NAME
from emo_fairseq.compat.torch_files import load_torch_file
from emo_fairseq.data.manifest import read_corpus_file
from emo_fairseq.data.vocabulary import Vocabulary
from emo_fairseq.errors import UsageError

logger = logging.getLogger(__name__)

# What changes as training goes on, empty when it starts.
_AT_START: Mapping[str, Callable[[], Any]] = {
    "prototypes": dict,  # see emo_fairseq.tasks.class_prototypes
    "embedding_queue": list,  # see emo_fairseq.criterions.terms.queue
    "confidence": dict,  # see emo_fairseq.tasks.confidence
    "patience": dict,  # see emo_fairseq.compat.early_stop
}


def updates_of(checkpoint: Path) -> int:
    """How many updates a checkpoint has had; its tensors are left on disk."""
    state = load_torch_file(checkpoint, with_tensors=False)
    history = state.get("optimizer_history") or [{}]
    return int(history[-1].get("num_updates", 0))


def has_optimizer(checkpoint: Path) -> bool:
    """Whether a checkpoint holds what its optimizer had learned, so that a training can go on."""
    return load_torch_file(checkpoint, with_tensors=False).get("last_optimizer_state") is not None


def read_state(checkpoint: Path) -> dict[str, Any]:
    """What the task knew when a checkpoint was written."""
    saved = checkpoint_utils.load_checkpoint_to_cpu(str(checkpoint), {"task": TASK_NAME})
    return dict(saved.get("task_state", {}))


def stored_provenance(state: Mapping[str, Any], file: str | Path) -> Provenance | None:
    """What a checkpoint's model was made from, by its task's state; None where that is unknown.

    Raises:
        data_prep.errors.ManifestError: the record cannot be read; names `file`.
    """
    record = state.get("provenance")
    return None if record is None else Provenance.from_state(record, file)


def changing_state(cfg: Any) -> dict[str, Callable[[], Any]]:
    """For each part of the state that no data settle what makes it when a training starts.

    And the corpus and the fold that are trained on, which do not change.
    """
    return {**_AT_START, "corpus": lambda: _corpus(cfg), "fold": lambda: cfg.fold}


def _corpus(cfg: Any) -> str | None:
    corpus = read_corpus_file(Path(cfg.data))
    return None if corpus is None else corpus.name


def check_same_data(saved: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    """See that a training goes on with the data that it began with.

    Labels and encoders are compared wherever a checkpoint's state is taken over.

    Args:
        saved: the checkpoint's state.
        now: what the options and the data settle, under the same names.
        folder: the data dir.

    Raises:
        UsageError: another fold, corpus or vocabulary, or other auxiliary targets.
    """
    afresh = "start afresh with another --save-dir"
    if saved.get("fold") != now["fold"]:
        raise UsageError(
            f"--fold {now['fold']}: the checkpoint in --save-dir was trained on "
            f"{saved.get('fold') or 'no fold'}; {afresh}"
        )
    corpus = saved.get("corpus")
    if corpus is not None and corpus != now["corpus"]:
        raise UsageError(
            f"{folder}: is of {now['corpus'] or 'an unnamed corpus'}, and the checkpoint in "
            f"--save-dir was trained on {corpus}; {afresh}, and with --init-from to begin with its "
            "weights"
        )
    if saved.get("auxiliary_labels", {}) != now["auxiliary_labels"]:
        raise UsageError(
            f"--auxiliary-targets: {_named(now['auxiliary_labels'])}, and the checkpoint in "
            f"--save-dir was trained with {_named(saved.get('auxiliary_labels', {}))}; {afresh}"
        )
    for modality, state in saved.get("vocabulary", {}).items():
        if modality in now["vocabulary"]:
            trained = Vocabulary.from_state(state)
            here = Vocabulary.from_state(now["vocabulary"][modality])
            here.check_same(trained)
            if here.specials != trained.specials:
                raise UsageError(
                    f"{modality}: the tokens that begin, end and pad are {here.specials}, and the "
                    f"checkpoint was trained with {trained.specials}; give the --init-token and "
                    f"--separator-token of before, or {afresh}"
                )
    before, counts = (state.get("class_counts") for state in (saved, now))
    if None not in (before, counts) and before != counts:
        logger.warning(
            "%s: the train split has changed: classes have %s rows, and had %s when the training "
            "began; class weights stay those of then",
            *(folder, counts, before),
        )


def _named(labels: Mapping[str, Any]) -> str:
    of_each = [f"{name} ({', '.join(values)})" for name, values in labels.items()]
    return ", ".join(of_each) or "none"

"""Resume a training: the state of the task in its checkpoint, if the data are still the same.

fairseq saves the state of a task, and loads it where a model is scored; its trainer, which resumes
model, criterion and optimizer, does not.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from fairseq import checkpoint_utils

from data_prep.manifest.provenance import SELECTED, Provenance
from emo_fairseq.compat.checkpoints import TASK_NAME
from emo_fairseq.compat.torch_files import load_torch_file
from emo_fairseq.data.vocabulary import Vocabulary
from emo_fairseq.errors import UsageError
from emo_fairseq.models.roberta_emo import RobertaEMOModel
from emo_fairseq.option_values import BY_TRAIN

logger = logging.getLogger(__name__)

# What changes as training goes on, and its value when a training starts.
AT_START: Mapping[str, Callable[[], Any]] = {
    "prototypes": dict,  # see emo_fairseq.tasks.class_prototypes
    "embedding_queue": list,  # see emo_fairseq.criterions.terms.contrastive
    "confidence": dict,  # see emo_fairseq.tasks.confidence
    "patience": dict,  # see emo_fairseq.compat.early_stop
    "probe": dict,  # see emo_fairseq.tasks.probe
}

_FRONT_END_OPTION = "speech_feature_grad_mult"


def read_state(checkpoint: Path) -> dict[str, Any]:
    """Read the state of the task in a checkpoint."""
    saved = checkpoint_utils.load_checkpoint_to_cpu(str(checkpoint), {"task": TASK_NAME})
    return dict(saved.get("task_state", {}))


def read_progress(checkpoint: Path) -> tuple[int, bool]:
    """Read how many updates a checkpoint has had, and whether its optimizer's state is there.

    Without the latter it cannot be resumed. The tensors are left on disk.
    """
    state = load_torch_file(checkpoint, with_tensors=False)
    history = state.get("optimizer_history") or [{}]
    n_updates = int(history[-1].get("num_updates", 0))
    return n_updates, state.get("last_optimizer_state") is not None


def check_selection(checkpoint: Path, metric: str, split: str) -> None:
    """Check that a training whose best value goes on selects its checkpoint by the same metric.

    fairseq stores that value without a name. A loss of 1.2 would be the largest UAR for ever.

    Raises:
        UsageError: it was selected by another metric, or on another split.
    """
    saved = load_torch_file(checkpoint, with_tensors=False)
    options = saved.get("cfg") or {}
    if "best" not in (saved.get("extra_state") or {}) or "checkpoint" not in options:
        return
    before = options["checkpoint"]["best_checkpoint_metric"]
    split_before = options["dataset"]["valid_subset"].split(",")[0]
    anew = "or --reset-meters to select a checkpoint anew"
    if before != metric:
        raise UsageError(
            f"--best-checkpoint-metric {metric}: {checkpoint} has the best value of {before}, "
            f"which would be compared with it; give {before}, {anew}",
            "resumed-metric-other",
        )
    if split_before != split:
        raise UsageError(
            f"--valid-subset {split}: {checkpoint} has the best value of {split_before}, which "
            f"would be compared with it; give {split_before} first, {anew}",
            "resumed-metric-other",
        )


def check_front_end(checkpoint: Path) -> None:
    """Check that a checkpoint whose training goes on with a frozen front end was made with one.

    Checkpoints of older versions, which trained the convolutions of pretrained encoders by default,
    have moments of them in their optimizer.

    Raises:
        UsageError: it is of such a version.
    """
    options = load_torch_file(checkpoint, with_tensors=False)["cfg"]["model"]
    if _FRONT_END_OPTION not in options:
        raise UsageError(
            f"{checkpoint}: was made when the convolutions of a pretrained speech encoder were "
            "trained by default, and now they are frozen; give --speech-feature-grad-mult 1 to "
            "train them as before, or --reset-optimizer to freeze them from here on",
            "resumed-front-end-trained",
        )


def load_weights(model: RobertaEMOModel, checkpoint: Path) -> None:
    """Load the parameters of the checkpoint that a training resumes into its model.

    fairseq does so too, but later: by then frozen encoders have been run.

    Raises:
        UsageError: they do not fit; names the file.
    """
    state = checkpoint_utils.load_checkpoint_to_cpu(str(checkpoint), {"task": TASK_NAME})
    try:
        model.load_state_dict(state["model"])
    except UsageError as error:
        raise UsageError(f"{checkpoint}: {error}", error.code) from error


def check_same_data(saved: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    """Check that a training is resumed with the data that it began with.

    Labels and encoders are compared wherever the state of a checkpoint is loaded.

    Args:
        saved: the state in the checkpoint.
        now: the state that options and data give now, under the same names.
        folder: the data dir.

    Raises:
        UsageError: another fold, corpus or vocabulary, or other auxiliary targets.
    """
    afresh = "start afresh with another --save-dir"
    if saved.get("fold") != now["fold"]:
        raise UsageError(
            f"--fold {now['fold']}: the checkpoint in --save-dir was trained on "
            f"{saved.get('fold') or 'no fold'}; {afresh}",
            "resumed-fold-other",
        )
    corpus = saved.get("corpus")
    if corpus is not None and corpus != now["corpus"]:
        raise UsageError(
            f"{folder}: is of {now['corpus'] or 'an unnamed corpus'}, and the checkpoint in "
            f"--save-dir was trained on {corpus}; {afresh}, and with --init-from to begin with its "
            "weights",
            "resumed-corpus-other",
        )
    if saved.get("auxiliary_labels", {}) != now["auxiliary_labels"]:
        raise UsageError(
            f"--auxiliary-targets: {_named(now['auxiliary_labels'])}, and the checkpoint in "
            f"--save-dir was trained with {_named(saved.get('auxiliary_labels', {}))}; {afresh}",
            "resumed-auxiliary-other",
        )
    if (before_by := saved.get("normalize_by", BY_TRAIN)) != now["normalize_by"]:
        raise UsageError(
            f"--normalize-by {now['normalize_by']}: the checkpoint in --save-dir was trained with "
            f"{before_by}; give that, or {afresh}",
            "resumed-normalization-other",
        )
    for modality, state in saved.get("vocabulary", {}).items():
        if modality in now["vocabulary"]:
            trained = Vocabulary.from_state(state)
            own = Vocabulary.from_state(now["vocabulary"][modality])
            own.check_same(trained)
            if own.specials != trained.specials:
                raise UsageError(
                    f"{modality}: the tokens that begin, end and pad are {own.specials}, and the "
                    f"checkpoint was trained with {trained.specials}; give the --init-token and "
                    f"--separator-token of before, or {afresh}",
                    "resumed-specials-other",
                )
    before, counts = (state.get("class_counts") for state in (saved, now))
    if None not in (before, counts) and before != counts:
        logger.warning(
            "%s: the train split has changed: classes have %s rows, and had %s when the training "
            "began; class weights are still those of then",
            folder,
            counts,
            before,
        )
    _warn_of_rows(saved, now, folder)


def _warn_of_rows(saved: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    """Warn if rows are new or gone since a checkpoint recorded them."""
    records = [state.get("provenance") for state in (saved, now)]
    if None in records:
        return
    before, here = (
        {rows.key: rows.hashes for rows in Provenance.from_state(record, folder).seen}
        for record in records
    )
    for key in before.keys() & here.keys():
        if not (n_changed := len(np.setxor1d(before[key], here[key]))):
            continue
        _, split, _, use = key
        kept = "the best value so far is of those of then" if use == SELECTED else "it goes on"
        logger.warning(
            "%s: %d rows of %s are new or gone since the training began; %s",
            folder,
            n_changed,
            split,
            kept,
        )


def _named(labels: Mapping[str, Any]) -> str:
    of_each = [f"{name} ({', '.join(values)})" for name, values in labels.items()]
    return ", ".join(of_each) or "none"

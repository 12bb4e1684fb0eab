"""The record of the rows that a model is made from, and the check of it against held-out rows."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from data_prep.manifest.provenance import SELECTED, Provenance
from data_prep.schema import TRAIN
from emo_fairseq.data.data_dir import DataDir
from emo_fairseq.data.leaks import OPTION as ALLOW_LEAK
from emo_fairseq.data.leaks import HeldOut, describe_leak, warn_unknown
from emo_fairseq.data.manifest import Split
from emo_fairseq.errors import UsageError

logger = logging.getLogger(__name__)

# Accepts what an option names, a file and its record, into a training; refuses a leak.
Accept = Callable[[str, str | Path, Provenance | None], None]


def stored_provenance(state: Mapping[str, Any], file: str | Path) -> Provenance | None:
    """Return what the model of a checkpoint was made from; None where that is not recorded.

    Raises:
        data_prep.errors.ManifestError: the record cannot be read.
    """
    record = state.get("provenance")
    return None if record is None else Provenance.from_state(record, file)


def training_provenance(data: DataDir, selecting_split: str | None) -> Provenance:
    """Return the record of a training: its own rows, and those of all that it has accepted.

    Args:
        data: with the guard that has accepted it.
        selecting_split: whose rows select the checkpoint; None without.
    """
    own = data.provenance(TRAIN)
    if selecting_split is not None:
        own = own.merged(data.provenance(selecting_split, SELECTED))
    return own.merged(data.guard.accepted)


class ScoringGuard:
    """Refuses to score a model on rows that it was trained on.

    If it `allows` leaks (``--allow-leak``), they are recorded and warned of, not refused.
    """

    def __init__(self, data: DataDir, fold: str | None, allows: bool) -> None:
        self._data, self._fold, self._allows = data, fold, allows
        self._leaks: dict[str, None] = {}  # in order, each once

    def check(self, split: Split, model: Provenance | None, trained_fold: str | None) -> None:
        """Check a split; the train split passes.

        Args:
            split: that is to be scored.
            model: what the model was made from; None where that is not recorded.
            trained_fold: that it was trained on.

        Raises:
            UsageError: the model has seen rows of the split, and ``--allow-leak`` is not given.
        """
        if split.name == TRAIN:
            return
        if model is None:
            warn_unknown("the checkpoint", logger.warning)
            return
        rows = HeldOut({split.name: split.utterances}, self._data.corpus, self._fold)
        if not (leak := describe_leak(rows, model)):
            return
        if not self._allows:
            remedy = f" (--fold {trained_fold})" if trained_fold else ""
            raise UsageError(
                f"--valid-subset {split.name}: the model {leak}, so metrics on them would be worth "
                f"nothing; score rows that it has not seen{remedy}, or add {ALLOW_LEAK}, which "
                "every table made from the predictions will show",
                "leak-scored",
            )
        logger.warning("--valid-subset %s: the model %s; allowed", split.name, leak)
        self._leaks[f"the model {leak}"] = None

    def record(self, model: Provenance | None, transductive: str = "") -> Provenance | None:
        """Return the record of predictions.

        Args:
            model: what it was made from.
            transductive: how its predictions depend on other rows of the split; empty if they do
                not.

        Returns:
            The model's record, the leaks that were allowed, and that note.
        """
        if model is None:
            return None
        notes = (transductive,) if transductive else ()
        return model.merged(Provenance(allowed=tuple(self._leaks), transductive=notes))

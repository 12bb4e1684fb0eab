"""Whether what a training takes, or a model that is scored, has seen rows that are held out."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from data_prep.manifest.provenance import SELECTED, TRAINED, Provenance
from data_prep.messages import first_few
from data_prep.schema import Utterance
from emo_fairseq.errors import UsageError

logger = logging.getLogger(__name__)

OPTION = "--allow-leak"


def is_test_split(name: str) -> bool:
    """Return whether a split is one that metrics are reported on, and so may select nothing.

    >>> [is_test_split(name) for name in ("test", "test2", "valid")]
    [True, True, False]
    """
    return name.startswith("test")


class HeldOut(NamedTuple):
    """The rows that nothing in a run may have seen.

    Attributes:
        splits: their rows by split or by set of the fold.
        corpus: the name of the data dir's corpus; None without corpus.yaml.
        fold: PROTOCOL/FOLD, or None.
    """

    splits: Mapping[str, Sequence[Utterance]]
    corpus: str | None
    fold: str | None


class LeakGuard:
    """Compares the training rows of what a run reads (weights, teachers) with its held-out rows.

    Rows of a test split may neither have fitted nor selected anything; rows of any other split may
    have selected a checkpoint, as a valid split does, but not have fitted it.

    Args:
        read_held_out: called once, by the first comparison.
        allows: ``--allow-leak``: a leak is recorded and logged, not refused.

    Attributes:
        accepted: the union of the records of all that was accepted.
    """

    def __init__(self, read_held_out: Callable[[], HeldOut], allows: bool) -> None:
        self._read_held_out, self._allows = read_held_out, allows
        self._held_out: HeldOut | None = None
        self._warned: set[str] = set()
        self.accepted = Provenance()

    def check(self, option: str, path: str | Path, provenance: Provenance | None) -> None:
        """Accept a file into the run, or refuse it.

        Args:
            option: that names it, such as ``--init-from``.
            path: of the file.
            provenance: the rows that it was made from; None where nothing records them.

        Raises:
            UsageError: it has seen held-out rows, and ``--allow-leak`` is not given.
        """
        name, short = f"{option} {path}", f"{option} {Path(path).name}"
        if provenance is None:
            warn_unknown(name, self._warn)
            self.accepted = self.accepted.merged(Provenance(unknown=(short,)))
            return
        leak = self._leak(name, provenance)
        if leak and not self._allows:
            remedy = "" if self._fold is None else f", such as that of --fold {self._fold}"
            raise UsageError(
                f"{name}: {leak}, so metrics on them would be worth nothing; take one that was "
                f"made without these rows{remedy}, or add {OPTION}, which every table made from "
                "this run will show",
                "leak-held-out-rows",
            )
        if leak:
            self._warn(f"{name}: {leak}; allowed by {OPTION}")
        for part in provenance.unknown:
            self._warn(f"{name}: was made from {part}, whose rows are not recorded")
        for before in provenance.allowed:
            self._warn(f"{name}: was made with {OPTION}: {before}")
        own = Provenance(allowed=(f"{short}: {leak}",) if leak else ())
        self.accepted = self.accepted.merged(provenance, own)

    @property
    def _fold(self) -> str | None:
        return None if self._held_out is None else self._held_out.fold

    def _leak(self, name: str, provenance: Provenance) -> str:
        if not provenance.seen:
            return ""
        self._held_out = self._held_out or self._read_held_out()
        for split, rows in self._held_out.splits.items():
            if other := provenance.namesakes(rows, self._held_out.corpus):
                self._warn(
                    f"{name}: every id of {split} is also that of a row of the corpus {other}, "
                    "which it was trained on; if these are the same recordings under another name, "
                    "it has seen them"
                )
        return describe_leak(self._held_out, provenance)

    def _warn(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            logger.warning("%s", message)


def warn_unknown(name: str, warn: Callable[[str], None]) -> None:
    """Warn that a file has no record of the rows that it was made from."""
    warn(
        f"{name}: no record of the rows that it was made from (it is of an older version, of "
        "another program, or was changed since), so it cannot be checked whether it has seen rows "
        "that are held out here"
    )


def describe_leak(held_out: HeldOut, provenance: Provenance) -> str:
    """Describe which held-out rows a record has, as the predicate of a sentence; empty if none."""
    where = "" if held_out.fold is None else f" of {held_out.fold}"
    seen = [
        (split, use, provenance.overlap(rows, held_out.corpus, (use,)))
        for split, rows in held_out.splits.items()
        for use in ((TRAINED, SELECTED) if is_test_split(split) else (TRAINED,))
    ]
    return " and ".join(
        f"was {use} on {len(ids)} of the {len(held_out.splits[split])} rows of {split}{where}, "
        f"which are held out here ({first_few(ids)})"
        for split, use, ids in seen
        if ids
    )

"""The prototypes of a task's classes in VAD space, and the distances of utterances to them."""

import logging
from pathlib import Path

import numpy as np
import torch
from fairseq.tasks.fairseq_task import StatefulContainer
from torch import Tensor

from data_prep.manifest.provenance import read_beside
from data_prep.prototypes import (
    PUBLISHED_NAME,
    Prototypes,
    difficulties,
    prototypes_path,
    published_prototypes,
    read_prototypes,
)
from data_prep.prototypes.records import CORPUS
from emo_fairseq.data.annotations import Classes, group_ids, vad_values
from emo_fairseq.data.manifest import Split
from emo_fairseq.errors import UsageError
from emo_fairseq.tasks.config import EmotionPredictionConfig
from emo_fairseq.tasks.provenance import Accept

logger = logging.getLogger(__name__)

_FITTED, _VALUES, _CORPORA = "fitted", "values", "corpora"
_CLASS_MEANS, _QUANTILES = "class_means", "quantiles"


class ClassPrototypes:
    """What ``--prototypes`` names, read once and kept in the task's state.

    Args:
        cfg: options of the task.
        folder: the data dir.
        state: of the task; its ``prototypes`` is a dict that is empty until they are read.
        classes: whose prototypes.
        accept: lets a file that was made from other rows into the training, or refuses it.
    """

    def __init__(
        self,
        cfg: EmotionPredictionConfig,
        folder: Path,
        state: StatefulContainer,
        classes: Classes,
        accept: Accept,
    ) -> None:
        self._cfg, self._folder, self._state, self.classes = cfg, folder, state, classes
        self._accept = accept

    def exist(self) -> bool:
        """Return whether a checkpoint, ``--prototypes`` or the data dir has prototypes of a class.

        A file of the data dir with none of the classes is ignored, with a warning.
        """
        if self._state.prototypes or self._cfg.prototypes:
            return True
        file, names = self._file(), self.classes.names
        if not file.exists():
            return False
        prototypes = read_prototypes(file)
        if prototypes.label != self.classes.column:
            return False
        has_one = len(prototypes.missing(names)) < len(names)
        if not has_one:
            logger.warning("%s: has none of the classes %s, not used", file, ", ".join(names))
        return has_one

    def require(self, wanted_by: str) -> None:
        """Read the prototypes, unless they were read before.

        Args:
            wanted_by: the option that needs them, for messages.

        Raises:
            UsageError: no file, or one of other classes.
        """
        if self._state.prototypes:
            return
        prototypes = self._read(wanted_by)
        names = self.classes.names
        by_corpus = str(self._cfg.prototype_scope) == CORPUS
        if by_corpus and not prototypes.corpora:
            raise UsageError(
                f"--prototype-scope {CORPUS}: {self._file()} names no corpora; fit it on manifests "
                "with a column corpus, which data_prep.combine writes",
                "prototypes-corpora-missing",
            )
        # (S, K, 3)
        values = prototypes.by_corpus(names) if by_corpus else np.stack([prototypes.array(names)])
        if np.isnan(values[-1]).all():
            raise UsageError(
                f"{wanted_by}: {self._file()} has none of the classes {', '.join(names)}; "
                f"run {self._command()}",
                "prototypes-other",
            )
        if without := prototypes.missing(names):
            logger.warning("no prototype of %s: its rows have no difficulty", ", ".join(without))
        self._state.prototypes[_FITTED] = torch.from_numpy(values)
        self._state.prototypes[_VALUES] = torch.from_numpy(values.copy())
        self._state.prototypes[_CORPORA] = list(prototypes.corpora) if by_corpus else []

    def _file(self) -> Path:
        return Path(self._cfg.prototypes or prototypes_path(self._folder, self._cfg.fold))

    def _command(self) -> str:
        """Return the command that fits the file."""
        fold = f" --fold {self._cfg.fold}" if self._cfg.fold else ""
        column = self.classes.column
        return f"`python -m data_prep.fit_prototypes {self._folder} --label {column}{fold}`"

    def _read(self, wanted_by: str) -> Prototypes:
        if self._cfg.prototypes == PUBLISHED_NAME:
            return published_prototypes()
        if not self._file().exists():
            raise UsageError(
                f"{wanted_by}: {self._file()} does not exist; run {self._command()}",
                "prototypes-missing",
            )
        prototypes = read_prototypes(self._file())
        seen = read_beside(self._file())
        if seen is None and prototypes.fold != self._cfg.fold:
            raise UsageError(
                f"{self._file()}: fitted on {prototypes.fold or 'the train split'}, which holds "
                f"rows that --fold {self._cfg.fold} does not train on; run {self._command()}",
                "prototypes-fold-other",
            )
        if prototypes.label != self.classes.column:
            raise UsageError(
                f"{self._file()}: prototypes of {prototypes.label}, and not of "
                f"{self.classes.column}; run data_prep.fit_prototypes with --label "
                f"{self.classes.column}",
                "prototypes-other",
            )
        self._accept("--prototypes", self._file(), seen)
        return prototypes

    @property
    def values(self) -> Tensor:
        """(S, K, 3), the last scope being all corpora together; NaN for a class without one.

        They may move in training; :meth:`distances` are those to where they began.
        """
        return self._state.prototypes[_VALUES]

    @values.setter
    def values(self, moved: Tensor) -> None:
        self._state.prototypes[_VALUES] = moved

    def scopes(self, split: Split) -> np.ndarray:
        """Return (N,) int64, the scope of each row; -1, the last, where its corpus is unknown."""
        return group_ids(split, "corpus", self._state.prototypes[_CORPORA])

    def distances(self, split: Split) -> np.ndarray:
        """Return (N,) float64 difficulties, NaN = unknown."""
        return difficulties(
            vad_values(split),
            self.classes.ids(split),
            self._state.prototypes[_FITTED].cpu().numpy(),
            self.scopes(split),
        )

    def class_means(self, split: Split) -> Tensor:
        """Return the (K,) mean difficulties of the classes, NaN for one without rows; kept."""
        if _CLASS_MEANS not in self._state.prototypes:
            distances, ids = self.distances(split), self.classes.ids(split)
            known = ~np.isnan(distances)
            n_classes = len(self.classes.names)
            counts = np.bincount(ids[known], minlength=n_classes)
            totals = np.bincount(ids[known], weights=distances[known], minlength=n_classes)
            means = np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)
            self._state.prototypes[_CLASS_MEANS] = torch.from_numpy(means)
        return self._state.prototypes[_CLASS_MEANS]

    def check_measured(self, split: Split, wanted_by: str) -> None:
        """Raise a `UsageError` if no row of a split has a difficulty."""
        if np.isnan(self.distances(split)).all():
            raise UsageError(
                f"{wanted_by}: no row of {split.file} has all of valence, arousal and dominance, "
                f"and an {self.classes.column} that has a prototype; leave the option out",
                "difficulty-unknown",
            )

    def quantile(self, split: Split, share: float) -> float:
        """Return the difficulty below which this share of a split's rows is; kept."""
        quantiles: dict[float, float] = self._state.prototypes.setdefault(_QUANTILES, {})
        if share not in quantiles:
            distances = self.distances(split)
            quantiles[share] = float(np.nanquantile(distances, share))
        return quantiles[share]

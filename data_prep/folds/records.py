"""Folds in memory. See `data_prep.folds.file` for the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

UNITS = ("session", "speaker", "dialogue", "row")

Sets = Mapping[str, Sequence[str]]  # "train", "valid" and "test" -> ids
Composition = Mapping[str, Mapping[str, Mapping[str, Any]]]  # fold -> set -> what it is made of


@dataclass(frozen=True)
class Folds:
    """The folds of one protocol; `bases` are the splits whose rows they divide.

    `composition` is what the sets are made of, where their rows were at hand: of folds that were
    read from a file it is empty.
    """

    protocol: str
    unit: str
    seed: int
    bases: tuple[str, ...]
    folds: Mapping[str, Sets]
    composition: Composition = field(default_factory=dict, compare=False)

    @property
    def base(self) -> str:
        """The one split whose rows are divided. Raises ValueError where they are of several."""
        if len(self.bases) > 1:
            raise ValueError(
                f"the folds of {self.protocol} divide {len(self.bases)} splits together "
                f"({', '.join(self.bases)}), where rows of one are wanted; prepare the corpus as "
                "one split, or make folds of one with --base"
            )
        return self.bases[0]

"""Folds in memory. See `data_prep.folding.file` for the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

UNITS = ("session", "speaker", "dialogue", "row")

Sets = Mapping[str, Sequence[str]]  # "train", "valid" and "test" -> ids


@dataclass(frozen=True)
class Folds:
    """The folds of one protocol; `bases` are the splits whose rows they divide."""

    protocol: str
    unit: str
    seed: int
    bases: tuple[str, ...]
    folds: Mapping[str, Sets]

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

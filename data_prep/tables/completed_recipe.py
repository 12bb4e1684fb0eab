"""A recipe as it is completed by what a table shows, with what was found and what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from data_prep.tables.column_contents import Contents
from data_prep.tables.column_map import Decision
from data_prep.tables.recipe import TableRecipe


@dataclass(frozen=True)
class GivenOptions:
    """What was given of a table, beside its recipe.

    Attributes:
        columns: field -> column, "" for none.
        encoding: of the file.
        header: whether there is one.
        decimal: the decimal separator.
        needs_vad: whether valence, arousal or dominance is to be learned.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    encoding: str | None = None
    header: bool | None = None
    decimal: str | None = None
    needs_vad: bool = False


@dataclass
class Inference:
    """A completed recipe.

    Attributes:
        recipe: usable where `decisions` is empty.
        findings: a line each, of what was inferred.
        decisions: what is missing.
        contents: of every column.
    """

    recipe: TableRecipe
    findings: list[str] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    contents: Mapping[str, Contents] = field(default_factory=dict)

    def add(self, problem: str, words: Sequence[str], code: str) -> None:
        """Add a decision of the user's."""
        self.decisions.append(Decision(problem, words, code))

"""What a file of this folder yields: a figure still to be drawn, or why there is none."""

from dataclasses import dataclass
from typing import NamedTuple

from emo_fairseq.evaluation.tables import Table
from emo_fairseq.report.drawing import Draw


@dataclass(frozen=True)
class Plot:
    """A figure.

    Attributes:
        name: of its files.
        title: above it.
        caption: below it: how it is to be read.
        alt: what it shows, for those who do not see it.
        draw: onto an empty matplotlib Figure.
        size: in inches.
        table: the numbers that it is drawn from, if they are few.
    """

    name: str
    title: str
    caption: str
    alt: str
    draw: Draw
    size: tuple[float, float] = (4.8, 3.6)
    table: Table | None = None


class NotDrawn(NamedTuple):
    """A figure that there is none of, and why."""

    what: str
    why: str


Found = Plot | NotDrawn

"""How every figure looks, and how it becomes a PNG, an SVG, and an SVG inside the page."""

import importlib
import io
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.tables import Table

# Colors are Okabe and Ito's (2008), which color-blind readers distinguish, and cividis where a
# number is a color; markers, hatches and line styles repeat them. matplotlib is imported when the
# first figure is drawn, always with its own defaults and without a window: the same data give the
# same bytes, whatever the machine's settings.

BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
PURPLE, SKY, RED = "#CC79A7", "#56B4E9", "#D55E00"
COLORS = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY, "#F0E442", "#7F7F7F")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
HATCHES = ("", "///", "...")
SCALE = "cividis"
GRAY = "#8C959D"  # of points, which are one picture in either scheme
# Three colors that the page replaces by those of its light or dark scheme.
INK, PAPER, FAINT = "#1b1f24", "#fdfdfc", "#c9ced4"
_OF_PAGE = {INK: "var(--ink)", PAPER: "var(--paper)", FAINT: "var(--line)"}

Draw = Callable[[Any], None]  # onto an empty matplotlib Figure
_STYLE = {
    "svg.hashsalt": "emo_fairseq",
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "hatch.linewidth": 0.6,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK
    ),
}
_DPI = 160


def matplotlib() -> Any:
    """Import matplotlib.

    Raises:
        UsageError: it is not installed.
    """
    try:
        with quiet("matplotlib"):
            return importlib.import_module("matplotlib")
    except ImportError as error:
        raise UsageError(
            "--output: figures are drawn with matplotlib, which is not installed; "
            '`pip install matplotlib`, or `pip install -e ".[report]"`',
            "matplotlib-missing",
        ) from error


def render(draw: Draw, size: tuple[float, float]) -> dict[str, bytes]:
    """Draw once, and save as ``png`` and ``svg``."""
    library = matplotlib()
    with quiet("matplotlib"), library.rc_context():
        library.rcdefaults()
        library.rcParams.update(_STYLE)
        figure_class = importlib.import_module("matplotlib.figure").Figure
        figure = figure_class(size, dpi=_DPI, layout="constrained")
        draw(figure)
        # Laid out once: with an engine, matplotlib draws a figure twice each time that it is saved.
        figure.get_layout_engine().execute(figure)
        figure.set_layout_engine(None)
        png = _saved(figure, "png", {"Software": None})
        return {"png": png, "svg": _saved(figure, "svg", {"Date": None, "Creator": None})}


@contextmanager
def quiet(library: str) -> Iterator[None]:
    """Keep a library's debugging messages out of a log of all levels."""
    logger = logging.getLogger(library)
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _saved(figure: Any, suffix: str, metadata: dict[str, None]) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format=suffix, dpi=_DPI, metadata=metadata)
    return content.getvalue()


def inline_svg(svg: str, name: str, alt: str) -> str:
    """Return an SVG file's text as an element of a page: in its colors, with ids of its own.

    Args:
        svg: as matplotlib writes it.
        name: of the figure; begins the ids, which have to differ within a page.
        alt: what the figure shows, escaped.
    """
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)  # the page has its rules
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href=", "href=")
    for given, meant in _OF_PAGE.items():
        svg = svg.replace(given, meant)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    head = re.sub(r' (width|height|version)="[^"]*"', "", svg[: svg.index(">") + 1])
    return f'{head[:-1]} role="img" aria-label="{alt}">' + svg[svg.index(">") + 1 :]


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
    """A figure that cannot be drawn, and why."""

    figure: str
    why: str


MaybePlot = Plot | NotDrawn

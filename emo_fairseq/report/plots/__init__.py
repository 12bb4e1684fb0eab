"""What a report draws: one file a kind of figure, each yielding figures or why there is none."""

from collections.abc import Callable, Iterator, Sequence

from emo_fairseq.report.plots import (
    attention,
    class_bars,
    confusion_matrix,
    dialogues,
    difficulty,
    maps,
    reliability,
    truth_scatter,
    vad_distributions,
)
from emo_fairseq.report.plots.drawing import (
    MaybePlot,
    NotDrawn,
    Plot,
)
from emo_fairseq.report.scored_split import ScoredSplit

MAPS = "Maps"  # of predicted labels they depend on the utterances alone, not on the run
DIALOGUES = "Dialogues"
# Heading -> the figures below it, in the order of the page.
SECTIONS: dict[str, Sequence[Callable[[ScoredSplit], Iterator[MaybePlot]]]] = {
    "Labels": (confusion_matrix.plots, class_bars.plots),
    "Truth and prediction": (truth_scatter.plots,),
    "Distributions": (vad_distributions.plots,),
    "Confidence and difficulty": (reliability.plots, difficulty.plots),
    DIALOGUES: (dialogues.plots,),
    MAPS: (maps.plots,),
    "Attention": (attention.plots,),
}

__all__ = ["DIALOGUES", "MAPS", "SECTIONS", "MaybePlot", "NotDrawn", "Plot"]

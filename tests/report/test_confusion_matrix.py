"""What a drawn confusion matrix shows: the truth in rows, the prediction in columns, no frames."""

import numpy as np
from matplotlib.figure import Figure

from emo_fairseq.report.plots.confusion_matrix import _draw


def test_cells_hold_their_numbers_and_nothing_is_framed() -> None:
    figure = Figure()
    counts = np.array([[3.0, 1.0], [0.0, np.nan]])
    _draw(figure, counts, ["calm", "sad"], lambda count: f"{count:.0f}")
    matrix, scale = figure.axes
    cells = {text.get_position(): text.get_text() for text in matrix.texts}  # by (x, y)
    assert cells == {(0.5, 0.5): "3", (1.5, 0.5): "1", (0.5, 1.5): "0", (1.5, 1.5): "–"}
    assert matrix.yaxis_inverted(), "the first label is in the first row"
    assert (matrix.get_xlabel(), matrix.get_ylabel()) == ("predicted", "truth")
    framed = [spine for spine in matrix.spines.values() if spine.get_visible()]
    assert not framed
    assert not scale.spines["outline"].get_visible()

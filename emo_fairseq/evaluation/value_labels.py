"""Values such as valence as the label of a turn, in formats that have labels alone."""

from collections.abc import Mapping

from data_prep.schema import AXES
from emo_fairseq.evaluation.names import SENTIMENT_SCORE

VALUES = (*AXES, SENTIMENT_SCORE)


def values_text(values: Mapping[str, float]) -> str:
    """Return values as the label of a turn.

    >>> values_text({"valence": 0.25, "arousal": 0.5})
    'valence 0.250, arousal 0.500'
    """
    return ", ".join(f"{axis} {value:.3f}" for axis, value in values.items())


def parse_values(label: str) -> dict[str, float]:
    """Return the values of :func:`values_text`; none of another label.

    >>> parse_values("valence 0.250, arousal 0.500"), parse_values("sad")
    ({'valence': 0.25, 'arousal': 0.5}, {})
    """
    parts = [part.split(" ") for part in label.split(", ")]
    try:
        values = {axis: float(number) for axis, number in parts}
    except ValueError:
        return {}
    return values if set(values) <= {*VALUES} else {}

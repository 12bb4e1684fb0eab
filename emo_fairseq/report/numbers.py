"""How numbers are written for people."""

import math

UNDEFINED = "undefined"


def number(value: float, digits: int = 3) -> str:
    """A figure, or the word for one that is not defined, which is never shown as 0.

    >>> number(0.90625), number(float("nan"))
    ('0.906', 'undefined')
    """
    return f"{value:.{digits}f}" if math.isfinite(value) else UNDEFINED


def between(low: float, high: float, digits: int = 3) -> str:
    """An interval.

    >>> between(0.87, 0.94)
    '0.870 to 0.940'
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return UNDEFINED
    return f"{low:.{digits}f} to {high:.{digits}f}"


def count(n: int, what: str) -> str:
    """A number of things.

    >>> count(1, "speaker"), count(2610, "utterance")
    ('1 speaker', '2,610 utterances')
    """
    return f"{n:,} {what}{'' if n == 1 else 's'}"

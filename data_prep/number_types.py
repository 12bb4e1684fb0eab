"""Numbers on a command line: types for argparse, which names the option that one is wrong for."""

from __future__ import annotations

import argparse
import math


def positive_int(text: str) -> int:
    """A whole number from 1 up. Raises what argparse reports if it is none."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def positive_number(text: str) -> float:
    """A finite number above 0. Raises what argparse reports if it is none."""
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def number_from_zero(text: str) -> float:
    """A finite number from 0 up. Raises what argparse reports if it is none."""
    number = float(text)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not 0 or more")
    return number

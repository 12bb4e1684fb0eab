import argparse

import pytest

from data_prep.number_types import positive_int, positive_number


def test_counts_start_at_one() -> None:
    assert positive_int("3") == 3
    for text in ("0", "-2"):
        with pytest.raises(argparse.ArgumentTypeError, match=f"{text} is not 1 or more"):
            positive_int(text)


def test_numbers_lie_above_zero_and_end_somewhere() -> None:
    assert positive_number("0.25") == 0.25
    for text in ("0", "-1e-9", "inf", "nan"):
        with pytest.raises(argparse.ArgumentTypeError, match=f"{text} is not above 0"):
            positive_number(text)

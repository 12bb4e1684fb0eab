"""Damaged, edited and hostile files of every format: refused by name, or read as they are.

The whole of it is ``make fuzz``; here each format gets as many cases as a minute has room for.
"""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fuzz.families import MODEL_FAMILIES, families
from fuzz.harness import Family, run_family
from fuzz.models import gather_models

CASES = 36
NAMES = [*(family.name for family in families(Path(), None)), *MODEL_FAMILIES]


@pytest.fixture(scope="module")
def all_families(
    trained_models: Any, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Family]:
    place = tmp_path_factory.mktemp("fuzz")
    trained = gather_models(trained_models, place)
    return {family.name: family for family in families(place, trained)}


@pytest.mark.parametrize("name", NAMES)
def test_no_mutation_is_accepted_in_silence_or_ends_in_a_traceback(
    all_families: Mapping[str, Family], name: str, tmp_path: Path
) -> None:
    failures = [case for case in run_family(all_families[name], CASES, tmp_path) if case.is_failure]
    assert not failures, "\n".join(map(str, failures))


def test_cases_are_many_enough() -> None:
    assert CASES * len(NAMES) >= 1500


def test_a_case_is_the_same_whenever_it_is_run(
    all_families: Mapping[str, Family], tmp_path: Path
) -> None:
    family = all_families["predictions"]
    first, second = (run_family(family, 5, tmp_path / name, seed=3) for name in ("a", "b"))
    assert [case.mutation for case in first] == [case.mutation for case in second]
    assert [case.verdict for case in first] == [case.verdict for case in second]
    assert len({case.mutation for case in itertools.chain(first, second)}) > 1

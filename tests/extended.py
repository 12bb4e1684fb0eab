"""Cases of a test of which `make test` runs some, and `make test-all` the others too."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import pytest


def all_but(kept: Collection[str], cases: Iterable[str] | Mapping[str, Any]) -> list[Any]:
    """Return the named parameters of a test; those that are not kept are marked as extended.

    Args:
        kept: names of the cases that `make test` runs.
        cases: names that are the parameter; or names, and one parameter or a tuple of them.
    """
    names = list(cases)
    assert set(kept) < set(names), f"all are kept, or {kept} is none of {names}"
    if isinstance(cases, Mapping):
        values = {name: x if isinstance(x, tuple) else (x,) for name, x in cases.items()}
    else:
        values = {name: (name,) for name in names}
    return [
        pytest.param(*value, id=name, marks=[] if name in kept else [pytest.mark.extended])
        for name, value in values.items()
    ]

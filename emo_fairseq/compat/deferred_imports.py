"""fairseq imports all of its tasks and criterions, and with them libraries that two of them use.

``fairseq.tasks.audio_classification`` and ``fairseq.criterions.sentence_prediction`` import
functions of scikit-learn and SciPy, which takes a second of every start, and call them when they
are trained or scored. While fairseq is imported here, such a function is one that imports the
library when it is called; whoever else imports the library gets the library.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

# Modules that fairseq takes functions from, each after the package that holds it.
_DEFERRED = ("sklearn", "sklearn.metrics", "scipy.stats")


def import_fairseq() -> None:
    """Import fairseq without the libraries that two of its parts use. Later calls do nothing."""
    if "fairseq" in sys.modules:
        return
    with _deferred(_DEFERRED):
        importlib.import_module("fairseq")


@contextmanager
def _deferred(names: tuple[str, ...]) -> Iterator[None]:
    """Replace modules that are not imported yet by ones whose functions import them."""
    replaced = {name: _Deferred(name) for name in names if name not in sys.modules}
    for name, module in replaced.items():
        package, _, part = name.rpartition(".")
        if package in replaced:
            setattr(replaced[package], part, module)
    sys.modules.update(replaced)
    try:
        yield
    finally:
        for name, module in replaced.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


class _Deferred(ModuleType):
    """A module that gives for every name a function which imports the real module and calls it."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        module = self.__name__

        def call(*arguments: Any, **options: Any) -> Any:
            return getattr(importlib.import_module(module), name)(*arguments, **options)

        return call

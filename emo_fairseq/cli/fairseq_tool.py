"""Run a command of fairseq in a process that imports half of what its own program does.

Its program imports scikit-learn, SciPy, pandas and tensorboardX before anything can defer them; see
:mod:`emo_fairseq.compat.deferred_imports`.
"""

import gc
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import emo_fairseq
from emo_fairseq.compat.deferred_imports import import_fairseq
from emo_fairseq.compat.garbage_collection import no_garbage_collection
from emo_fairseq.compat.patching import wrap

_MODULES = {
    "fairseq-hydra-train": "fairseq_cli.hydra_train",
    "fairseq-train": "fairseq_cli.train",
    "fairseq-validate": "fairseq_cli.validate",
}
_FOLDER = Path(__file__).resolve().parents[2]  # which may not be installed
_START = f"import sys; sys.path.append({str(_FOLDER)!r}); import {__name__}; {__name__}.main()"


def started(words: Sequence[str]) -> list[str]:
    """Return the words that start a command here, those of a program of fairseq as this module."""
    program = Path(words[0])
    if program.name in _MODULES and program.parent == Path(sys.executable).parent:
        # -P: modules in the current folder would be found before those that are meant.
        return [sys.executable, "-P", "-c", _START, *words]
    return list(words)


def main() -> None:
    """Run the command that the arguments name, with its options after it."""
    del sys.argv[0]
    with no_garbage_collection():
        module = import_fairseq(_MODULES[Path(sys.argv[0]).name])
        gc.freeze()  # what was imported stays until the end
    take_as_user_dir()
    module.cli_main()


def take_as_user_dir() -> None:
    """Let fairseq find this package by ``--user-dir``, wherever it was imported from."""
    wrap(importlib.import_module("fairseq.utils"), "import_user_module", _registering)


def _registering(import_user_module: Callable[[Any], None]) -> Callable[[Any], None]:
    """Register this package where fairseq would import it, and log that it has been imported."""

    def register_or_import(args: Any) -> None:
        named = getattr(args, "user_dir", None)
        if named is None or not _is_this_package(named):
            import_user_module(args)
            return
        with no_garbage_collection():
            emo_fairseq.register()

    return register_or_import


def _is_this_package(user_dir: str) -> bool:
    """Return whether ``--user-dir`` is this package: by its path, or its name from any folder.

    Fairseq looks for the name beside its own package, where an editable installation is not.
    """
    path = Path(user_dir)
    by_name = user_dir == emo_fairseq.__name__ and not path.exists()
    return by_name or path.resolve() == _FOLDER / emo_fairseq.__name__

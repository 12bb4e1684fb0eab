"""Which libraries are installed: predictions need few, training needs torch and fairseq."""

import importlib.util
import sys

from emo_fairseq.errors import UsageError

TRAINING_STACK = ("torch", "fairseq")


def is_installed(library: str) -> bool:
    """Return whether a library can be imported; nothing is."""
    if library in sys.modules:
        return sys.modules[library] is not None
    return importlib.util.find_spec(library) is not None


def require_training_stack(name: str) -> None:
    """Raise a `UsageError` with the command of installation if torch or fairseq is missing.

    Args:
        name: of what needs them, which begins the sentence.
    """
    missing = [library for library in TRAINING_STACK if not is_installed(library)]
    if missing:
        raise UsageError(
            f"{name} needs {' and '.join(missing)}, which this environment lacks; install the "
            "training stack (`make install` in a clone of the repository), or predict with a model "
            "folder that has a model.onnx (`emotion-recognize export --onnx` writes it)",
            "library-missing",
        )

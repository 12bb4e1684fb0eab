"""transformers, which is an extra."""

import importlib
from typing import Any

from emo_fairseq.errors import UsageError


def transformers() -> Any:
    """The library itself, imported only where an encoder asks for it.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise UsageError(
            "encoders hf:... need the library transformers: `pip install -e .[hf]`"
        ) from error

"""Mistakes in the YAML of ``fairseq-hydra-train``, as one line.

Hydra imports this before it reads any configuration, and so before ``--user-dir`` is imported. In
other programs that use Hydra it does nothing.
"""

import os
import sys
from pathlib import Path
from types import TracebackType

import yaml
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from data_prep.files.documents import yaml_sentence

_COMMAND = "fairseq-hydra-train"
_TRACEBACK_SWITCH = "EMO_FAIRSEQ_TRACEBACK"


def config_sentence(error: BaseException) -> str | None:
    r"""Return the sentence for an error of Hydra, OmegaConf or YAML; None for any other.

    >>> config_sentence(HydraException("Error merging\n'a'"))
    "Error merging 'a'"
    """
    if isinstance(error, yaml.YAMLError):
        return yaml_sentence(error)
    if not isinstance(error, HydraException | OmegaConfBaseException):
        return None
    causes = [str(e) for e in (error, error.__cause__) if e is not None]
    return " ".join(": ".join(causes).split())


def print_config_errors() -> None:
    """Let the excepthook print such an error alone, unless the switch is set."""
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        message = config_sentence(error)
        if message is None or os.environ.get(_TRACEBACK_SWITCH):
            previous(kind, error, trace)
        else:
            sys.stderr.write(f"error: {message}\n")

    sys.excepthook = hook


if Path(sys.argv[0] if sys.argv else "").stem == _COMMAND:
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # or hydra prints a traceback of its own
    print_config_errors()

"""Mistakes in the YAML of ``fairseq-hydra-train`` as one line, and no warnings of deprecation.

Hydra imports this before it reads any configuration, and so before ``--user-dir`` is imported. In
other programs that use Hydra it does nothing. Nothing here may import emo_fairseq: of a package
that is there already, fairseq imports neither tasks nor models.
"""

import logging
import os
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace, TracebackType

import yaml
from hydra._internal import deprecation_warning
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from data_prep.files import flow_yaml
from data_prep.files.yaml_values import yaml_sentence
from data_prep.messages import USAGE_CODE

_COMMAND = "fairseq-hydra-train"
_TRACEBACK_SWITCH = "EMO_FAIRSEQ_TRACEBACK"
_VERBOSE_SWITCH = "EMO_FAIRSEQ_VERBOSE"


def config_sentence(error: BaseException) -> str | None:
    r"""Return the sentence for an error of Hydra, OmegaConf or YAML; None for any other.

    >>> config_sentence(HydraException("Error merging\n'a'"))
    "Error merging 'a'"
    """
    if isinstance(error, yaml.YAMLError):
        return yaml_sentence(error)
    if isinstance(error, FileNotFoundError) and _names_user_dir(error):
        return f"common.user_dir: there is no folder {error}; give that of emo_fairseq"
    if not isinstance(error, HydraException | OmegaConfBaseException):
        return None
    causes = [str(e) for e in (error, error.__cause__) if e is not None]
    return " ".join(": ".join(causes).split())


def _names_user_dir(error: FileNotFoundError) -> bool:
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and frames[-1].name == "import_user_module"


def print_config_errors() -> None:
    """Let the excepthook print such an error alone, unless the switch is set."""
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        message = config_sentence(error)
        if message is None or os.environ.get(_TRACEBACK_SWITCH):
            previous(kind, error, trace)
        else:
            sys.stderr.write(f"error: {message}\n")
            raise SystemExit(USAGE_CODE)  # or Python would end with 1

    sys.excepthook = hook


def ignore_deprecation() -> None:
    """Let Hydra print neither debug messages nor warnings of deprecation, unless verbose.

    It warns of how fairseq uses it. A filter would not last: Hydra restores the filters after it
    has imported this.
    """
    if os.environ.get(_VERBOSE_SWITCH, "0") != "0":
        return
    logging.getLogger("hydra").setLevel(logging.INFO)
    setattr(deprecation_warning, "warnings", SimpleNamespace(warn=lambda *_, **__: None))  # noqa: B010


if Path(sys.argv[0] if sys.argv else "").stem == _COMMAND:
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # or hydra prints a traceback of its own
    print_config_errors()
    flow_yaml.apply()
    ignore_deprecation()

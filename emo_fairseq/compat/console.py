"""What fairseq's commands print: our own messages and warnings, without fairseq's log.

fairseq logs the configuration, the model and every step of its work: 20 kB for three epochs. Here
a filter on the handlers that print keeps most of it away, and warnings of deprecation that other
libraries raise are ignored. Files have the whole log as before: ``--log-file``, and Hydra's.
``EMO_FAIRSEQ_VERBOSE=1`` prints it, too.

Only fairseq's commands are changed, and no program that imports this package.
"""

import logging
import logging.config
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fairseq.utils
from fairseq.logging import progress_bar

from emo_fairseq.compat.patching import wrap
from emo_fairseq.compat.verbosity import is_silent, is_verbose

_OURS = ("emo_fairseq", "data_prep")
# What fairseq logs of the course of a training, and does not log as a warning.
_KEPT = ("Loaded checkpoint", "early stop", "Stopping training", "stopping training")
_DEPRECATED = "(?is).*(deprecat|no longer experimental|version_base)"
_NO_PINNED_MEMORY = ".*pin_memory. argument is set as true but no accelerator"
_HYDRA_COMMAND = "fairseq_cli.hydra_train"


def apply() -> None:
    """Let handlers that fairseq-validate and Hydra make later print as little."""
    wrap(logging.config, "dictConfig", _then_shorten_in_hydra)
    for module in (fairseq.utils, sys.modules.get("fairseq_cli.validate")):
        if module is not None:  # which imports the function of the first by name
            wrap(module, "reset_logging", _then_shorten)


def shorten() -> None:
    """Shorten what a command of fairseq prints from now on. A second call changes nothing."""
    if is_verbose():
        return
    for handler in logging.getLogger().handlers:
        if type(handler) is logging.StreamHandler:  # a subclass writes to a file, or is pytest's
            _shorten_handler(handler)
    if not sys.warnoptions:
        for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", category)
        for message in (_DEPRECATED, _NO_PINNED_MEMORY):
            warnings.filterwarnings("ignore", message, UserWarning)
    # transformers reads them when it is imported: it has a progress bar for loading a file.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def print_progress_of_fairseq(is_printed: bool) -> None:
    """Choose whether the lines of fairseq's progress bars are printed, as ``--log-format`` has it.

    Args:
        is_printed: or whether another progress line takes their place.
    """
    _CONSOLE.prints_progress = is_printed


def _then_shorten(configure: Callable[..., None]) -> Callable[..., None]:
    def configure_and_shorten(*args: Any, **kwargs: Any) -> None:
        configure(*args, **kwargs)
        shorten()

    return configure_and_shorten


def _then_shorten_in_hydra(configure: Callable[..., None]) -> Callable[..., None]:
    def configure_and_shorten(*args: Any, **kwargs: Any) -> None:
        configure(*args, **kwargs)
        if _HYDRA_COMMAND in sys.modules:
            shorten()

    return configure_and_shorten


class _ConsoleFilter(logging.Filter):
    """Keeps fairseq's log from being printed."""

    prints_progress = True

    def filter(self, record: logging.LogRecord) -> bool:
        if is_verbose() or record.levelno >= logging.WARNING:
            return True
        if is_silent() or record.levelno < logging.INFO:
            return False
        if _is_progress(record):
            return self.prints_progress
        if record.name.partition(".")[0] in _OURS:
            return True
        return record.name.startswith("fairseq") and record.getMessage().startswith(_KEPT)


class _ShortFormatter(logging.Formatter):
    """Leaves out the names of modules; on a terminal the time, too.

    Args:
        complete: formats the lines of fairseq's progress bars, which other programs read.
        is_terminal: whether a person reads the lines as they come.
    """

    def __init__(self, complete: logging.Formatter, is_terminal: bool) -> None:
        super().__init__("%(message)s" if is_terminal else "%(asctime)s | %(message)s")
        self.default_msec_format = ""
        self._complete = complete

    def format(self, record: logging.LogRecord) -> str:
        if _is_progress(record):
            return self._complete.format(record)
        if record.levelno >= logging.WARNING:
            record = logging.makeLogRecord(vars(record))
            record.msg, record.args = f"{record.levelname.lower()}: {record.getMessage()}", None
        return super().format(record)


class _CurrentStream:
    """Standard output or error as it is at the time of writing: a progress line replaces it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(getattr(sys, self._name), attribute)


_CONSOLE = _ConsoleFilter()


def _shorten_handler(handler: logging.StreamHandler[Any]) -> None:
    if _CONSOLE in handler.filters:
        return
    handler.addFilter(_CONSOLE)
    is_terminal = handler.stream.isatty()
    complete = handler.formatter or logging.Formatter(logging.BASIC_FORMAT)
    handler.setFormatter(_ShortFormatter(complete, is_terminal))
    for name in ("stdout", "stderr"):
        if handler.stream is getattr(sys, name):
            handler.setStream(_CurrentStream(name))


def _is_progress(record: logging.LogRecord) -> bool:
    """Return whether a progress bar of fairseq logs it, under the name of a split."""
    return Path(record.pathname) == Path(progress_bar.__file__)

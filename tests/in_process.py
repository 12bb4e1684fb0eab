"""fairseq's commands in the test's own process, as if fairseq had just been imported each time."""

import contextlib
import importlib
import io
import logging
import shlex
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from fairseq import checkpoint_utils
from fairseq.logging import metrics
from fairseq_cli import train as fairseq_train

import emo_fairseq
from emo_fairseq.compat.sweeps import close_event_files
from emo_fairseq.evaluation.names import is_larger_better

PLUGIN = Path(emo_fairseq.__file__).parent

# Smaller encoders than robertaEMO_tiny's, for any modality.
TINY = """--arch robertaEMO_tiny
    --text-embed-dim 16 --text-ffn-embed-dim 16 --text-attention-heads 2 --text-encoder-layers 1
    --speech-embed-dim 16 --speech-ffn-embed-dim 16 --speech-attention-heads 2
    --speech-encoder-layers 1 --speech-conv-channels 16
    --speech-conv-layers '[(8, 10, 5)] + [(8, 3, 2)] * 4 + [(8, 2, 2)] * 2'
    --embedding-dim 16"""

PLAIN = f"--user-dir {PLUGIN} --task emotion_prediction --cpu --num-workers 0 --log-format simple"
TRAIN = f"""{PLAIN} --criterion emotion_prediction_cri --optimizer adam --clip-norm 1.0
    --lr 0.003 --log-interval 1 --no-epoch-checkpoints"""


def judged_by(metric: str) -> str:
    """The words that let a metric choose the checkpoint: its best value, whichever end that is."""
    maximize = " --maximize-best-checkpoint-metric" if is_larger_better(metric) else ""
    return f"--best-checkpoint-metric {metric}{maximize}"


def run_tool(module: str, name: str, *options: str | Path) -> str:
    """Run the ``cli_main`` of a module under this name, and return its log.

    Words of the command line are given as strings, split as a shell does, or as paths.
    """
    output = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, fresh_fairseq(output):
        patch.setattr(sys, "argv", [name, *words(options)])
        importlib.import_module(module).cli_main()
    return output.getvalue()


def run_to_end(module: str, name: str, words: Sequence[str]) -> tuple[int, str, str]:
    """Run the ``cli_main`` of a module as a process of its own would end.

    What it does not catch is printed by ``sys.excepthook``.

    Returns:
        The exit status, what is on the standard output, and what is on the standard error.
    """
    output, errors, code = io.StringIO(), io.StringIO(), 0
    with contextlib.ExitStack() as contexts:
        patch = contexts.enter_context(pytest.MonkeyPatch.context())
        contexts.enter_context(fresh_fairseq(output))
        contexts.enter_context(contextlib.redirect_stderr(errors))
        patch.setattr(sys, "argv", [name, *words])
        try:
            importlib.import_module(module).cli_main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        except Exception:
            code = _status_of_error()
    return code, output.getvalue(), errors.getvalue()


def _status_of_error() -> int:
    """Print the error that is handled as the interpreter does; returns the exit status."""
    try:
        sys.excepthook(*sys.exc_info())
    except SystemExit as stop:
        return int(stop.code or 0)
    return 1


COMMANDS = {"fairseq-train": "fairseq_cli.train", "fairseq-validate": "fairseq_cli.validate"}


def run_command(command: Sequence[str]) -> tuple[int, str]:
    """Run a command that ``emotion-recognize`` starts; returns its exit code, and fairseq's log."""
    name = Path(command[0]).name
    if name in COMMANDS:
        # Few threads, few workers: what tests add to what the command writes.
        options = [*map(Path, command[1:]), "--num-workers 0"]
        return 0, run_tool(COMMANDS[name], name, *options)
    _, _, module, *rest = command
    if module == "emo_fairseq.report":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [module, *rest])
            importlib.import_module(f"{module}.__main__").main()
        return 0, ""
    return int(importlib.import_module(module).main(rest)), ""


def words(options: tuple[str | Path, ...]) -> list[str]:
    """The words of a command line."""
    return [
        word
        for option in options
        for word in ([str(option)] if isinstance(option, Path) else shlex.split(option))
    ]


@contextlib.contextmanager
def fresh_fairseq(output: io.StringIO) -> Iterator[None]:
    """As if fairseq had just been imported: it keeps its best score and its meters in globals."""
    for function in (checkpoint_utils.save_checkpoint, fairseq_train.should_stop_early):
        for remembered in ("best", "num_runs"):
            if hasattr(function, remembered):
                delattr(function, remembered)
    metrics.reset()
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    handler = logging.StreamHandler(output)
    handler.setFormatter(logging.Formatter("%(asctime)s | %(levelname)s | %(name)s | %(message)s"))
    root.handlers[:] = [handler]  # fairseq-validate exchanges it for one on standard output
    root.setLevel(logging.INFO)
    try:
        with contextlib.redirect_stdout(output), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        close_event_files()  # as fairseq does at its exit
        root.handlers[:] = handlers
        root.setLevel(level)

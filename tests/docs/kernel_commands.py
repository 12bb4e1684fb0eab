"""Commands that a notebook starts run in its kernel, which has imported their libraries already.

The kernel of `test_notebooks` imports this module before the first cell.
"""

from collections.abc import Sequence

from in_process import run_command
from IPython.utils.capture import capture_output

import emo_fairseq
from emo_fairseq.cli import processes


def run(words: Sequence[str], discard_output: bool = False) -> int:
    """Run a command, in place of `processes.run`; what it prints is not an output of the cell."""
    processes.show(words)
    with capture_output():
        return run_command(words)[0]


emo_fairseq.register()
processes.run = processes.run_quietly = run

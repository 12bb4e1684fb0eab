"""The commands that a command of data_prep prints at its end, for what can be done next."""

import os

NEXT_SWITCH = "EMO_FAIRSEQ_NEXT_COMMANDS"
NO_COMMANDS = "0"


def print_next(*lines: str) -> None:
    """Print the lines, unless the command is a step of another one, which goes on by itself."""
    if os.environ.get(NEXT_SWITCH) != NO_COMMANDS:
        print(*lines, sep="\n")

"""``prepare``, ``tokenize`` and ``report``: other commands of the project under one name."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import data_prep
from emo_fairseq.cli import processes
from emo_fairseq.errors import UsageError

_SPEECH = "--speech"
_ABOUT = {
    "prepare": "make a data dir of a corpus: prepare CORPUS ... is python -m data_prep.CORPUS ...",
    "tokenize": "text to tokens: python -m data_prep.tokenize_text ...; with --speech first, sound",
    "report": "tables and pages of predictions: python -m emo_fairseq.report ...",
}
_HELP = ("-h", "--help")


def add(subcommands: Any) -> None:
    """Name them in the list of subcommands; their options are their own."""
    for name, about in _ABOUT.items():
        subcommands.add_parser(name, help=about, description=about, add_help=False)


def takes(words: Sequence[str]) -> bool:
    """Whether a command line is one of these."""
    return bool(words) and words[0] in _ABOUT


def run(words: Sequence[str]) -> int:
    """Run the command that is meant, with all that follows.

    Raises:
        UsageError: no such preparation.
    """
    name, *rest = words
    if name == "report":
        return processes.run(processes.module("emo_fairseq.report", *rest))
    if name == "tokenize":
        kind = "speech" if _SPEECH in rest[:1] else "text"
        rest = rest[1:] if kind == "speech" else rest
        return processes.run(processes.module(f"data_prep.tokenize_{kind}", *rest))
    known = preparations()
    if not rest or rest[0] in _HELP:
        out = sys.stdout if rest else sys.stderr
        out.write(f"{_ABOUT[name]}\n\n{', '.join(known)}\n\n`prepare CORPUS --help` tells more.\n")
        return 0 if rest else 2
    if rest[0] not in known:
        raise UsageError(f"prepare {rest[0]}: there is no such preparation: {', '.join(known)}")
    return processes.run(processes.module(f"data_prep.{rest[0]}", *rest[1:]))


def preparations() -> list[str]:
    """The commands of data_prep."""
    folder = Path(str(data_prep.__file__)).parent
    runs_alone = re.compile(r'^if __name__ == "__main__":', re.MULTILINE)
    files = {file.stem: file for file in folder.glob("*.py")}
    files |= {file.parent.name: file for file in folder.glob("*/__main__.py")}
    return sorted(
        name for name, file in files.items() if runs_alone.search(file.read_text(encoding="utf-8"))
    )

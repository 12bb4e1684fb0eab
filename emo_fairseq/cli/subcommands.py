"""``prepare``, ``tokenize`` and ``report``: subcommands that run other commands of the project."""

import importlib.util
import sys
from collections.abc import Sequence
from typing import Any

from emo_fairseq.cli import processes
from emo_fairseq.errors import UsageError

_SPEECH = "--speech"
_ABOUT = {
    "prepare": "write the data dir of a corpus (python -m data_prep.CORPUS)",
    "tokenize": "tokenize the text of a data dir, or with --speech its speech (python -m "
    "data_prep.tokenize_text)",
    "report": "write tables and a page of saved predictions (python -m emo_fairseq.report)",
}
_HELP = ("-h", "--help")
_OWN_DATA = {
    "table": "your own corpus: a CSV, TSV, Parquet or JSON lines table",
    "hf_table": "tables as `datasets` exports them, and audformat databases",
}


def add(subcommands: Any) -> None:
    """Add their names to the list of subcommands; the commands parse their options."""
    for name, about in _ABOUT.items():
        subcommands.add_parser(name, help=about, description=about, add_help=False)


def takes(words: Sequence[str]) -> bool:
    """Return whether a command line is one of these."""
    return bool(words) and words[0] in _ABOUT


def run(words: Sequence[str]) -> int:
    """Run the command with all arguments that follow.

    Raises:
        UsageError: no such corpus.
    """
    name, *rest = words
    if name == "report":
        return processes.run(processes.module("emo_fairseq.report", *rest))
    if name == "tokenize":
        kind = "speech" if _SPEECH in rest[:1] else "text"
        rest = rest[1:] if kind == "speech" else rest
        return processes.run(processes.module(f"data_prep.tokenize_{kind}", *rest))
    return _prepare(rest)


def _prepare(words: Sequence[str]) -> int:
    from data_prep.corpora.registry import CORPORA

    if not words or words[0] in _HELP:
        out = sys.stdout if words else sys.stderr
        out.write(_prepare_help({name: recipe.summary for name, recipe in CORPORA.items()}))
        return 0 if words else 2
    corpus = words[0]
    if corpus not in (*CORPORA, *_OWN_DATA):
        if corpus.isidentifier() and importlib.util.find_spec(f"data_prep.commands.{corpus}"):
            remedy = f"it is no corpus but a command; run python -m data_prep.{corpus}"
        else:
            remedy = f"choose one of {', '.join([*CORPORA, *_OWN_DATA])}"
        raise UsageError(f"prepare {corpus}: {remedy}", "corpus-unknown")
    return processes.run(processes.module(f"data_prep.{corpus}", *words[1:]))


def _prepare_help(corpora: dict[str, str]) -> str:
    """Return the help text of `prepare`: a line for each corpus, and for one's own data."""
    width = max(map(len, [*corpora, *_OWN_DATA]))
    lines = [_ABOUT["prepare"], "", "corpora:"]
    lines += [f"  {name:<{width}}  {summary}" for name, summary in corpora.items()]
    lines += ["", "your own data:"]
    lines += [f"  {name:<{width}}  {summary}" for name, summary in _OWN_DATA.items()]
    lines += ["", "`prepare CORPUS --help` lists the options of a corpus.", ""]
    return "\n".join(lines)

"""The page of all corpora: what is read, what is assumed, what is not used."""

import inspect

from data_prep.commands import hf_table
from data_prep.commands import table as own_table
from data_prep.corpora.registry import CORPORA
from reference_pages.docstrings import to_markdown
from reference_pages.markdown import GENERATED, joined, table

_INTRODUCTION = """# Corpora

Each corpus is read as its owners distribute it, by `python -m data_prep.NAME CORPUS_DIR DATA_DIR`
or `emotion-recognize prepare NAME CORPUS_DIR DATA_DIR`. The options of each are among the
[commands](commands/data_prep.md).

Only MELD, RAVDESS, EmoBank, EmoryNLP, GoEmotions, the votes of CREMA-D and the metadata of EmoBox
have been read from their owners' files so far. The other readers are tested on small folders in the
official layout, with its known faults; what they assume is written below. Nothing is dropped
silently: `corpus.yaml` counts and lists every row that was left out, with the reason.
"""
_OWN = {"table": own_table, "hf_table": hf_table}


def pages() -> dict[str, str]:
    """Return the page."""
    rows = [
        [f"[`{name}`](#{name})", recipe.summary.rstrip("."), recipe.needs or "nothing"]
        for name, recipe in CORPORA.items()
    ]
    parts = [_INTRODUCTION, GENERATED, table(["name", "corpus", "reads"], rows)]
    for name, recipe in CORPORA.items():
        parts += [f"## {name}", to_markdown(inspect.cleandoc(recipe.description or ""))]
    parts.append("## Other corpora")
    for name, module in _OWN.items():
        parts += [f"### {name}", to_markdown(inspect.cleandoc(module.__doc__ or ""))]
    return {"reference/corpora.md": joined(parts)}

"""The page of error codes, from every place that raises an error with one."""

import ast
import os
import re
from collections import defaultdict

from data_prep.messages import OTHER_SYSTEM_ERROR, SYSTEM_ERRORS
from reference_pages.markdown import GENERATED, escaped, joined, table
from reference_pages.raised_errors import code_of, raised_errors, read_modules, texts_of

_WHAT, _REMEDY = 2, 3  # arguments of a Fault
_WORD = re.compile(r"[a-zA-Z]{2,}")
_FEWEST_WORDS = 4
_INTRODUCTION = """# Error codes

An error in the data, the files or the options is one sentence with a code in brackets, on the
command line; `error.code` in Python; `"code"` in the JSON API. The sentence is for people and may
change; the code does not. `EMO_FAIRSEQ_TRACEBACK=1` shows the traceback, too.

`…` is filled in when the error is raised. A code without a sentence here has that of the check
behind it.
"""


def pages() -> dict[str, str]:
    """Return the page."""
    rows = [
        [
            f"`{code}`",
            "<br>".join(sorted(map(escaped, filter(_is_sentence, sentences)))),
            ", ".join(f"`{name}`" for name in sorted(packages)),
        ]
        for code, (sentences, packages) in sorted(read_codes().items())
    ]
    parts = [_INTRODUCTION, GENERATED, table(["code", "sentence", "raised in"], rows)]
    return {"reference/error_codes.md": joined(parts)}


def read_codes() -> dict[str, tuple[set[str], set[str]]]:
    """Return the sentences of every code, and the packages that raise it."""
    codes: dict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    for file, tree in read_modules().items():
        for call, name in raised_errors(tree):
            code = code_of(call, name)
            for text in texts_of(code) if code is not None else ():
                sentences, packages = codes[text]
                sentences.add(_sentence(call, name))
                packages.add(".".join(file.split("/")[:2]).removesuffix(".py"))
    for number, (remedy, of_system) in SYSTEM_ERRORS.items():
        sentences, packages = codes[of_system]
        sentences.add(f"…: {os.strerror(number).lower()}; {remedy}")
        packages.add("data_prep.messages")
    codes[OTHER_SYSTEM_ERROR][1].add("data_prep.messages")
    return codes


def _is_sentence(text: str) -> bool:
    """Return whether a message has words of its own, beside what it is filled with."""
    return len(_WORD.findall(text)) >= _FEWEST_WORDS


def _sentence(call: ast.Call, name: str) -> str:
    """Return the message of an error as it is written; empty if it comes from elsewhere."""
    if name == "Fault":
        parts = [_text(part) for part in call.args[_WHAT : _REMEDY + 1]]
        return "; ".join(filter(None, parts))
    return _text(call.args[0]) if call.args else ""


def _text(node: ast.expr) -> str:
    """Return a text or f-string, with `…` for what it is filled with; empty for other nodes."""
    if isinstance(node, ast.Constant):
        return str(node.value) if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or "…" for part in node.values)
    return ""

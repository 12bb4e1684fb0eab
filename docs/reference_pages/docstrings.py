"""Docstrings as Markdown.

The docstrings are plain text for people, in which columns, layouts of folders and doctests are
aligned by spaces. Markdown would join such lines, so they are put into blocks of code.
"""

import re
import textwrap
from collections.abc import Iterable, Sequence

import griffe

_SECTIONS = ("Args", "Attributes", "Raises", "Returns", "Yields")
_SECTION = re.compile(rf"^(?:{'|'.join(_SECTIONS)}):$", re.MULTILINE)
_ROLE = re.compile(r":\w+:`[~.]?([^`]+)`")
_TAG = re.compile(r"<(?=[a-zA-Z/])")
_LIST_ITEM = re.compile(r"(?:[-*]|\d\.) ")


class DocstringsAsMarkdown(griffe.Extension):
    """An extension of griffe, from which mkdocstrings renders the pages of the interface."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Convert the docstring of a module, class or function; its sections are griffe's."""
        if obj.docstring is not None:
            obj.docstring.value = to_markdown(obj.docstring.value)


def to_markdown(text: str) -> str:
    r"""Return a docstring as Markdown, in which sections such as ``Args:`` are left as they are.

    >>> print(to_markdown("Return ``x`` of :class:`A`.\n\n    x  1"))
    Return `x` of `A`.
    <BLANKLINE>
    ```text
    x  1
    ```
    >>> print(to_markdown("- an item that\n  goes on"))
    - an item that
      goes on
    """
    paragraphs = text.strip().split("\n\n")
    return "\n\n".join(part for paragraph in paragraphs for part in _converted(paragraph))


def _converted(paragraph: str) -> Iterable[str]:
    lines = paragraph.splitlines()
    if _SECTION.search(paragraph) or _is_list(lines):
        yield _inline(paragraph, tags=_is_list(lines))
    elif ">>> " in paragraph:
        first = next(i for i, line in enumerate(lines) if line.strip().startswith(">>> "))
        if first:
            yield _inline("\n".join(lines[:first]))
        yield _block(lines[first:], "python")
    else:
        laid_out = [index for index, line in enumerate(lines) if _is_laid_out(line)]
        first, end = (laid_out[0], laid_out[-1] + 1) if laid_out else (len(lines), len(lines))
        if first:
            yield _inline("\n".join(lines[:first]).removesuffix("::"))
        if laid_out:
            yield _block(lines[first:end], "text")
        if end < len(lines):
            yield _inline("\n".join(lines[end:]))


def _is_list(lines: Sequence[str]) -> bool:
    """Return whether a paragraph is a list, whose items may go on in lines that are indented."""
    following = (line for line in lines if not _LIST_ITEM.match(line))
    is_text = all(line.startswith("  ") and "   " not in line.strip() for line in following)
    return _LIST_ITEM.match(lines[0]) is not None and is_text


def _is_laid_out(line: str) -> bool:
    """Return whether a line is part of a drawing, a layout or a table."""
    stripped = line.strip()
    if _LIST_ITEM.match(stripped):
        return False
    return line.startswith("  ") or "   " in stripped


def _block(lines: Iterable[str], language: str) -> str:
    return f"```{language}\n{textwrap.dedent(chr(10).join(lines)).strip(chr(10))}\n```"


def _inline(text: str, *, tags: bool = True) -> str:
    """Return prose with code in single backticks, and with `<name>` as text."""
    text = _ROLE.sub(r"`\1`", text).replace("``", "`")
    parts = text.split("`")
    if tags:
        parts[::2] = [_TAG.sub("&lt;", part) for part in parts[::2]]
    return "`".join(parts)

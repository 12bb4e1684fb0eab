"""Pieces of Markdown that all generated pages are made of."""

from collections.abc import Iterable, Sequence

GENERATED = "This page is generated from the code: `make docs-pages`."


def escaped(cell: str) -> str:
    r"""Return text for a cell of a table, outside of code.

    >>> print(escaped("a|b <d>"))
    a\|b &lt;d>
    """
    return " ".join(cell.split()).replace("|", "\\|").replace("<", "&lt;")


def code(text: str) -> str:
    r"""Return text as code, or nothing for nothing.

    >>> print(code("a|b"))
    `a\|b`
    """
    return f"`{text}`".replace("|", "\\|") if text else ""


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are Markdown already."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def joined(parts: Iterable[str]) -> str:
    """Return the parts of a page with an empty line between them."""
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"

"""Notebooks as pages: their text, code and the outputs that they were saved with."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reference_pages.markdown import joined

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
_STYLED = re.compile(r"\x1b\[[0-9;]*m")


def pages() -> dict[str, str]:
    """Return a page for each notebook."""
    return {f"notebooks/{file.stem}.md": page_of(file) for file in sorted(FOLDER.glob("*.ipynb"))}


def page_of(file: Path) -> str:
    """Return a notebook as Markdown."""
    notebook = json.loads(file.read_text(encoding="utf-8"))
    first, *others = (part for cell in notebook["cells"] for part in _cell(cell))
    link = f"This page is a notebook: [{file.name}]({file.name})."
    return joined([first, link, *others])


def _cell(cell: dict[str, Any]) -> Iterator[str]:
    source = _text(cell["source"])
    if cell["cell_type"] == "markdown":
        yield source
        return
    yield f"```python\n{source}\n```"
    for output in cell["outputs"]:
        yield _output(output)


def _output(output: dict[str, Any]) -> str:
    """Return an output as an image, as HTML or as text, in this order of preference."""
    data = output.get("data", {})
    if "image/png" in data:
        return f"![figure](data:image/png;base64,{_text(data['image/png']).strip()})"
    if "text/html" in data:
        return _text(data["text/html"])
    text = _text(data.get("text/plain", output.get("text", "")))
    return f"```text\n{_STYLED.sub('', text).rstrip()}\n```"


def _text(value: str | list[str]) -> str:
    return value if isinstance(value, str) else "".join(value)

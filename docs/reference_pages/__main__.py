"""Write the generated pages that the repository keeps: ``make docs-pages``."""

import sys
from collections.abc import Callable
from pathlib import Path

from emo_fairseq.options.reference import write_reference
from reference_pages import commands, corpora, formats, metrics, recipes

DOCS = Path(__file__).resolve().parents[1]
MAKERS: tuple[Callable[[], dict[str, str]], ...] = (
    lambda: {"reference/options.md": write_reference()},
    commands.pages,
    formats.pages,
    metrics.pages,
    corpora.pages,
    recipes.pages,
)


def make_pages() -> dict[str, str]:
    """Return all generated pages, by their path below docs/."""
    return {path: text for make in MAKERS for path, text in make().items()}


def main() -> int:
    """Write the pages that have changed, and print their paths."""
    for path, text in make_pages().items():
        file = DOCS / path
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            sys.stdout.write(f"written: {file}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

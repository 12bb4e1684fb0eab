"""The reference page of the docs is that of the code."""

from pathlib import Path

from emo_fairseq.options.reference import write_reference

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "options.md"


def test_the_page_is_up_to_date() -> None:
    remedy = "make docs-pages"
    assert PAGE.read_text(encoding="utf-8") == write_reference(), remedy

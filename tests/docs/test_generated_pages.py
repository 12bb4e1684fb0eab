"""The generated pages are those of the code, and describe everything of its kind."""

import ast
from pathlib import Path

import pytest
from reference_pages import api, commands, error_codes
from reference_pages.__main__ import DOCS, make_pages

from data_prep.corpora.registry import CORPORA
from emo_fairseq.evaluation.names import METRICS

REPOSITORY = DOCS.parent
NOT_IN_PACKAGES = {"emo_fairseq.cli", "emo_fairseq.compat", "emo_fairseq.options"}


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return make_pages()


def test_the_pages_are_up_to_date(pages: dict[str, str]) -> None:
    kept = {path: (DOCS / path).read_text(encoding="utf-8") for path in pages}
    assert [path for path in pages if kept[path] != pages[path]] == [], "make docs-pages"


def test_every_module_with_a_command_is_described() -> None:
    """All files that end in ``if __name__ == "__main__"``, but for those that are not for users."""
    described = {name.split()[2] for name, _ in commands.every_command() if "-m" in name}
    not_described = set()
    for package in ("emo_fairseq", "data_prep"):
        for file in (REPOSITORY / package).rglob("*.py"):
            name = ".".join(file.relative_to(REPOSITORY).with_suffix("").parts)
            if runs_as_a_command(file):
                not_described.add(name.removesuffix(".__main__"))
    # Which train runs.
    inner = {"emo_fairseq.cli.train.batch_trial", "emo_fairseq.cli.train.command_check"}
    assert not_described - described - inner == {"emo_fairseq.cli", "emo_fairseq.options.reference"}


def runs_as_a_command(file: Path) -> bool:
    tree = ast.parse(file.read_text())
    return any(
        isinstance(node, ast.If) and "__main__" in ast.unparse(node.test) for node in tree.body
    )


def test_hidden_options_are_not_shown(pages: dict[str, str]) -> None:
    page = pages["reference/commands/emotion_recognize.md"]
    assert "`--modality`" in page
    assert "==SUPPRESS==" not in page


def test_every_metric_and_corpus_is_described(pages: dict[str, str]) -> None:
    for key in METRICS:
        assert f"| `{key}` |" in pages["reference/metrics.md"]
    for name in CORPORA:
        assert f"\n## {name}\n" in pages["reference/corpora.md"]


def test_codes_have_sentences_and_places() -> None:
    (page,) = error_codes.pages().values()
    (row,) = [line for line in page.splitlines() if line.startswith("| `data-other-ids` |")]
    assert "no manifest in it has any of the … scored ids" in row
    assert "`emo_fairseq.report`" in row


def test_every_package_is_on_a_page_of_the_interface() -> None:
    described = {name for page in api.PAGES for name in page.modules}
    packages = {
        f"emo_fairseq.{file.parent.name}"
        for file in (REPOSITORY / "emo_fairseq").glob("*/__init__.py")
    }
    assert packages - described == NOT_IN_PACKAGES


def test_modules_of_a_page_of_the_interface() -> None:
    page = api.pages()["reference/api/evaluation.md"]
    assert "::: emo_fairseq.evaluation\n" in page
    assert "::: emo_fairseq.evaluation.bootstrap\n" in page

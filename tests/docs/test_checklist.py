"""The checklist of the original systems: every command, file, name and metric on it exists.

`test_commands.py` looks its options up.
"""

import re

import pytest
from code_blocks import REPOSITORY
from reference_pages.commands import every_command
from test_architecture_page import resolve

import emo_fairseq
from emo_fairseq.evaluation.names import METRICS
from emo_fairseq.options.option import flag, rules_of
from emo_fairseq.options.registered import registered_schemas

PAGE = REPOSITORY / "docs" / "reference" / "checklist.md"
TABLES = re.findall(r"^## (.*?)\n\n((?:\|.*\n)+)", PAGE.read_text(), re.MULTILINE)
ROWS = [
    (section, [cell.strip() for cell in line.strip().strip("|").split("|")])
    for section, table in TABLES
    for line in table.splitlines()[2:]
]
LAST = "Not here, or otherwise"
FAIRSEQ = ("fairseq-train", "fairseq-validate")


def shown() -> list[str]:
    """The code in the right column, but options, of which test_commands.py is."""
    return [
        code
        for section, (_, right) in ROWS
        for code in re.findall(r"`([^`]+)`", right)
        if not code.startswith("--")
    ]


def test_five_systems_and_what_is_not_here() -> None:
    sections = [section for section, _ in TABLES]
    assert len(sections) == 6
    assert sections[-1] == LAST


@pytest.mark.parametrize(("section", "row"), ROWS, ids=lambda x: x[0][:40] if x else "")
def test_every_row_is_shown_or_has_a_reason(section: str, row: list[str]) -> None:
    assert len(row) == 2
    feature, right = row
    assert feature
    assert right
    if section == LAST:
        assert len(right.split()) > 6
    else:
        assert "`" in right
    assert not re.search(r"\b(partly|in part|todo|to do)\b", " ".join(row), re.IGNORECASE)


@pytest.fixture(scope="module")
def commands() -> set[str]:
    """The names of all commands; to make their parsers takes longer than all tests here."""
    emo_fairseq.register()
    return {name for name, *_ in every_command()}


@pytest.mark.parametrize("code", sorted(set(shown())))
def test_code_exists(code: str, commands: set[str]) -> None:
    if code.startswith("metric "):
        assert code.removeprefix("metric ") in METRICS
    elif code.startswith("examples/"):
        assert (REPOSITORY / code).is_file()
    elif code.startswith(("emo_fairseq.", "data_prep.")):
        assert resolve(code) is not None
    else:
        assert code in commands or code in FAIRSEQ


CRITERION = re.compile(r"`--criterion (\w+)`|`--target (\w+)`|`--curriculum-order (\w+)`")


def test_values_of_options_exist() -> None:
    text = PAGE.read_text()
    criterions = {name for name, _, _ in CRITERION.findall(text) if name}
    assert criterions <= {"emotion_prediction_cri", *registered_schemas()["criterion"]}


def test_every_loss_and_every_order_of_curriculum_is_on_the_page() -> None:
    """A criterion that is added has a row."""
    schemas = registered_schemas()
    text = PAGE.read_text()
    options = {
        flag(name)
        for schema in schemas["criterion"].values()
        for name in rules_of(schema)
        if name.startswith(("supcon_weight", "prototype_", "pretraining_t", "masked_lm"))
    }
    unknown = {name for name in options if f"`{name}`" not in text}
    assert unknown <= {"--prototype-momentum"}

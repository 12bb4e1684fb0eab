"""The architecture page names what exists."""

import importlib
import re
from pathlib import Path

import pytest

import emo_fairseq

PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "architecture.md"
DOTTED = sorted(set(re.findall(r"`((?:emo_fairseq|data_prep)(?:\.\w+)+)", PAGE.read_text())))


def resolve(name: str) -> object:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            value: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[length:]:
            value = getattr(value, attribute)
        return value
    raise ModuleNotFoundError(name)


@pytest.mark.parametrize("name", DOTTED)
def test_dotted_names_resolve(name: str) -> None:
    emo_fairseq.register()
    assert resolve(name) is not None


def test_packages_are_those_of_the_table() -> None:
    folder = Path(str(emo_fairseq.__file__)).parent
    packages = {path.parent.name for path in folder.glob("*/__init__.py")}
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    rows = re.findall(r"^\| (`.*?) \|", PAGE.read_text(), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert packages | modules == named

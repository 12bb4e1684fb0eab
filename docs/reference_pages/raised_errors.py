"""Every place in the code that raises an error for users, found in its syntax trees."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("emo_fairseq", "data_prep")

# The position of the code among the arguments: of an error, after its message.
POSITIONS = {"Fault": 4}
POSITION_OF_ERRORS = 1


@functools.cache
def read_modules() -> dict[str, ast.Module]:
    """Return the syntax trees of both packages by file."""
    files = (file for package in PACKAGES for file in sorted((REPOSITORY / package).rglob("*.py")))
    return {str(file.relative_to(REPOSITORY)): ast.parse(file.read_text()) for file in files}


@functools.cache
def classes_with_code() -> set[str]:
    """Return the names of `CodedError`, also `UsageError`, of what derives from it, and `Fault`."""
    nodes = [node for module in read_modules().values() for node in ast.walk(module)]
    bases = {
        node.name: {name_of(base) for base in node.bases}
        for node in nodes
        if isinstance(node, ast.ClassDef)
    }
    known = {"CodedError", "UsageError"}
    while more := {name for name, of in bases.items() if of & known} - known:
        known |= more
    return known | POSITIONS.keys()


def name_of(node: ast.expr) -> str:
    """Return the last part of a dotted name; empty for other expressions."""
    return node.id if isinstance(node, ast.Name) else str(getattr(node, "attr", ""))


def raised_errors(tree: ast.Module) -> Iterator[tuple[ast.Call, str]]:
    """Yield the calls that make an error or a fault, with the name of its class."""
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and (name := name_of(call.func)) in classes_with_code():
            yield call, name


def code_of(call: ast.Call, name: str) -> ast.expr | None:
    """Return the argument that is the code; None if there is none."""
    for keyword in call.keywords:
        if keyword.arg == "code":
            return keyword.value
    position = POSITIONS.get(name, POSITION_OF_ERRORS)
    return call.args[position] if len(call.args) > position else None


def texts_of(code: ast.expr) -> list[str]:
    """Return the codes that an expression may have, as far as they are written in it."""
    constants = [part.value for part in ast.walk(code) if isinstance(part, ast.Constant)]
    return [value for value in constants if isinstance(value, str)]

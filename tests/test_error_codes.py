"""Every error for users has a code in kebab case, wherever it is raised."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = ("emo_fairseq", "data_prep")
CODE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)+")

# The position of the code among the arguments: of an error, after its message.
POSITIONS = {"Fault": 4}
POSITION_OF_ERRORS = 1


@functools.cache
def read_modules() -> dict[str, ast.Module]:
    files = (file for package in PACKAGES for file in (REPOSITORY / package).rglob("*.py"))
    return {str(file.relative_to(REPOSITORY)): ast.parse(file.read_text()) for file in files}


@functools.cache
def classes_with_code() -> set[str]:
    """The names of `CodedError`, of all that derive from it, and of `Fault`."""
    nodes = [node for module in read_modules().values() for node in ast.walk(module)]
    bases = {
        node.name: {name_of(base) for base in node.bases}
        for node in nodes
        if isinstance(node, ast.ClassDef)
    }
    known = {"CodedError"}
    while more := {name for name, of in bases.items() if of & known} - known:
        known |= more
    return known | POSITIONS.keys()


def name_of(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")


def code_of(call: ast.Call, position: int) -> ast.expr | None:
    """The argument that is the code; None if there is none."""
    for keyword in call.keywords:
        if keyword.arg == "code":
            return keyword.value
    return call.args[position] if len(call.args) > position else None


def takes_its_code_elsewhere(call: ast.Call, name: str) -> bool:
    """Whether the arguments bring the code: a fault, or those of another error."""
    if any(isinstance(argument, ast.Starred) for argument in call.args):
        return True
    texts = (ast.Constant, ast.JoinedStr, ast.BinOp)
    return name == "ManifestError" and bool(call.args) and not isinstance(call.args[0], texts)


def texts_of(code: ast.expr) -> list[str]:
    """The codes that an expression may have, as far as it spells them out: of a condition, both."""
    constants = [part.value for part in ast.walk(code) if isinstance(part, ast.Constant)]
    return [value for value in constants if isinstance(value, str)]


def problems(tree: ast.Module) -> Iterator[str]:
    """The calls whose code is missing or not in kebab case, as ``line N: ...``."""
    for call in ast.walk(tree):
        if (
            not isinstance(call, ast.Call)
            or (name := name_of(call.func)) not in classes_with_code()
        ):
            continue
        code = code_of(call, POSITIONS.get(name, POSITION_OF_ERRORS))
        if code is None:
            if not takes_its_code_elsewhere(call, name):
                yield f"line {call.lineno}: {name} without a code"
            continue
        for text in texts_of(code):
            if not CODE.fullmatch(text):
                yield f"line {call.lineno}: {name} with the code {text!r}"


def test_every_error_has_a_code() -> None:
    wrong = [
        f"{file}: {problem}" for file, tree in read_modules().items() for problem in problems(tree)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "line",
    [
        "raise UsageError('no such fold')",
        "raise errors.UsageError('no such fold')",
        "raise UsageError('no such fold', 'Fold unknown')",
        "raise UsageError('no such fold', code='fold')",
        "raise UsageError('no such fold', 'fold-unknown' if fold else 'fold')",
        "raise AudioError(f'{file}: empty')",
        "raise ManifestError(f'{file}: empty')",
        "raise ManifestError(Fault('a.tsv', 3, 'no id', 'give one'))",
        "Fault('a.tsv', 3, 'no id', remedy='give one')",
    ],
)
def test_what_counts_as_missing(line: str) -> None:
    assert len(list(problems(ast.parse(line)))) == 1


@pytest.mark.parametrize(
    "line",
    [
        "raise UsageError('no such fold', 'fold-unknown')",
        "raise UsageError('no such fold', code='fold-unknown')",
        "raise UsageError('no such fold', error.code)",
        "raise UsageError.of(error, 'fold-unknown')",
        "raise ManifestError(Fault('a.tsv', 3, 'no id', 'give one', 'id-empty'))",
        "raise ManifestError(fault)",
        "raise ValueError('for programmers')",
    ],
)
def test_what_counts_as_a_code(line: str) -> None:
    assert list(problems(ast.parse(line))) == []

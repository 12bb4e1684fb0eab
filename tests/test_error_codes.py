"""Every error for users has a code in kebab case, wherever it is raised."""

import ast
import re
from collections.abc import Iterator

import pytest
from reference_pages.raised_errors import code_of, raised_errors, read_modules, texts_of

CODE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)+")


def takes_its_code_elsewhere(call: ast.Call, name: str) -> bool:
    """Whether the arguments bring the code: a fault, or those of another error."""
    if any(isinstance(argument, ast.Starred) for argument in call.args):
        return True
    texts = (ast.Constant, ast.JoinedStr, ast.BinOp)
    return name == "ManifestError" and bool(call.args) and not isinstance(call.args[0], texts)


def problems(tree: ast.Module) -> Iterator[str]:
    """The calls whose code is missing or not in kebab case, as ``line N: ...``."""
    for call, name in raised_errors(tree):
        code = code_of(call, name)
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
        "raise ManifestError(Fault('a.tsv', 3, 'no id', 'give one', 'id-empty'))",
        "raise ManifestError(fault)",
        "raise ValueError('for programmers')",
    ],
)
def test_what_counts_as_a_code(line: str) -> None:
    assert list(problems(ast.parse(line))) == []

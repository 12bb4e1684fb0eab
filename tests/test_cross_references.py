"""Docstrings refer to what exists, by `:mod:`, `:class:` and so on; files are read, not run."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("emo_fairseq", "data_prep")
_ROLE = re.compile(r":(mod|class|func|data|meth|attr|exc):`~?([\w.]+)`")


@cache
def names_of(file: Path) -> frozenset[str]:
    """The names that a module defines or imports, and those of its classes' members."""
    names: set[str] = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        names |= _names(node)
        if isinstance(node, ast.ClassDef):
            members = [name for part in node.body for name in _names(part)]
            names |= {f"{node.name}.{name}" for name in members}
    return frozenset(names)


def _names(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name for alias in node.names}
    return {
        x.id for x in ast.walk(node) if isinstance(x, ast.Name) and isinstance(x.ctx, ast.Store)
    }


def module_file(parts: list[str]) -> Path | None:
    path = ROOT.joinpath(*parts)
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file
    return None


def exists(role: str, target: str, source: Path) -> bool:
    """Whether a target exists; of names without a package only modules beside are checked."""
    if target.startswith("."):
        folder = list(source.relative_to(ROOT).parent.parts)
        return module_file([*folder, *target[1:].split(".")]) is not None or role != "mod"
    parts = target.split(".")
    if parts[0] not in PACKAGES:
        return True
    for length in range(len(parts), 0, -1):
        if (file := module_file(parts[:length])) is not None:
            name = ".".join(parts[length:])
            return not name or name in names_of(file) or parts[length] in names_of(file)
    return False


@pytest.mark.parametrize("package", PACKAGES)
def test_targets_of_docstrings_exist(package: str) -> None:
    wrong = [
        f"{file.relative_to(ROOT)}: {target}"
        for file in sorted((ROOT / package).rglob("*.py"))
        for role, target in _ROLE.findall(file.read_text(encoding="utf-8"))
        if not exists(role, target, file)
    ]
    assert wrong == []


def test_a_missing_target_is_found() -> None:
    here = ROOT / "emo_fairseq" / "data" / "__init__.py"
    assert exists("mod", ".samplers", here)
    assert not exists("mod", ".no_such_module", here)
    assert exists("class", "emo_fairseq.task_state.TaskState.from_state", here)
    assert not exists("class", "emo_fairseq.task_state.NoSuchClass", here)

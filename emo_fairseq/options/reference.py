"""Write the reference page of all options, docs/reference/options.md, from their rules.

python -m emo_fairseq.options.reference docs/reference/options.md
"""

import argparse
import enum
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

from emo_fairseq.options.option import Rule, flag, rules_of
from emo_fairseq.options.registered import registered_schemas

_INTRODUCTION = """# Options

The options that `emo_fairseq` adds to fairseq's own. In a YAML file of Hydra, `--max-text-tokens`
of the task is `task.max_text_tokens`.

A number out of its range is refused, and so is an option that has no effect beside the others: the
run would look like an experiment that it is not. Unused sizes, which commands of BERT-like
(Siriwardhana et al. 2020) carry, are only warned of. An option that has its default counts as not
given.

[The architecture page](../explanation/architecture.md) follows an option from the command line to a
module. This page is generated from the code: `make docs-pages`.
"""
_TITLES = {
    "task": "Task: `--task {}`",
    "model": "Model: `--arch {}`",
    "criterion": "Criterions: `--criterion {}`",
    "optimizer": "Optimizer: `--optimizer {}`",
}
_HEADER = "| option | default | values | no effect if | what it does |\n|---|---|---|---|---|"


def write_reference() -> str:
    """Return the page as Markdown."""
    parts = [_INTRODUCTION]
    for group, schemas in registered_schemas().items():
        parts.append(f"## {_TITLES[group].format('`, `'.join(sorted(schemas)))}\n")
        parts += _sections(schemas)
    return "\n".join(parts)


def _sections(schemas: dict[str, type]) -> Iterator[str]:
    """Yield a table for each dataclass that declares options of a group."""
    declaring: dict[type, list[str]] = {}  # the names of the schemas that have its options
    for name, schema in sorted(schemas.items()):
        for base in reversed(schema.__mro__):  # the order of the fields
            if "__annotations__" in vars(base) and base.__module__.startswith("emo_fairseq."):
                declaring.setdefault(base, []).append(name)
    for base, names in declaring.items():
        own = {n: rule for n, rule in rules_of(base).items() if n in vars(base)["__annotations__"]}
        title = (base.__doc__ or "").partition("\n")[0].rstrip(".")
        if rows := [_row(base, name, rule) for name, rule in own.items()]:
            of_some = len(names) < len(schemas)
            note = f"Of `{'`, `'.join(names)}`.\n\n" if of_some else ""
            yield f"### {title}\n\n{note}{_table(rows)}\n"


def _table(rows: Sequence[str]) -> str:
    return "\n".join([_HEADER, *rows])


def _row(schema: type, name: str, rule: Rule) -> str:
    reasons = "; ".join(dict.fromkeys(condition.describe() for condition in rule.acts))
    cells = [f"`{flag(name)}`", _default(rule.default), _values(schema, name, rule), reasons]
    return f"| {' | '.join(map(_escaped, (*cells, rule.help)))} |"


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("<", "&lt;")


def _default(value: object) -> str:
    if value is None or value is False:
        return ""
    return "required" if value == "???" else f"`{value}`"


def _values(schema: type, name: str, rule: Rule) -> str:
    if rule.range is not None:
        return rule.range.describe()
    declared = next(field.type for field in fields(schema) if field.name == name)
    kind: Any = next((x for x in get_args(declared) if x is not type(None)), declared)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return ", ".join(f"`{choice.value}`" for choice in kind)
    return {bool: "flag", int: "whole number", float: "number"}.get(kind, "")


def main() -> None:
    """Write the page to a file."""
    parser = argparse.ArgumentParser(description="write the reference page of all options")
    parser.add_argument("file", type=Path, help="such as docs/reference/options.md")
    parser.parse_args().file.write_text(write_reference(), encoding="utf-8")


if __name__ == "__main__":
    main()

"""What a model of VAD was trained with, by what stands beside its predictions file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emo_fairseq.data.naming import first_few
from emo_fairseq.errors import UsageError
from emo_fairseq.options.run_files import names_file_of_run

_SECTIONS = ("task.", "model.", "criterion.", "optimizer.", "optimization.", "lr_scheduler.")
_OF_ONE_FOLD = ("task.fold", "task.data", "task.data_raw", "task.cache_dir")
# Values of options that take another training's file, which name none.
_OF_NO_RUN = ("", "checkpoint_last.pt", "published")


def refuse_unknown(file: Path, facts: Mapping[str, Any], remedy: str) -> None:
    """Raise a `UsageError` if nothing stands beside a predictions file."""
    if not facts:
        raise UsageError(f"{file}: nothing beside it says which rows trained its model; {remedy}")


def refuse_other_runs(file: Path, facts: Mapping[str, Any]) -> None:
    """Raise a `UsageError` if a model began from, or was taught by, what another training left.

    That one may have seen the rows that the model's own fold keeps from it.
    """
    options = facts.get("options") or {}
    found = [
        f"{name}={value}"
        for name, value in sorted(options.items())
        if isinstance(value, str) and value not in _OF_NO_RUN and names_file_of_run(name)
    ]
    if found:
        raise UsageError(
            f"{file}: its model learned from another training ({first_few(found)}), and nothing "
            "says that this one had not seen the rows; train the folds without it"
        )


def system_of(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The options that a model was trained with, but those in which folds differ."""
    options = dict(facts.get("options") or {})
    return {
        name: value
        for name, value in options.items()
        if name not in _OF_ONE_FOLD and (name == "common.seed" or name.startswith(_SECTIONS))
    }


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """How two systems differ, in words."""
    return [
        f"{name} {before.get(name)} -> {now.get(name)}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]

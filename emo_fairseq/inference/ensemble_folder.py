"""Folders of ensembles.

A folder has ``ensemble.json``, which names its members, and the model folder of each below
``members/``; it needs nothing beside it. The records in ``ensemble.json`` are the digests of the
members' ``config.json``, which hold those of all their files.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from data_prep.files.documents import Document, FileName, JsonObject, load_json, validate
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.ensembles import Stacking
from emo_fairseq.inference.engine import ModelEngine
from emo_fairseq.inference.ensemble import Combination, EnsembleEngine
from emo_fairseq.inference.model_folder.config import read_config
from emo_fairseq.inference.model_folder.files import CONFIG_FILE, ENSEMBLE_FILE
from emo_fairseq.inference.model_folder.reading import read_model_folder
from emo_fairseq.inference.model_folder.records import content_digest

FORMAT = 1
MEMBERS = "members"

_EXPORT_AGAIN = "export the ensemble again"


class StackingConfig(Document):
    """A :class:`Stacking`; a bias of null is minus infinity: a label that is never predicted."""

    weight: Annotated[list[list[float]], Field(min_length=1)]
    bias: list[float | None]

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if len({len(row) for row in self.weight}) > 1:
            raise ValueError("the rows of weight differ in length")
        return self


class EnsembleConfig(Document):
    """The schema of ensemble.json."""

    format: int
    emo_fairseq: str
    combine: Literal["mean", "vote", "stack"]
    labels: list[str]
    members: Annotated[dict[FileName, str], Field(min_length=2)]
    stacking: StackingConfig | None = None
    digest: str


@dataclass(frozen=True)
class EnsembleFolder:
    """What a folder of an ensemble holds, before its models are loaded.

    Attributes:
        file: its ``ensemble.json``, for messages.
        members: model folders by name.
        combination: of their outputs.
        labels: labels or axes, in the order of the combination.
    """

    file: Path
    members: Mapping[str, Path]
    combination: Combination
    labels: tuple[str, ...]


def open_ensemble(folder: Path) -> EnsembleFolder:
    """Read the ``ensemble.json`` of a folder, and compare its members with it.

    Raises:
        UsageError: it is missing, damaged, or of other members.
    """
    file = folder / ENSEMBLE_FILE
    config = _read_config(file)
    members = {name: folder / MEMBERS / name for name in config.members}
    for name, member in members.items():
        if _member_digest(member) != config.members[name]:
            raise UsageError(
                f"{member / CONFIG_FILE}: is not of the model that the ensemble was made of; "
                f"{_EXPORT_AGAIN}",
                "file-changed",
            )
    return EnsembleFolder(file, members, _combination(config), tuple(config.labels))


def read_ensemble(folder: Path, device: str = "cpu") -> EnsembleEngine:
    """Read the folder of an ensemble, with its members.

    Raises:
        UsageError: a file is missing, damaged or exchanged, or the members do not fit together.
    """
    opened = open_ensemble(folder)
    members = {
        name: ModelEngine.of(read_model_folder(member), device)
        for name, member in opened.members.items()
    }
    try:
        return EnsembleEngine(members, opened.combination, opened.labels)
    except UsageError as error:
        raise UsageError(f"{opened.file}: {error}", error.code) from error


def _read_config(file: Path) -> EnsembleConfig:
    content: dict[str, Any] = load_json(file, JsonObject, remedy=_EXPORT_AGAIN)
    if content.get("format") != FORMAT:
        raise UsageError(
            f"{file}: of format {content.get('format')}, where this version reads {FORMAT}; "
            f"use the emo_fairseq that wrote it, or {_EXPORT_AGAIN}",
            "format-unknown",
        )
    config = validate(content, EnsembleConfig, name=file, remedy=_EXPORT_AGAIN)
    if content["digest"] != content_digest(content):
        raise UsageError(
            f"{file}: was changed since it was exported; {_EXPORT_AGAIN}", "file-changed"
        )
    return config


def _combination(config: EnsembleConfig) -> Combination:
    if config.stacking is None:
        return Combination(config.combine)
    bias = [-np.inf if number is None else number for number in config.stacking.bias]
    weight = np.array(config.stacking.weight, dtype=np.float64)
    # Whether of labels or of numbers is set by the engine, which has its members.
    return Combination(config.combine, Stacking(weight, np.array(bias), has_labels=True))


def write_ensemble(
    folder: Path, members: Sequence[str], combination: Combination, labels: Sequence[str]
) -> None:
    """Write the ensemble.json of a folder that holds the model folders of its members."""
    import emo_fairseq

    stacking = None
    if combination.stacking is not None:
        bias = combination.stacking.bias.tolist()
        stacking = {
            "weight": combination.stacking.weight.tolist(),
            "bias": [number if np.isfinite(number) else None for number in bias],
        }
    content: dict[str, Any] = {
        "format": FORMAT,
        "emo_fairseq": emo_fairseq.__version__,
        "combine": combination.name,
        "labels": list(labels),
        "members": {name: _member_digest(folder / MEMBERS / name) for name in members},
        "stacking": stacking,
    }
    content["digest"] = content_digest(content)
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / ENSEMBLE_FILE).write_text(f"{text}\n", encoding="utf-8")


def _member_digest(folder: Path) -> str:
    """Return the digest of a model folder's config.json, which has those of its other files."""
    return read_config(folder).digest

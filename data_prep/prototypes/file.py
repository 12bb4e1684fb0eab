"""Read and write prototypes.json; see `data_prep.prototypes` for its format."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from data_prep.files.documents import Count, Document, load_json, validate
from data_prep.files.replacing import write_atomically
from data_prep.prototypes.maths import STATISTICS
from data_prep.prototypes.records import ALL, CORPUS, SCOPES, Centroid, Centroids, Prototypes
from data_prep.schema import AXES, LABEL_COLUMNS, SPLITS

PROTOTYPES_FILE = "prototypes.json"
_OF_FOLDS = "prototypes"
FITTED_ON = SPLITS[0]  # the train split: prototypes of any other would leak what is to be predicted
REMEDY = "write it again: python -m data_prep.fit_prototypes DATA_DIR"


# The longest distance that there is in [0, 1]^3.
_Distance = Annotated[float, Field(ge=0, le=math.sqrt(len(AXES)))]
_Unit = Annotated[float, Field(ge=0, le=1)]


class CentroidEntry(Document):
    """One class's prototype."""

    valence: _Unit
    arousal: _Unit
    dominance: _Unit
    n: Count
    mean_difficulty: _Distance


class Overall(Document):
    """Of all rows together."""

    prototypes: dict[str, CentroidEntry]
    difficulty_quantiles: dict[str, _Distance]


class OfCorpora(Document):
    """Of each corpus."""

    prototypes: dict[str, dict[str, CentroidEntry]]
    difficulty_quantiles: dict[str, _Distance]


def _axes(axes: list[str]) -> list[str]:
    if axes != list(AXES):
        raise ValueError(f"they are {', '.join(axes)}, and not {', '.join(AXES)} in this order")
    return axes


def _one_of(names: Collection[str]) -> AfterValidator:
    def check(name: str) -> str:
        if name not in names:
            raise ValueError(f"it is {name!r}, not {' or '.join(names)}")
        return name

    return AfterValidator(check)


class PrototypesFile(Document):
    """The schema of prototypes.json."""

    label: Annotated[str, _one_of(LABEL_COLUMNS)]
    statistic: Annotated[str, _one_of(tuple(STATISTICS))]
    axes: Annotated[list[str], AfterValidator(_axes)]
    split: Annotated[str, _one_of((FITTED_ON,))]
    fold: str | None = None
    labels: Annotated[list[str], Field(min_length=1)]
    rows: Count
    left_out: dict[str, Count]
    all: Overall
    corpus: OfCorpora
    warnings: list[str]

    @model_validator(mode="after")
    def _check_labels(self) -> Self:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"labels: some are named twice: {', '.join(self.labels)}")
        for entries in (self.all.prototypes, *self.corpus.prototypes.values()):
            if unknown := [label for label in entries if label not in self.labels]:
                raise ValueError(
                    f"a prototype of {', '.join(unknown)}, none of {', '.join(self.labels)}"
                )
        return self


def prototypes_path(data_dir: str | Path, fold: str | None = None) -> Path:
    """Return the path of the prototypes of a data dir, or of a fold: PROTOCOL/FOLD."""
    if fold is None:
        return Path(data_dir) / PROTOTYPES_FILE
    return Path(data_dir) / _OF_FOLDS / f"{fold}.json"


def write_prototypes(path: str | Path, prototypes: Prototypes) -> None:
    """Write the file atomically; equal prototypes give equal bytes.

    Raises ManifestError, and writes nothing, for content that `read_prototypes` would refuse.
    """
    document = _document(prototypes)
    validate(document, PrototypesFile, name=path, remedy="nothing is written")
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text)


def centroids_path(path: str | Path, label: str) -> Path:
    """Return the path of the table of centroids beside a file of prototypes.

    >>> centroids_path("data/prototypes.json", "emotion").name
    'emotion_centroids.csv'
    >>> centroids_path("data/both.json", "emotion").name
    'both.emotion_centroids.csv'
    """
    path = Path(path)
    before = "" if path.name == PROTOTYPES_FILE else f"{path.stem}."
    return path.with_name(f"{before}{label}_centroids.csv")


def write_centroids(path: str | Path, prototypes: Prototypes) -> Path:
    """Write the centroids as a table beside the prototypes, and return its path.

    A row is a class: of all rows, where the column corpus is empty, then of each corpus. Nothing
    reads the table.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([prototypes.label, *AXES, "n", "mean_difficulty", CORPUS])
    for corpus, centroids in [("", prototypes.overall), *prototypes.corpora.items()]:
        for label, c in centroids.items():
            axes = (getattr(c, axis) for axis in AXES)
            writer.writerow([label, *axes, c.n, c.mean_difficulty, corpus])
    table = centroids_path(path, prototypes.label)
    write_atomically(table, text.getvalue())
    return table


def _document(prototypes: Prototypes) -> dict[str, Any]:
    corpora = {name: _entries(centroids) for name, centroids in prototypes.corpora.items()}
    entries = {ALL: _entries(prototypes.overall), CORPUS: corpora}
    return {
        "label": prototypes.label,
        "statistic": prototypes.statistic,
        "axes": list(AXES),
        "split": FITTED_ON,
        **({} if prototypes.fold is None else {"fold": prototypes.fold}),
        "labels": list(prototypes.labels),
        "rows": prototypes.rows,
        "left_out": dict(prototypes.left_out),
        **{
            scope: {
                "prototypes": entries[scope],
                "difficulty_quantiles": dict(prototypes.quantiles.get(scope, {})),
            }
            for scope in SCOPES
        },
        "warnings": list(prototypes.warnings),
    }


def _entries(centroids: Centroids) -> dict[str, dict[str, float]]:
    return {
        label: {axis: getattr(centroid, axis) for axis in AXES}
        | {"n": centroid.n, "mean_difficulty": centroid.mean_difficulty}
        for label, centroid in centroids.items()
    }


def read_prototypes(path: str | Path) -> Prototypes:
    """Read prototypes.json.

    Raises:
        ManifestError: there is no such file, or it is not of the schema `PrototypesFile`.
    """
    return _prototypes_from(load_json(path, PrototypesFile, remedy=REMEDY))


def _prototypes_from(content: PrototypesFile) -> Prototypes:
    scopes: dict[str, Overall | OfCorpora] = {ALL: content.all, CORPUS: content.corpus}
    return Prototypes(
        label=content.label,
        statistic=content.statistic,
        labels=tuple(content.labels),
        overall=_centroids(content.all.prototypes),
        corpora={name: _centroids(classes) for name, classes in content.corpus.prototypes.items()},
        quantiles={scope: dict(entry.difficulty_quantiles) for scope, entry in scopes.items()},
        rows=content.rows,
        left_out=dict(content.left_out),
        warnings=tuple(content.warnings),
        fold=content.fold,
    )


def _centroids(entries: Mapping[str, CentroidEntry]) -> dict[str, Centroid]:
    return {
        label: Centroid.at([getattr(entry, axis) for axis in AXES], entry.n, entry.mean_difficulty)
        for label, entry in entries.items()
    }

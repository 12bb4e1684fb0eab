"""prototypes.json in and out. See `prototypes` for what it holds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_prep.manifest import write_atomically
from data_prep.prototyping.maths import STATISTICS
from data_prep.prototyping.records import ALL, CORPUS, SCOPES, Centroid, Centroids, Prototypes
from data_prep.records import AXES, LABEL_COLUMNS, SPLITS, Fault, ManifestError

PROTOTYPES_FILE = "prototypes.json"
_OF_FOLDS = "prototypes"
FITTED_ON = SPLITS[0]  # the train split: prototypes of any other would leak what is to be predicted
REMEDY = "write it again: python -m data_prep.fit_prototypes DATA_DIR"


def prototypes_path(data_dir: str | Path, fold: str | None = None) -> Path:
    """Where the prototypes of a data dir lie, or those of one fold: PROTOCOL/FOLD."""
    if fold is None:
        return Path(data_dir) / PROTOTYPES_FILE
    return Path(data_dir) / _OF_FOLDS / f"{fold}.json"


def write_prototypes(path: str | Path, prototypes: Prototypes) -> None:
    """Write the file, whole or not at all; the same prototypes always give the same bytes.

    Raises ManifestError, before anything is written, on what `read_prototypes` would refuse.
    """
    text = json.dumps(_document(prototypes), indent=2, ensure_ascii=False) + "\n"
    _parse(path, text)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text)


def _document(prototypes: Prototypes) -> dict[str, Any]:
    corpora = {name: _entries(centroids) for name, centroids in prototypes.corpora.items()}
    found = {ALL: _entries(prototypes.overall), CORPUS: corpora}
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
                "prototypes": found[scope],
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
        ManifestError: there is no such file, or it is not what `write_prototypes` writes: no JSON,
            no labels, an unknown label, another split than train, a number that cannot be.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8")
    except (FileNotFoundError, IsADirectoryError):
        raise ManifestError(Fault(str(path), None, "no such file", REMEDY)) from None
    except UnicodeDecodeError:
        raise ManifestError(Fault(str(path), None, "not UTF-8 text", REMEDY)) from None
    return _parse(path, text)


def _parse(path: str | Path, text: str) -> Prototypes:
    try:
        return _prototypes_from(json.loads(text))
    except json.JSONDecodeError as error:
        what = f"not JSON ({error})"
    except KeyError as error:
        what = f"it has no {error.args[0]!r}"
    except ValueError as error:
        what = str(error)
    except (TypeError, AttributeError) as error:
        what = f"cannot be understood ({error})"
    raise ManifestError(Fault(str(path), None, what, REMEDY))


def _prototypes_from(document: Any) -> Prototypes:
    """ValueError, TypeError, AttributeError or KeyError (a key that is not there) on bad input."""
    if not isinstance(document, dict):
        raise TypeError("it holds no prototypes")
    labels = _labels(document["labels"])
    for key, allowed in {
        "label": LABEL_COLUMNS,
        "statistic": tuple(STATISTICS),
        "axes": (list(AXES),),
        "split": (FITTED_ON,),
    }.items():
        if document[key] not in allowed:
            raise ValueError(f"{key} is {document[key]!r}, not {' or '.join(map(str, allowed))}")
    corpora = document[CORPUS]["prototypes"].items()
    return Prototypes(
        label=document["label"],
        statistic=document["statistic"],
        labels=labels,
        overall=_centroids(document[ALL]["prototypes"], labels),
        corpora={name: _centroids(entries, labels) for name, entries in corpora},
        quantiles={scope: _quantiles(document[scope]) for scope in SCOPES},
        rows=_count("rows", document["rows"]),
        left_out={reason: _count(reason, n) for reason, n in document["left_out"].items()},
        warnings=tuple(map(str, document["warnings"])),
        fold=document.get("fold"),
    )


def _labels(found: Any) -> tuple[str, ...]:
    if not isinstance(found, list) or not all(isinstance(label, str) for label in found):
        raise TypeError("the labels are no list of names")
    if not found or len(set(found)) != len(found):
        raise ValueError(f"the labels are none, or named twice: {found}")
    return tuple(found)


def _centroids(entries: Mapping[str, Any], labels: tuple[str, ...]) -> dict[str, Centroid]:
    if unknown := [label for label in entries if label not in labels]:
        raise ValueError(f"a prototype of {', '.join(unknown)}, none of {', '.join(labels)}")
    return {
        label: Centroid.at(
            [_number(f"{label}: {axis}", entry[axis], 1.0) for axis in AXES],
            _count(f"{label}: n", entry["n"]),
            _number(f"{label}: mean_difficulty", entry["mean_difficulty"]),
        )
        for label, entry in entries.items()
    }


def _quantiles(scope: Mapping[str, Any]) -> dict[str, float]:
    return {
        str(share): _number(f"quantile {share}", value)
        for share, value in scope["difficulty_quantiles"].items()
    }


def _number(name: str, value: Any, high: float = math.sqrt(len(AXES))) -> float:
    """A number from 0 to `high`, by default the longest distance that there is in [0, 1]^3."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= high:
        raise ValueError(f"{name} is {value!r}, no number from 0 to {high:g}")  # NaN comes here too
    return float(value)


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} is {value!r}, no count")
    return value

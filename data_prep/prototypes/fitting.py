"""Fit prototypes on the train rows of one or more data dirs, and check them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data_prep.errors import Fault, ManifestError
from data_prep.folds.file import train_set
from data_prep.manifest.provenance import Provenance, seen_rows
from data_prep.prototypes.file import FITTED_ON
from data_prep.prototypes.maths import Floats, Ids, difficulties, fit_by_domain, is_usable
from data_prep.prototypes.records import (
    ALL,
    CORPUS,
    Centroid,
    Centroids,
    Prototypes,
    canonical_label,
)
from data_prep.schema import AXES, CORPUS_FILE, Utterance, read_corpus

QUANTILES = [tenth / 10 for tenth in range(1, 10)]
DECIMALS = (
    6  # of every stored number: beyond the precision of annotators, and alike on all machines
)


def fit_prototypes(
    data_dirs: Sequence[str | Path],
    label: str = "emotion",
    statistic: str = "mean",
    fold: str | None = None,
) -> Prototypes:
    """Fit the prototypes of the train splits of `data_dirs`, with warnings on the annotation.

    `fold` is PROTOCOL/FOLD, whose train sets are used instead of the splits.

    Raises:
        ManifestError: no data dir, no labels of that column, or no row with a label and all axes.
    """
    rows = read_train_rows(data_dirs, label, fold)
    table = fit_by_domain(
        rows.vad, rows.labels, rows.domains, len(rows.names), len(rows.corpora), statistic
    ).round(DECIMALS)  # (Dm + 1, K, 3)
    usable = is_usable(rows.vad, rows.labels)
    quantiles = {ALL: _quantiles(difficulties(rows.vad, rows.labels, table[-1]))}
    if rows.corpora:
        quantiles[CORPUS] = _quantiles(difficulties(rows.vad, rows.labels, table, rows.domains))
    corpora = {
        name: _centroids(rows.of_domain(domain), table[domain])
        for domain, name in enumerate(rows.corpora)
    }
    warnings = [
        *_gaps(rows, table),
        *polarity_warnings(corpora),
        *_axis_warnings(rows, table),
    ]
    return Prototypes(
        label=label,
        statistic=statistic,
        labels=rows.names,
        overall=_centroids(rows, table[-1]),
        corpora=corpora,
        quantiles=quantiles,
        rows=int(usable.sum()),
        left_out={
            f"no {label}": int((rows.labels < 0).sum()),
            "VAD incomplete": int((~usable & (rows.labels >= 0)).sum()),
        },
        warnings=tuple(warnings),
        fold=fold,
    )


def _centroids(rows: TrainRows, prototypes: Floats) -> dict[str, Centroid]:
    """Return the classes with a prototype, (K, 3), their rows and mean distance."""
    distances = difficulties(rows.vad, rows.labels, prototypes)
    centroids = {}
    for label, name in enumerate(rows.names):
        own = distances[(rows.labels == label) & ~np.isnan(distances)]
        if len(own):
            distance = round(float(own.mean()), DECIMALS)
            centroids[name] = Centroid.at(prototypes[label].tolist(), len(own), distance)
    return centroids


def _quantiles(distances: Floats) -> dict[str, float]:
    values = np.nanquantile(distances, QUANTILES).round(DECIMALS).tolist()
    return {f"{share:g}": value for share, value in zip(QUANTILES, values, strict=True)}


def _gaps(rows: TrainRows, table: Floats) -> Iterator[str]:
    """Yield the classes without a prototype: of all rows, and of a corpus with rows of them."""
    nowhere = np.isnan(table[-1]).any(axis=1)  # (K,)
    if nowhere.any():
        names = ", ".join(name for name, gap in zip(rows.names, nowhere, strict=True) if gap)
        yield f"no prototype for {names}: no row of the class has all three axes"
    for domain, corpus in enumerate(rows.corpora):
        labels = rows.of_domain(domain).labels
        occurs = np.isin(np.arange(len(rows.names)), labels)
        gaps = occurs & np.isnan(table[domain]).any(axis=1) & ~nowhere
        if gaps.any():
            names = ", ".join(name for name, gap in zip(rows.names, gaps, strict=True) if gap)
            yield f"{corpus}: no prototype of its own for {names}: no row has all three axes"
    unnamed = int((rows.domains < 0).sum())
    if rows.corpora and unnamed:
        yield f"{unnamed} rows have no corpus: they count in the prototypes of all rows only"


def _axis_warnings(rows: TrainRows, table: Floats) -> Iterator[str]:
    """Check each corpus alone: pooled, one would hide the fault of another."""
    for domain in np.unique(rows.domains):
        part = rows.of_domain(domain)
        usable = is_usable(part.vad, part.labels)
        where = rows.corpora[domain] if domain >= 0 else "rows without a corpus"
        yield from axis_warnings(
            where if rows.corpora else "train", part.vad[usable], table[domain]
        )


def fitted_rows(data_dirs: Sequence[str | Path], fold: str | None = None) -> Provenance:
    """Return the record of the rows that prototypes are fitted on."""
    parts = [
        seen_rows(train_set(Path(data_dir), fold), read_corpus(data_dir).name, FITTED_ON, fold)
        for data_dir in data_dirs
    ]
    return Provenance().merged(*parts)


# -- The train rows of one or more data dirs ------------------------------------------------------


@dataclass(frozen=True)
class TrainRows:
    """N rows of K classes and Dm corpora.

    Attributes:
        names: of the K classes.
        corpora: names of the Dm corpora; none where the rows name none.
        vad: (N, 3), NaN = missing.
        labels: (N,), -1 = missing.
        domains: (N,) numbers in `corpora`, -1 = unknown.
    """

    names: tuple[str, ...]
    corpora: tuple[str, ...]
    vad: Floats
    labels: Ids
    domains: Ids

    def of_domain(self, domain: int) -> TrainRows:
        """The rows of one corpus."""
        own = self.domains == domain
        return TrainRows(
            self.names, self.corpora, self.vad[own], self.labels[own], self.domains[own]
        )


def read_train_rows(
    data_dirs: Sequence[str | Path], label: str, fold: str | None = None
) -> TrainRows:
    """Read the train manifests; classes and corpora in order of appearance.

    Raises:
        ManifestError: no data dir, one corpus twice, no such labels, or no row with all of label,
            valence, arousal and dominance.
    """
    names: dict[str, None] = {}
    first_dir: dict[str, Path] = {}
    rows: list[tuple[str | None, Utterance]] = []
    for data_dir in map(Path, data_dirs):
        corpus = read_corpus(_folder(data_dir))
        if (other := first_dir.setdefault(corpus.name, data_dir)) is not data_dir:
            message = f"its corpus is named {corpus.name} like that of {other}"
            remedy = f"name each data dir once, and each corpus differently in its {CORPUS_FILE}"
            raise ManifestError(Fault(str(data_dir), None, message, remedy, "corpus-repeated"))
        if label not in corpus.labels:
            remedy = "choose another --label, or list the labels there"
            message = f"no {label} labels"
            file = str(data_dir / CORPUS_FILE)
            raise ManifestError(Fault(file, None, message, remedy, "labels-missing"))
        names |= dict.fromkeys(corpus.labels[label])
        name = corpus.name if len(data_dirs) > 1 else None
        path = data_dir / f"{FITTED_ON}.tsv"
        train_rows = train_set(data_dir, fold)
        _check_labels(path, train_rows, label, corpus.labels[label])
        rows += [(row.corpus or name, row) for row in train_rows]
    train = _arrays(rows, label, tuple(names))
    if not is_usable(train.vad, train.labels).any():
        files = ", ".join(str(Path(data_dir) / f"{FITTED_ON}.tsv") for data_dir in data_dirs)
        message = f"none of its {len(rows)} rows has {label}, {', '.join(AXES[:2])} and {AXES[2]}"
        remedy = "take a corpus that is annotated with VAD, or do without prototypes"
        raise ManifestError(Fault(files, None, message, remedy, "vad-missing"))
    return train


def _folder(data_dir: Path) -> Path:
    if data_dir.is_file():
        remedy = f"name the data dir; of its manifests only {FITTED_ON}.tsv is read"
        problem = "a file where a data dir belongs"
        raise ManifestError(Fault(str(data_dir), None, problem, remedy, "data-dir-is-file"))
    return data_dir


def _check_labels(path: Path, rows: Sequence[Utterance], label: str, names: Sequence[str]) -> None:
    for number, row in enumerate(rows, start=2):
        if (value := getattr(row, label)) is not None and value not in names:
            remedy = f"use one of {', '.join(names)}, or leave the field empty"
            problem = f"unknown {label} {value!r}"
            raise ManifestError(Fault(str(path), number, problem, remedy, "label-unknown"))


def _arrays(
    rows: Sequence[tuple[str | None, Utterance]], label: str, names: tuple[str, ...]
) -> TrainRows:
    number = {name: position for position, name in enumerate(names)}
    corpora = tuple(dict.fromkeys(corpus for corpus, _ in rows if corpus is not None))
    domain = {name: position for position, name in enumerate(corpora)}
    vad = [[getattr(row, axis) for axis in AXES] for _, row in rows]  # None becomes NaN
    return TrainRows(
        names,
        corpora,
        np.array(vad, dtype=np.float64).reshape(len(rows), len(AXES)),
        np.array([number.get(getattr(row, label), -1) for _, row in rows], dtype=np.int64),
        np.array([-1 if c is None else domain[c] for c, _ in rows], dtype=np.int64),
    )


# -- What looks wrong with the annotation ----------------------------------------------------------

FLIPPED_BELOW = -0.5  # correlation of two corpora's prototypes; the published case has -0.94
MIN_SHARED = 3  # classes: through two points any correlation is 1 or -1
SAME_VALUE = 1e-6
SAME_SHARE = 0.99  # of the rows, on which two axes are one column
SAME_DECIMALS = 4  # of the prototypes


def polarity_warnings(corpora: Mapping[str, Centroids]) -> Iterator[str]:
    """Yield the axes on which the classes of two corpora are inverted.

    Classes are matched by name or synonym; corpora that share fewer than three are skipped.
    """
    for (first, means), (second, other) in combinations(corpora.items(), 2):
        ours, theirs = ({canonical_label(k): v for k, v in c.items()} for c in (means, other))
        shared = [label for label in ours if label in theirs]
        if len(shared) < MIN_SHARED:
            continue
        for axis in AXES:
            r = _correlation(
                np.array([getattr(ours[label], axis) for label in shared]),
                np.array([getattr(theirs[label], axis) for label in shared]),
            )
            if r < FLIPPED_BELOW:
                yield (
                    f"{axis} looks turned round between {first} and {second}: their prototypes of "
                    f"{', '.join(shared)} correlate at {r:.2f}; compare how each corpus was scaled"
                )


def _correlation(x: Floats, y: Floats) -> float:
    """Return Pearson's r, NaN for a constant."""
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale > 0 else float("nan")


def axis_warnings(where: str, vad: Floats, prototypes: Floats) -> Iterator[str]:
    """Yield the axes that are constant, or a copy of another.

    Args:
        where: what the rows are, for the message.
        vad: (N, 3), complete rows only.
        prototypes: (K, 3) of those rows, NaN for a class without one.
    """
    if len(vad) < 2:
        return
    constant = np.ptp(vad, axis=0) < SAME_VALUE  # (3,)
    for axis in np.flatnonzero(constant):
        value = f"{vad[0, axis]:.4g}"
        yield f"{where}: {AXES[axis]} is {value} in every row: no annotation, or a filled-in value"
    rounded = np.round(prototypes[~np.isnan(prototypes).any(axis=1)], SAME_DECIMALS)
    for i, j in combinations(range(len(AXES)), 2):
        if constant[i] or constant[j]:
            continue
        share = np.mean(np.abs(vad[:, i] - vad[:, j]) < SAME_VALUE)
        copied = share >= SAME_SHARE
        if copied or _agree(rounded, i, j):
            of = f"{share:.1%} of the rows" if copied else "the prototypes of all classes"
            yield f"{where}: {AXES[j]} repeats {AXES[i]} in {of}: one column may be written twice"


def _agree(rounded: npt.NDArray[np.float64], i: int, j: int) -> bool:
    """Return whether two columns of (K, 3) are equal; for a single class that is chance."""
    return len(rounded) > 1 and bool((rounded[:, i] == rounded[:, j]).all())

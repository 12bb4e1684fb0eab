"""VAD prototypes of the classes, from the train split of one or more data dirs.

    python -m data_prep.fit_prototypes DATA_DIR
    python -m data_prep.fit_prototypes IEMOCAP MSP_IMPROV --output both.json

Writes DATA_DIR/prototypes.json (see `prototypes` for its form): the mean valence, arousal and
dominance of each class, over all rows and for each corpus, and how far rows lie from theirs. The
corpora are those of the manifest's `corpus` column, or, of several data dirs, their names. Only
train.tsv is read: prototypes of the other splits would leak what is to be predicted. What looks
wrong with the annotation (an axis turned round between corpora, copied or constant) is said and
stored.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from data_prep.commands.command_line import make_parser, run
from data_prep.manifest.corpus_card import read_corpus
from data_prep.manifest.provenance import Provenance, seen_rows, write_beside
from data_prep.manifest.records import LABEL_COLUMNS
from data_prep.prototypes.file import FITTED_ON, PROTOTYPES_FILE, prototypes_path, write_prototypes
from data_prep.prototypes.fitting import (
    TrainRows,
    axis_warnings,
    polarity_warnings,
    read_train_rows,
    train_set,
)
from data_prep.prototypes.maths import STATISTICS, Floats, difficulties, fit_by_domain, is_usable
from data_prep.prototypes.records import ALL, CORPUS, Centroid, Prototypes

QUANTILES = [tenth / 10 for tenth in range(1, 10)]
DECIMALS = 6  # of every stored number: beyond what annotators can tell, and alike on all machines


def fit_prototypes(
    data_dirs: Sequence[str | Path],
    label: str = "emotion",
    statistic: str = "mean",
    fold: str | None = None,
) -> Prototypes:
    """The prototypes of the train splits of `data_dirs`, with what looks wrong in them.

    `fold` is PROTOCOL/FOLD, whose train sets take the place of the splits.

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
    """The classes that have a prototype, (K, 3), with how many rows lie how far from it."""
    distances = difficulties(rows.vad, rows.labels, prototypes)
    found = {}
    for label, name in enumerate(rows.names):
        own = distances[(rows.labels == label) & ~np.isnan(distances)]
        if len(own):
            far = round(float(own.mean()), DECIMALS)
            found[name] = Centroid.at(prototypes[label].tolist(), len(own), far)
    return found


def _quantiles(distances: Floats) -> dict[str, float]:
    values = np.nanquantile(distances, QUANTILES).round(DECIMALS).tolist()
    return {f"{share:g}": value for share, value in zip(QUANTILES, values, strict=True)}


def _gaps(rows: TrainRows, table: Floats) -> Iterator[str]:
    """The classes without a prototype: of all rows, and of a corpus that has rows of them."""
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
        yield f"{unnamed} rows name no corpus: they count in the prototypes of all rows only"


def _axis_warnings(rows: TrainRows, table: Floats) -> Iterator[str]:
    """Of each corpus by itself where there are several: pooled, one would hide another's fault."""
    for domain in np.unique(rows.domains):
        part = rows.of_domain(domain)
        usable = is_usable(part.vad, part.labels)
        where = rows.corpora[domain] if domain >= 0 else "rows without a corpus"
        yield from axis_warnings(
            where if rows.corpora else "train", part.vad[usable], table[domain]
        )


def summary_table(prototypes: Prototypes) -> str:
    """What the command prints: a table for each scope, what was left out, and the warnings."""
    lines = [f"{prototypes.label}: {prototypes.statistic} of {prototypes.rows} train rows"]
    width = max(map(len, [*prototypes.labels, *prototypes.corpora, "all rows"]))
    for scope, centroids in [("all rows", prototypes.overall), *prototypes.corpora.items()]:
        lines.append(f"{scope:<{width}}       n  valence  arousal  dominance  mean difficulty")
        lines += [
            f"{name:<{width}} {c.n:>7} {c.valence:>8.3f} {c.arousal:>8.3f} {c.dominance:>10.3f} "
            f"{c.mean_difficulty:>16.3f}"
            for name, c in centroids.items()
        ]
    for scope, shares in prototypes.quantiles.items():
        values = "  ".join(f"{share} {value:.3f}" for share, value in shares.items())
        lines.append(f"quantiles of difficulty ({scope}): {values}")
    left_out = ", ".join(f"{n} ({reason})" for reason, n in prototypes.left_out.items())
    lines.append(f"rows left out: {left_out}")
    lines += [f"warning: {warning}" for warning in prototypes.warnings]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: see the module's docstring."""
    parser = make_parser("fit_prototypes", __doc__ or "", audio=False)
    add = parser.add_argument
    add("data_dirs", type=Path, nargs="+", metavar="DATA_DIR", help="data dirs; train.tsv is read")
    add("--label", choices=LABEL_COLUMNS, default="emotion", help="default: %(default)s")
    add("--statistic", choices=tuple(STATISTICS), default="mean", help="default: %(default)s")
    add("--fold", metavar="PROTOCOL/FOLD", help="fit on the train set of one of folds/")
    add("--output", type=Path, metavar="FILE", help=f"default: DATA_DIR/{PROTOTYPES_FILE}")
    options = parser.parse_args(arguments)
    if len(options.data_dirs) > 1 and options.output is None:
        parser.error("several data dirs: say with --output FILE where their prototypes go")
    return run(lambda: _fit(options))


def fitted_rows(data_dirs: Sequence[str | Path], fold: str | None = None) -> Provenance:
    """The record of the rows that prototypes are fitted on."""
    parts = [
        seen_rows(train_set(Path(data_dir), fold), read_corpus(data_dir).name, FITTED_ON, fold)
        for data_dir in data_dirs
    ]
    return Provenance().merged(*parts)


def _fit(options: argparse.Namespace) -> None:
    path = options.output or prototypes_path(options.data_dirs[0], options.fold)
    fold = options.fold
    prototypes = fit_prototypes(options.data_dirs, options.label, options.statistic, fold)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_prototypes(path, prototypes)
    write_beside(path, fitted_rows(options.data_dirs, fold))
    print(summary_table(prototypes))
    print(f"wrote {path}")

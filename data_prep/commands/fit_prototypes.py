"""Fit VAD prototypes of the classes on the train split of one or more data dirs.

    python -m data_prep.fit_prototypes DATA_DIR
    python -m data_prep.fit_prototypes IEMOCAP MSP_IMPROV --output both.json

Writes DATA_DIR/prototypes.json (format: `data_prep.prototypes`): the mean valence, arousal and
dominance of each class, over all rows and for each corpus, and how far rows are from theirs; and
beside it the means as a table for other programs, emotion_centroids.csv. The
corpora are those of the manifest's `corpus` column, or, of several data dirs, their names. Only
train.tsv is read: prototypes of the other splits would leak what is to be predicted. Suspicious
annotation (an axis inverted between corpora, copied or constant) is printed and stored as a
warning.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from data_prep.command_line import (
    make_parser,
    run,
)
from data_prep.manifest.provenance import write_beside
from data_prep.prototypes.file import (
    PROTOTYPES_FILE,
    prototypes_path,
    write_centroids,
    write_prototypes,
)
from data_prep.prototypes.fitting import fit_prototypes, fitted_rows
from data_prep.prototypes.maths import STATISTICS
from data_prep.prototypes.records import Prototypes
from data_prep.schema import LABEL_COLUMNS


def summary_table(prototypes: Prototypes) -> str:
    """Return a table for each scope, the rows left out, and the warnings."""
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
    """Run the command line."""
    parser = make_parser("fit_prototypes", __doc__ or "", audio=False)
    add = parser.add_argument
    add("data_dirs", type=Path, nargs="+", metavar="DATA_DIR", help="data dirs; train.tsv is read")
    add("--label", choices=LABEL_COLUMNS, default="emotion", help="default: %(default)s")
    add("--statistic", choices=tuple(STATISTICS), default="mean", help="default: %(default)s")
    add("--fold", metavar="PROTOCOL/FOLD", help="fit on the train set of one of folds/")
    add("--output", type=Path, metavar="FILE", help=f"default: DATA_DIR/{PROTOTYPES_FILE}")
    options = parser.parse_args(arguments)
    if len(options.data_dirs) > 1 and options.output is None:
        parser.error("several data dirs need --output FILE for their prototypes")
    return run(lambda: _fit(options))


def _fit(options: argparse.Namespace) -> None:
    path = options.output or prototypes_path(options.data_dirs[0], options.fold)
    fold = options.fold
    prototypes = fit_prototypes(options.data_dirs, options.label, options.statistic, fold)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_prototypes(path, prototypes)
    write_beside(path, fitted_rows(options.data_dirs, fold))
    print(summary_table(prototypes))
    print(f"wrote {path}, {write_centroids(path, prototypes)}")

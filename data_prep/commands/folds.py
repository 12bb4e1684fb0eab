"""Folds of a data dir: which rows are train, valid and test in each, written once as a file.

    python -m data_prep.folds DATA_DIR --protocol leave_one_session_out

writes DATA_DIR/folds/leave_one_session_out.json, which `fairseq-train --fold
leave_one_session_out/1` reads. The dev set is cut from the training side, never from the test fold,
and by speaker where speakers are known. Nothing that a protocol keeps apart may be shared: folds
that leak are refused. Protocols:

"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from data_prep.commands.command_line import make_parser, run
from data_prep.folds import protocols as fold_protocols
from data_prep.folds.file import (
    FOLDS_FOLDER,
    fold_faults,
    folds_path,
    read_base,
    read_folds,
    refuse_other_folds,
    render_folds,
    store_folds,
)
from data_prep.folds.protocols import PROTOCOLS, FoldOptions, check_leaks, make_folds
from data_prep.folds.records import Folds, composition_lines, context_notes
from data_prep.manifest.corpus_card import read_corpus, write_corpus
from data_prep.manifest.labels import check_folds
from data_prep.manifest.records import LABEL_COLUMNS, SPLITS, Corpus, Utterance

__all__ = [
    "ALL",
    "FOLDS_FOLDER",
    "PROTOCOLS",
    "FoldOptions",
    "Folds",
    "check_leaks",
    "make_folds",
    "read_folds",
    "write_corpus_with_folds",
    "write_folds",
]

ALL = "all"  # the split of a corpus without official ones
_ABOUT = (fold_protocols.__doc__ or "").partition("\n\n")[2]


def write_folds(
    data_dir: str | Path, folds: Folds, utterances: Sequence[Utterance], *, force: bool = False
) -> Path:
    """Write `DATA/folds/{protocol}.json`; returns its path. Prints what classes the sets lack.

    Raises ValueError on folds that leak or are faulty, and where other folds lie there already,
    unless `force`d.
    """
    path = folds_path(data_dir, folds.protocol)
    text = _checked(path, folds, utterances, force)
    store_folds(path, text)
    for warning in check_folds(folds.folds, utterances):
        print(f"warning: {warning}")
    return path


def _checked(path: Path, folds: Folds, utterances: Sequence[Utterance], force: bool) -> str:
    faults = fold_faults(folds, {row.id for row in utterances}) or check_leaks(folds, utterances)
    if faults:
        raise ValueError("\n".join([f"{path}: these folds are not written", *faults]))
    text = render_folds(folds)
    if not force:
        refuse_other_folds(path, folds)
    return text


def write_corpus_with_folds(
    out_dir: str | Path,
    corpus: Corpus,
    rows: Sequence[Utterance],
    protocols: Sequence[str],
    options: FoldOptions,
    *,
    force: bool = False,
) -> None:
    """Write a data dir of the one split `all`, and the folds of these protocols.

    A protocol that the rows cannot fill, as in a part of a corpus, becomes a note. Raises
    ValueError, before anything is written, for folds that leak, or that differ from those there.
    """
    texts = {}
    composition: list[str] = []
    warnings: list[str] = []
    about = {}
    for protocol in protocols:
        try:
            folds, notes = make_folds(protocol, rows, [ALL], options)
        except ValueError as error:
            corpus.notes.append(f"folds {protocol} are not made: {error}")
            continue
        path = folds_path(out_dir, protocol)
        texts[path] = _checked(path, folds, rows, force)
        warnings += [f"folds {protocol}: {text}" for text in check_folds(folds.folds, rows)]
        composition += [f"{protocol} {line}" for line in composition_lines(folds.composition)]
        about[protocol] = {"unit": folds.unit, "folds": len(folds.folds), "seed": folds.seed}
        notes += context_notes(folds, rows)
        corpus.notes += [f"folds {protocol}: {note}" for note in notes]
    corpus.folds = about or None
    write_corpus(out_dir, corpus, {ALL: rows})
    for path, text in texts.items():
        store_folds(path, text)
    print(*composition, sep="\n")
    for warning in warnings:
        print(f"warning: {warning}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the folds of one protocol, write them and print how many rows each set has."""
    parser = make_parser("folds", (__doc__ or "") + _ABOUT, audio=False)
    add = parser.add_argument
    defaults = FoldOptions()
    add("data_dir", type=Path, metavar="DATA_DIR", help="folder with {split}.tsv and corpus.yaml")
    add("--protocol", required=True, choices=PROTOCOLS, help="see above")
    base = "splits whose rows are divided (default: all, else every split that there is)"
    add("--base", nargs="+", metavar="SPLIT", help=base)
    add("--seed", type=int, default=defaults.seed, help="of what is drawn (default: %(default)s)")
    add("--n-folds", type=int, default=defaults.n_folds, help="groups (default: %(default)s)")
    share = "of the training rows, for leave_one_session_out (default: %(default)s)"
    add("--valid-share", type=float, default=defaults.valid_share, help=share)
    group = "what k_fold keeps whole (default: speakers, as far as known)"
    add("--group-by", choices=("session", "speaker", "dialogue"), help=group)
    unknown = "rows without the speaker or session that is held out are in no fold"
    add("--leave-out-unknown", action="store_true", help=unknown)
    add("--force", action="store_true", help="replace other folds of this protocol")
    options = parser.parse_args(arguments)
    return run(lambda: _make(options))


def _make(options: argparse.Namespace) -> None:
    splits = list(read_corpus(options.data_dir).splits)
    bases = options.base or ([ALL] if ALL in splits else splits)
    if unknown := [base for base in bases if base not in splits]:
        raise ValueError(f"--base {unknown[0]}: {options.data_dir} has {', '.join(splits)}")
    rows = read_base(options.data_dir, bases)
    names = FoldOptions.__dataclass_fields__
    chosen = FoldOptions(**{name: getattr(options, name) for name in names})
    folds, notes = make_folds(options.protocol, rows, bases, chosen)
    path = write_folds(options.data_dir, folds, rows, force=options.force)
    print(f"{path}: {len(folds.folds)} folds of {len(rows)} rows ({', '.join(bases)})")
    print(fold_table(folds, rows))
    print(*composition_lines(folds.composition), sep="\n")
    for note in [*notes, *context_notes(folds, rows)]:
        print(f"note: {note}")
    if len(bases) == 1:
        print(f"train with: --data {options.data_dir} --fold {options.protocol}/1")


def fold_table(folds: Folds, utterances: Sequence[Utterance]) -> str:
    """Rows of each set, of them labeled, and what is tested."""
    row_of = {row.id: row for row in utterances}
    lines = [f"{'fold':<6}" + "".join(f"{split:>8}{'labeled':>10}" for split in SPLITS)]
    for name, sets in folds.folds.items():
        cells = ""
        for split in SPLITS:
            rows = [row_of[id_] for id_ in sets[split]]
            labeled = sum(any(getattr(row, key) for key in LABEL_COLUMNS) for row in rows)
            cells += f"{len(rows):>8}{labeled:>10}"
        lines.append(f"{name:<6}{cells}{_tested(folds, [row_of[i] for i in sets['test']])}")
    return "\n".join(lines)


def _tested(folds: Folds, rows: Sequence[Utterance]) -> str:
    if folds.unit == "row":
        return ""
    values = dict.fromkeys(str(getattr(row, folds.unit)) for row in rows)
    what = next(iter(values)) if len(values) == 1 else f"{len(values)} {folds.unit}s"
    return f"  tests {what}"

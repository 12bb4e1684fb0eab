"""Make the folds of a data dir: which rows are train, valid and test in each.

    python -m data_prep.folds DATA_DIR --protocol leave_one_session_out

writes DATA_DIR/folds/leave_one_session_out.json, which `fairseq-train --fold
leave_one_session_out/1` reads. The dev set is cut from the training side, never from the test fold,
and by speaker if speakers are known. Folds whose sets share what the protocol keeps apart are
refused; recordings with the same bytes, and overlapping segments of one, in two sets are warned of.
Protocols:

"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_prep.command_line import (
    make_parser,
    run,
)
from data_prep.errors import CodedError
from data_prep.files.remote import RemotePath
from data_prep.folds import protocols as fold_protocols
from data_prep.folds.file import read_base, write_folds
from data_prep.folds.next_steps import next_steps
from data_prep.folds.protocols import BALANCES, PROTOCOLS, FoldOptions, make_folds
from data_prep.folds.records import ALL, Folds, composition_lines, context_notes
from data_prep.folds.twins import twin_warnings
from data_prep.manifest.audio_root import audio_root
from data_prep.manifest.leaks import DIGESTS_FILE, sound_digests
from data_prep.manifest.table import ManifestTable
from data_prep.schema import LABEL_COLUMNS, SPLITS, Utterance, read_corpus

logger = logging.getLogger(__name__)

_PROTOCOLS_HELP = (fold_protocols.__doc__ or "").partition("\n\n")[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the folds of one protocol, write them and print how many rows each set has."""
    parser = make_parser("folds", (__doc__ or "") + _PROTOCOLS_HELP, audio=False)
    add = parser.add_argument
    defaults = FoldOptions()
    add("data_dir", type=Path, metavar="DATA_DIR", help="folder with {split}.tsv and corpus.yaml")
    add("--protocol", required=True, choices=PROTOCOLS, help="see above")
    base = (
        "splits whose rows are divided, together, such as train,valid,test (default: all, else "
        "every split that there is)"
    )
    add("--base", nargs="+", metavar="SPLIT", help=base)
    add("--seed", type=int, default=defaults.seed, help="of what is drawn (default: %(default)s)")
    add("--n-folds", type=int, default=defaults.n_folds, help="groups (default: %(default)s)")
    share = "of the training rows, for leave_one_session_out (default: %(default)s)"
    add("--valid-share", type=float, default=defaults.valid_share, help=share)
    group = "what k_fold keeps whole (default: speakers, as far as known)"
    add("--group-by", choices=("session", "speaker", "dialogue"), help=group)
    balance = (
        "what leave_speaker_group_out and k_fold make alike in all folds: numbers of rows, or of "
        "rows of each label; order: speakers in turn, as RAVDESS's own folds (default: %(default)s)"
    )
    add("--balance", choices=BALANCES, default=defaults.balance, help=balance)
    unknown = "rows without the speaker or session that is held out are in no fold"
    add("--leave-out-unknown", action="store_true", help=unknown)
    add("--force", action="store_true", help="replace other folds of this protocol")
    options = parser.parse_args(arguments)
    return run(lambda: _make(options))


def _make(options: argparse.Namespace) -> None:
    corpus = read_corpus(options.data_dir)
    splits = list(corpus.splits)
    named = [name for word in options.base or () for name in word.split(",")]
    bases = list(dict.fromkeys(named)) or ([ALL] if ALL in splits else splits)
    if unknown := [base for base in bases if base not in splits]:
        known = ", ".join(splits)
        raise CodedError(f"--base {unknown[0]}: {options.data_dir} has {known}", "split-unknown")
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
    for warning in twin_warnings(folds, rows, _sounds(options.data_dir, rows)):
        logger.warning("%s: %s", path, warning)
    print(*next_steps(options.data_dir, corpus, folds, rows), sep="\n")


def _sounds(data_dir: Path, rows: ManifestTable) -> Mapping[str, str]:
    """Return digests of the audio files of equal size, where they are on this machine."""
    root = audio_root(data_dir, must_exist=False)
    if isinstance(root, RemotePath) or not root.is_dir():
        return {}
    with tempfile.TemporaryDirectory() as scratch:  # for a data dir that is not writable
        folder = data_dir if os.access(data_dir, os.W_OK) else Path(scratch)
        return sound_digests({ALL: rows}, root, folder / DIGESTS_FILE)[0]


def fold_table(folds: Folds, utterances: Sequence[Utterance]) -> str:
    """Return a table of the rows and labeled rows of each set, and of what is tested."""
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
    tested = next(iter(values)) if len(values) == 1 else f"{len(values)} {folds.unit}s"
    return f"  tests {tested}"


if __name__ == "__main__":
    raise SystemExit(main())

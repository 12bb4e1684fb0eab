r"""Combine data dirs, to train on more than one corpus, or on one and test on another.

    python -m data_prep.combine OUT_DIR DATA_DIR DATA_DIR... [--map CORPUS:FROM=TO ...]

For instance:
  python -m data_prep.combine data/both data/iemocap data/meld --data-raw meld=corpora/MELD \
    --map iemocap:excited=happy meld:joy=happy meld:fear= --splits iemocap:train,valid meld:test

Every id, speaker, session and dialogue is prefixed by its corpus ("meld/dia3_utt1"), so that equal
names in two corpora stay distinct; the column `corpus` names the corpus of a row. Label sets are
joined after the maps; labels are not changed otherwise. A label mapped to nothing drops its rows,
which corpus.yaml lists. Audio is not copied: its paths start from OUT_DIR, so combine again
after one of the folders is moved. Tokens and features are not combined: make them from the result.
"""

from __future__ import annotations

import argparse
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from data_prep.combining.label_maps import (
    OPTIONS,
    LabelMaps,
    check_maps,
    join_labels,
    parse_maps,
    twin_notes,
)
from data_prep.combining.sources import Source, read_sources, relative_path
from data_prep.command_line import make_parser, run
from data_prep.errors import CodedError, Fault, ManifestError
from data_prep.manifest.votes import format_votes, parse_votes, rename_votes
from data_prep.schema import (
    CORPUS_FILE,
    LABEL_COLUMNS,
    SPLITS,
    Corpus,
    DroppedRow,
    Utterance,
    read_corpus,
    write_corpus,
)

PROTOCOL = "combined:"  # prefix of the protocol in a card that this command wrote
PREFIXED = ("id", "speaker", "session", "dialogue")


def combine(
    data_dirs: Sequence[str | Path],
    out_dir: str | Path,
    *,
    maps: LabelMaps | None = None,
    splits: Mapping[str, Sequence[str]] | None = None,
    data_raw: Mapping[str, Path] | None = None,
) -> Corpus:
    """Write the data dir that joins `data_dirs`.

    Args:
        data_dirs: two or more, each of a corpus of its own name.
        out_dir: a folder that holds no other corpus.
        maps: "emotion" or "sentiment" -> corpus -> label -> label, or "" to drop its rows.
        splits: corpus -> which to join; "" for every other corpus (default: all that it has).
        data_raw: corpus -> the folder that its audio paths start from (default: that of its card).

    Raises:
        ValueError: what cannot be joined, see `read_sources`; or a split without any row left.
    """
    out_dir = Path(out_dir)
    maps = maps or {}
    _check_out_dir(out_dir, data_dirs)
    sources = read_sources(data_dirs, splits, data_raw)
    label_sets = {source.name: source.corpus.labels for source in sources}
    check_maps(maps, label_sets)
    corpus = _card(sources, out_dir)
    corpus.labels = join_labels(maps, label_sets)
    names = dict.fromkeys(split for source in sources for split in source.splits)
    order = [s for s in SPLITS if s in names] + [s for s in names if s not in SPLITS]
    joined: dict[str, list[Utterance]] = {split: [] for split in order}
    for source in sources:
        corpus.dropped += _dropped_before(source, "")  # of no split: before splits were drawn
        changed: Counter[tuple[str, str, str]] = Counter()
        for split in order:
            joined[split] += _join(source, split, maps, out_dir, corpus.dropped, changed)
        corpus.notes += [
            f"{source.name}: {column} {old} became {new} in {n} rows"
            for (column, old, new), n in changed.items()
        ]
    corpus.notes += twin_notes(corpus.labels)
    if empty := [split for split, rows in joined.items() if not rows]:
        message = f"{', '.join(empty)}: no row left; change the maps, or leave out the split"
        raise CodedError(message, "split-empty")
    write_corpus(out_dir, corpus, joined)
    return corpus


def _check_out_dir(out_dir: Path, data_dirs: Sequence[str | Path]) -> None:
    """Refuse to overwrite a corpus: without OUT_DIR, the first data dir would be it."""
    if len(data_dirs) < 2:
        names = ", ".join(map(str, data_dirs))
        message = f"{names}: name two data dirs or more to combine"
        raise CodedError(message, "data-dirs-too-few")
    remedy = "name a new folder, before the data dirs"
    if out_dir.resolve() in {Path(data_dir).resolve() for data_dir in data_dirs}:
        problem = "it is one of the data dirs"
        raise ManifestError(Fault(str(out_dir), None, problem, remedy, "out-dir-occupied"))
    if (out_dir / CORPUS_FILE).is_file():
        existing = read_corpus(out_dir)
        if not existing.protocol.startswith(PROTOCOL):
            problem = f"it holds the corpus {existing.name}"
            raise ManifestError(Fault(str(out_dir), None, problem, remedy, "out-dir-occupied"))


def _join(
    source: Source,
    split: str,
    maps: LabelMaps,
    out_dir: Path,
    dropped: list[DroppedRow],
    changed: Counter[tuple[str, str, str]],
) -> list[Utterance]:
    """Return a split's rows with prefixes; fills `dropped`, and counts the `changed` labels."""
    dropped += _dropped_before(source, split)
    rows = []
    raw = PurePosixPath(relative_path(source.raw, out_dir))
    videos = PurePosixPath(relative_path(source.videos, out_dir))
    for row in source.splits.get(split, ()):
        audio = None if row.audio is None else (raw / row.audio).as_posix()
        video = None if row.video is None else (videos / row.video).as_posix()
        values: dict[str, Any] = {"corpus": source.name, "audio": audio, "video": video}
        for key in PREFIXED:
            if (value := getattr(row, key)) is not None:
                values[key] = f"{source.name}/{value}"
        changes = [
            (column, old, maps.get(column, {}).get(source.name, {}).get(old, old))
            for column in LABEL_COLUMNS
            if (old := getattr(row, column)) is not None
        ]
        if removed := [f"{column} {old}" for column, old, new in changes if not new]:
            reason = f"{source.name}: {' and '.join(removed)} mapped to nothing"
            dropped.append(DroppedRow(split, values["id"], reason))
            continue
        changed.update((column, old, new) for column, old, new in changes if new != old)
        values |= {column: new for column, _, new in changes}
        if row.votes is not None:
            names = maps.get("emotion", {}).get(source.name, {})
            values["votes"] = format_votes(rename_votes(parse_votes(row.votes), names))
        rows.append(replace(row, **values))
    return rows


def _dropped_before(source: Source, split: str) -> list[DroppedRow]:
    """Return the rows of a split that the source has dropped, with its name before theirs."""
    return [
        replace(row, id=f"{source.name}/{row.id}", reason=f"{source.name}: {row.reason}")
        for row in source.corpus.dropped
        if row.split == split
    ]


def _card(sources: Sequence[Source], out_dir: Path) -> Corpus:
    """Return the joint card, without labels, dropped rows and notes on changed labels."""
    cards = {source.name: source.corpus for source in sources}
    disjoint = [set(card.disjoint) for card in cards.values()]
    scales = {name: card.vad for name, card in cards.items() if card.vad}
    notes = [_origin(source, out_dir) for source in sources]
    protocols = [f"{name}: {card.protocol or 'not said'}" for name, card in cards.items()]
    rows = [row for source in sources for rows in source.splits.values() for row in rows]
    if named := [x for x in ("audio", "video") if any(getattr(row, x) is not None for row in rows)]:
        notes.append(f"{' and '.join(named)} paths start from this folder")
    return Corpus(
        "+".join(cards),
        vad={"scale": [0.0, 1.0], "sources": scales} if scales else None,
        sample_rate=sources[0].corpus.sample_rate,
        disjoint=tuple(sorted(set.intersection(*disjoint))),
        protocol=f"{PROTOCOL} {'; '.join(protocols)}",
        license="; ".join(f"{n}: {c.license}" for n, c in cards.items() if c.license),
        citation="; ".join(f"{n}: {c.citation}" for n, c in cards.items() if c.citation),
        notes=notes,
    )


def _origin(source: Source, out_dir: Path) -> str:
    """Describe a source: its folder, relative to `out_dir`, and the rows of each split."""
    counts = ", ".join(f"{split} {len(rows)}" for split, rows in source.splits.items())
    folder = relative_path(source.folder, out_dir)
    return f"{source.name}: from {folder}, rows before the maps: {counts or 'none'}"


# -- Command line ----------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    options = combine_parser(__doc__ or "").parse_args(arguments)
    return run(lambda: _combine(options))


def _combine(options: argparse.Namespace) -> None:
    corpus = combine(
        options.data_dirs,
        options.out_dir,
        maps=maps_of(options),
        splits=splits_of(options.splits),
        data_raw=folders_of(options.data_raw),
    )
    print(f"train with: emotion-recognize train {shlex.quote(str(options.out_dir))}")
    print("tokens and features are not combined; where you need them, make them now:")
    print(f"  python -m data_prep.tokenize_text {options.out_dir}")
    if corpus.splits.get("train", {}).get("with_vad"):
        print(f"  python -m data_prep.fit_prototypes {options.out_dir}")


def combine_parser(description: str) -> argparse.ArgumentParser:
    """Return the parser of `python -m data_prep.combine`."""
    parser = make_parser("combine", description, audio=False)
    add = parser.add_argument
    many: dict[str, Any] = {"nargs": "+", "action": "extend", "default": []}
    add("out_dir", type=Path, metavar="OUT_DIR", help="data dir to write")
    add("data_dirs", type=Path, nargs="+", metavar="DATA_DIR", help="two data dirs or more")
    for column, option in OPTIONS.items():
        about = f"{column} FROM becomes TO; with nothing after = its rows are dropped"
        add(option, dest=column, metavar="CORPUS:FROM=TO", help=about, **many)
    splits = "which splits to combine, of every corpus or of one (default: all)"
    add("--splits", metavar="[CORPUS:]SPLIT,SPLIT", help=splits, **many)
    raw = "folder that this corpus's audio paths start from (default: that of its corpus.yaml)"
    add("--data-raw", metavar="CORPUS=DIR", help=raw, **many)
    return parser


def maps_of(options: argparse.Namespace) -> dict[str, dict[str, dict[str, str]]]:
    """Return the label maps of the options: column -> corpus -> label -> label."""
    return {
        column: parse_maps(option, getattr(options, column)) for column, option in OPTIONS.items()
    }


def splits_of(texts: Sequence[str]) -> dict[str, list[str]]:
    """["train,valid", "meld:test"] -> {"": ["train", "valid"], "meld": ["test"]}."""
    splits: dict[str, list[str]] = {}
    for text in texts:
        corpus, colon, names = text.rpartition(":")
        wanted = names.split(",")
        if bool(corpus) != bool(colon) or not all(wanted) or corpus in splits:
            raise CodedError(
                f"--splits {text}: write SPLIT,SPLIT or CORPUS:SPLIT,SPLIT, each corpus once",
                "option-malformed",
            )
        splits[corpus] = wanted
    return splits


def folders_of(texts: Sequence[str]) -> dict[str, Path]:
    """["meld=corpora/MELD"] -> {"meld": corpora/MELD}."""
    folders: dict[str, Path] = {}
    for text in texts:
        name, equals, folder = text.partition("=")
        if not (name and equals and folder) or name in folders:
            message = f"--data-raw {text}: write CORPUS=DIR, each corpus once"
            raise CodedError(message, "option-malformed")
        folders[name] = Path(folder)
    return folders

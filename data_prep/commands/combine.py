r"""Several data dirs as one, to train on more than one corpus, or on one and test on another.

    python -m data_prep.combine OUT_DIR DATA_DIR DATA_DIR... [--map CORPUS:FROM=TO ...]

For instance:
  python -m data_prep.combine data/both data/iemocap data/meld --data-raw meld=corpora/MELD \
    --map iemocap:excited=happy meld:joy=happy meld:fear= --splits iemocap:train,valid meld:test

Every id, speaker, session and dialogue gets its corpus's name in front ("meld/dia3_utt1"), so that
like names in two corpora stay two; the column `corpus` says where a row comes from. Label sets are
joined after the maps, which are all that is done to labels; a label mapped to nothing drops its
rows, which corpus.yaml lists. Audio stays where it is: its paths lead there from OUT_DIR, so train
without --data-raw, and combine anew when one of the folders moves. Tokens and features are not
combined: make them from the result.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from data_prep.commands.combine_labels import (
    LabelMaps,
    check_maps,
    join_labels,
    twin_notes,
)
from data_prep.commands.combine_options import (
    combine_parser,
    folders_of,
    maps_of,
    splits_of,
)
from data_prep.commands.combine_sources import (
    Source,
    read_sources,
    way_to,
)
from data_prep.commands.command_line import run
from data_prep.errors import (
    Fault,
    ManifestError,
)
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

PROTOCOL = "combined:"  # how the protocol of a data dir that this command wrote begins
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
        data_raw: corpus -> the folder that its audio paths start from (default: its data dir).

    Raises:
        ValueError: what cannot be joined, see `read_sources`; or a split without any row left.
    """
    out_dir = Path(out_dir)
    maps = maps or {}
    _check_place(out_dir, data_dirs)
    sources = read_sources(data_dirs, splits, data_raw)
    label_sets = {source.name: source.corpus.labels for source in sources}
    check_maps(maps, label_sets)
    corpus = _card(sources, out_dir)
    corpus.labels = join_labels(maps, label_sets)
    found = dict.fromkeys(split for source in sources for split in source.splits)
    order = [*(s for s in SPLITS if s in found), *(s for s in found if s not in SPLITS)]
    joined: dict[str, list[Utterance]] = {split: [] for split in order}
    for source in sources:
        changed: Counter[tuple[str, str, str]] = Counter()
        for split in order:
            joined[split] += _join(source, split, maps, out_dir, corpus.dropped, changed)
        corpus.notes += [
            f"{source.name}: {column} {old} became {new} in {n} rows"
            for (column, old, new), n in changed.items()
        ]
    corpus.notes += twin_notes(corpus.labels)
    if empty := [split for split, rows in joined.items() if not rows]:
        raise ValueError(f"{', '.join(empty)}: no row left; mind the maps, or leave out the split")
    write_corpus(out_dir, corpus, joined)
    return corpus


def _check_place(out_dir: Path, data_dirs: Sequence[str | Path]) -> None:
    """Refuse to write over a corpus: OUT_DIR forgotten, the first data dir would be it."""
    if len(data_dirs) < 2:
        raise ValueError(f"{', '.join(map(str, data_dirs))}: name two data dirs or more to combine")
    remedy = "name a new folder, before the data dirs"
    if out_dir.resolve() in {Path(data_dir).resolve() for data_dir in data_dirs}:
        raise ManifestError(Fault(str(out_dir), None, "it is one of the data dirs", remedy))
    if (out_dir / CORPUS_FILE).is_file():
        there = read_corpus(out_dir)
        if not there.protocol.startswith(PROTOCOL):
            what = f"it holds the corpus {there.name}"
            raise ManifestError(Fault(str(out_dir), None, what, remedy))


def _join(
    source: Source,
    split: str,
    maps: LabelMaps,
    out_dir: Path,
    dropped: list[DroppedRow],
    changed: Counter[tuple[str, str, str]],
) -> list[Utterance]:
    """One split's rows under their new names; fills `dropped`, and counts the `changed` labels."""
    dropped += [
        replace(row, id=f"{source.name}/{row.id}", reason=f"{source.name}: {row.reason}")
        for row in source.corpus.dropped
        if row.split == split
    ]
    rows = []
    way = PurePosixPath(way_to(source.raw, out_dir))
    for row in source.splits.get(split, ()):
        audio = None if row.audio is None else (way / row.audio).as_posix()
        values: dict[str, Any] = {"corpus": source.name, "audio": audio}
        for key in PREFIXED:
            if (value := getattr(row, key)) is not None:
                values[key] = f"{source.name}/{value}"
        moves = [
            (column, old, maps.get(column, {}).get(source.name, {}).get(old, old))
            for column in LABEL_COLUMNS
            if (old := getattr(row, column)) is not None
        ]
        if lost := [f"{column} {old}" for column, old, new in moves if not new]:
            reason = f"{source.name}: {' and '.join(lost)} mapped to nothing"
            dropped.append(DroppedRow(split, values["id"], reason))
            continue
        changed.update((column, old, new) for column, old, new in moves if new != old)
        values |= {column: new for column, _, new in moves}
        rows.append(replace(row, **values))
    return rows


def _card(sources: Sequence[Source], out_dir: Path) -> Corpus:
    """The joint card, but for labels, dropped rows and what was done to labels."""
    cards = {source.name: source.corpus for source in sources}
    apart = [set(card.disjoint) for card in cards.values()]
    scales = {name: card.vad for name, card in cards.items() if card.vad}
    notes = [_origin(source, out_dir) for source in sources]
    protocols = [f"{name}: {card.protocol or 'not said'}" for name, card in cards.items()]
    if any(row.audio for s in sources for rows in s.splits.values() for row in rows):
        notes.append("audio paths start from this folder: train without --data-raw")
    return Corpus(
        "+".join(cards),
        vad={"scale": [0.0, 1.0], "sources": scales} if scales else None,
        sample_rate=sources[0].corpus.sample_rate,
        disjoint=tuple(sorted(set.intersection(*apart))),
        protocol=f"{PROTOCOL} {'; '.join(protocols)}",
        licence="; ".join(f"{n}: {c.licence}" for n, c in cards.items() if c.licence),
        citation="; ".join(f"{n}: {c.citation}" for n, c in cards.items() if c.citation),
        notes=notes,
    )


def _origin(source: Source, out_dir: Path) -> str:
    """Where a corpus came from, seen from `out_dir`, and how many rows of which split."""
    counts = ", ".join(f"{split} {len(rows)}" for split, rows in source.splits.items())
    folder = way_to(source.folder, out_dir)
    return f"{source.name}: from {folder}, rows before the maps: {counts or 'none'}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: see the module's docstring."""
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
    print(f"train with: --data {options.out_dir}")
    print("tokens and features are not combined; where you need them, make them now:")
    print(f"  python -m data_prep.tokenize_text {options.out_dir}")
    if corpus.splits.get("train", {}).get("with_vad"):
        print(f"  python -m data_prep.fit_prototypes {options.out_dir}")

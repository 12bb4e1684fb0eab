"""Several data dirs as one, to train on more than one corpus, or on one and test on another.

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
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from data_prep.commands.command_line import make_parser, run
from data_prep.errors import Fault, ManifestError
from data_prep.prototypes.records import canonical_label
from data_prep.schema import (
    CORPUS_FILE,
    LABEL_COLUMNS,
    SPLITS,
    Corpus,
    DroppedRow,
    Utterance,
    read_corpus,
    read_manifest,
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


# -- The data dirs that `combine` joins: read, and held to what can be joined ----------------------

_NOT_IN_NAMES = re.compile(r"[/:=]")  # they part a name from what follows it, in ids and options


@dataclass(frozen=True)
class Source:
    """One data dir: its folder, where its audio paths start, its card and its rows by split."""

    folder: Path
    raw: Path
    corpus: Corpus
    splits: Mapping[str, Sequence[Utterance]]

    @property
    def name(self) -> str:
        return self.corpus.name


def read_sources(
    data_dirs: Sequence[str | Path],
    splits: Mapping[str, Sequence[str]] | None = None,
    data_raw: Mapping[str, Path] | None = None,
) -> list[Source]:
    """Read the data dirs, with those of `splits` (corpus -> names, "" for the others) they have.

    Raises:
        ManifestError: no data dir; or a corpus that cannot be joined with the others: without a
            name of its own, of another sample rate, combined already, or with audio that is not
            where its paths lead to.
        ValueError: `splits` or `data_raw` of a corpus, or a split, that is not there.
    """
    splits, data_raw = splits or {}, data_raw or {}
    folders: dict[str, Path] = {}
    corpora: dict[str, Corpus] = {}
    for data_dir in map(Path, data_dirs):
        corpus = read_corpus(data_dir)
        _check_card(data_dir, corpus, folders, corpora)
        folders[corpus.name], corpora[corpus.name] = data_dir, corpus
    _check_asked(corpora, splits, data_raw)
    sources = []
    for name, corpus in corpora.items():
        wanted = splits.get(name, splits.get("", tuple(corpus.splits)))
        rows = {s: read_manifest(folders[name] / f"{s}.tsv") for s in corpus.splits if s in wanted}
        sources.append(Source(folders[name], data_raw.get(name, folders[name]), corpus, rows))
        _check_rows(sources[-1])
    return sources


def way_to(folder: Path, out_dir: Path) -> str:
    """`folder` as seen from `out_dir`; both by their true places: ".." does not undo a link."""
    return Path(os.path.relpath(folder.resolve(), out_dir.resolve())).as_posix()


def _check_asked(
    corpora: Mapping[str, Corpus],
    splits: Mapping[str, Sequence[str]],
    data_raw: Mapping[str, Path],
) -> None:
    for option, names in {"--splits": splits, "--data-raw": data_raw}.items():
        if unknown := [name for name in names if name and name not in corpora]:
            known = ", ".join(corpora)
            raise ValueError(f"{option} {unknown[0]}: no such corpus; there are {known}")
    for name, asked in splits.items():
        of = [corpora[name]] if name else list(corpora.values())
        there = list(dict.fromkeys(split for corpus in of for split in corpus.splits))
        if absent := [split for split in asked if split not in there]:
            whose = name or "the data dirs"
            raise ValueError(f"--splits {','.join(absent)}: {whose} have {', '.join(there)}")


def _check_card(
    data_dir: Path, corpus: Corpus, folders: Mapping[str, Path], others: Mapping[str, Corpus]
) -> None:
    """Raise ManifestError where the corpus cannot be told from `others`, or counts otherwise."""
    file = str(data_dir / CORPUS_FILE)
    if _NOT_IN_NAMES.search(corpus.name):
        what = f"the corpus is named {corpus.name!r}"
        raise ManifestError(Fault(file, None, what, "take / : = out of its name"))
    if corpus.name in folders:
        what = f"the corpus is named {corpus.name} like that of {folders[corpus.name]}"
        remedy = "name each data dir once, and each corpus differently"
        raise ManifestError(Fault(file, None, what, remedy))
    for other in others.values():
        if corpus.sample_rate != other.sample_rate:
            what = (
                f"n_samples counts at {corpus.sample_rate} Hz, "
                f"in {other.name} at {other.sample_rate}"
            )
            raise ManifestError(Fault(file, None, what, "prepare both at one sample rate"))


def _check_rows(source: Source) -> None:
    for split, rows in source.splits.items():
        for number, row in enumerate(rows, start=2):
            for what, remedy in _row_faults(source, row):
                file = str(source.folder / f"{split}.tsv")
                raise ManifestError(Fault(file, number, what, remedy))


def _row_faults(source: Source, row: Utterance) -> Iterator[tuple[str, str]]:
    if row.corpus is not None:
        remedy = "combine the data dirs that this one was made of, all at once"
        yield f"the row names a corpus already, {row.corpus}", remedy
    if row.audio is not None and Path(row.audio).is_absolute():
        yield f"audio {row.audio} is an absolute path", "write it relative to --data-raw"
    elif row.audio is not None and not (source.raw / row.audio).is_file():
        remedy = f"say where its paths start: --data-raw {source.name}=FOLDER"
        yield f"audio {row.audio} is not in {source.raw}", remedy


# -- Label maps of `combine`: which label of which corpus becomes which, or drops its row ----------

LabelMaps = Mapping[str, Mapping[str, Mapping[str, str]]]  # column -> corpus -> label -> label
OPTIONS = {"emotion": "--map", "sentiment": "--sentiment-map"}  # column -> what fills its maps


def parse_maps(option: str, texts: Iterable[str]) -> dict[str, dict[str, str]]:
    """["meld:joy=happy", "meld:fear="] -> {"meld": {"joy": "happy", "fear": ""}}."""
    maps: dict[str, dict[str, str]] = {}
    for text in texts:
        left, equals, new = text.partition("=")
        corpus, colon, old = left.partition(":")
        if not (corpus and colon and old and equals) or old in maps.get(corpus, {}):
            raise ValueError(
                f"{option} {text}: write CORPUS:FROM=TO, or CORPUS:FROM= to drop its rows, and "
                "each label once"
            )
        maps.setdefault(corpus, {})[old] = new
    return maps


def check_maps(maps: LabelMaps, labels: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
    """Raise ValueError where a map names a corpus or label that there is not.

    Args:
        maps: column -> corpus -> label -> label.
        labels: corpus -> column -> its labels.
    """
    for column, by_corpus in maps.items():
        option = OPTIONS[column]
        for corpus, changes in by_corpus.items():
            if corpus not in labels:
                raise ValueError(f"{option} {corpus}: no such corpus; there are {_list(labels)}")
            known = labels[corpus].get(column, ())
            if unknown := [old for old in changes if old not in known]:
                raise ValueError(
                    f"{option} {corpus}:{unknown[0]}=: {corpus} has no such {column}; "
                    f"it has {_list(known) or 'none'}"
                )


def join_labels(
    maps: LabelMaps, labels: Mapping[str, Mapping[str, Sequence[str]]]
) -> dict[str, tuple[str, ...]]:
    """The label sets of all corpora after the maps: column -> labels in order of appearance."""
    joined = {}
    for column in LABEL_COLUMNS:
        changes = maps.get(column, {})
        names = [
            changes.get(corpus, {}).get(name, name)
            for corpus, sets in labels.items()
            for name in sets.get(column, ())
        ]
        if found := tuple(dict.fromkeys(name for name in names if name)):
            joined[column] = found
    return joined


def twin_notes(labels: Mapping[str, Sequence[str]]) -> list[str]:
    """A note for labels that are, by their names, one class, but were not mapped to one."""
    notes = []
    for column, names in labels.items():
        twins: dict[str, list[str]] = {}
        for name in names:
            twins.setdefault(canonical_label(name), []).append(name)
        notes += [
            f"{column} {_list(same)} look like one class and stay apart; {OPTIONS[column]} joins "
            "them"
            for same in twins.values()
            if len(same) > 1
        ]
    return notes


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)


# -- The command line of `combine`, as a parser and as what its options spell ----------------------


def combine_parser(description: str) -> argparse.ArgumentParser:
    """The parser of `python -m data_prep.combine`."""
    parser = make_parser("combine", description, audio=False)
    add = parser.add_argument
    many: dict[str, Any] = {"nargs": "+", "action": "extend", "default": []}
    add("out_dir", type=Path, metavar="OUT_DIR", help="data dir to write")
    add("data_dirs", type=Path, nargs="+", metavar="DATA_DIR", help="two data dirs or more")
    for column, option in OPTIONS.items():
        what = f"{column} FROM becomes TO; with nothing after = its rows are dropped"
        add(option, dest=column, metavar="CORPUS:FROM=TO", help=what, **many)
    splits = "which splits to join, of every corpus or of one (default: all that there are)"
    add("--splits", metavar="[CORPUS:]SPLIT,SPLIT", help=splits, **many)
    raw = "folder that this corpus's audio paths start from (default: its data dir)"
    add("--data-raw", metavar="CORPUS=DIR", help=raw, **many)
    return parser


def maps_of(options: argparse.Namespace) -> dict[str, dict[str, dict[str, str]]]:
    """The label maps that the parsed options spell: column -> corpus -> label -> label."""
    return {
        column: parse_maps(option, getattr(options, column)) for column, option in OPTIONS.items()
    }


def splits_of(texts: Sequence[str]) -> dict[str, list[str]]:
    """["train,valid", "meld:test"] -> {"": ["train", "valid"], "meld": ["test"]}."""
    splits: dict[str, list[str]] = {}
    for text in texts:
        corpus, colon, names = text.rpartition(":")
        found = names.split(",")
        if bool(corpus) != bool(colon) or not all(found) or corpus in splits:
            raise ValueError(
                f"--splits {text}: write SPLIT,SPLIT or CORPUS:SPLIT,SPLIT, each corpus once"
            )
        splits[corpus] = found
    return splits


def folders_of(texts: Sequence[str]) -> dict[str, Path]:
    """["meld=corpora/MELD"] -> {"meld": corpora/MELD}."""
    folders: dict[str, Path] = {}
    for text in texts:
        name, equals, folder = text.partition("=")
        if not (name and equals and folder) or name in folders:
            raise ValueError(f"--data-raw {text}: write CORPUS=DIR, each corpus once")
        folders[name] = Path(folder)
    return folders

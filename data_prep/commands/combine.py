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
import os
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from data_prep.command_line import (
    make_parser,
    run,
)
from data_prep.errors import CodedError, Fault, ManifestError
from data_prep.manifest.audio_root import audio_root, video_root
from data_prep.manifest.votes import format_votes, parse_votes, rename_votes
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
    dropped += [
        replace(row, id=f"{source.name}/{row.id}", reason=f"{source.name}: {row.reason}")
        for row in source.corpus.dropped
        if row.split == split
    ]
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


# -- Sources: data dirs that can be combined -------------------------------------------------------

_NOT_IN_NAMES = re.compile(r"[/:=]")  # separators after a name, in ids and options


@dataclass(frozen=True)
class Source:
    """A data dir: its folder, those of audio and video paths, its card and its rows by split."""

    folder: Path
    raw: Path
    videos: Path
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
    """Read the data dirs, with the wanted `splits` (corpus -> names, "" for other corpora).

    Raises:
        ManifestError: no data dir; or a corpus that cannot be combined with the others: without a
            name of its own, of another sample rate, already combined, or with missing audio.
        CodedError: `splits` or `data_raw` of an unknown corpus or split.
    """
    splits, data_raw = splits or {}, data_raw or {}
    folders: dict[str, Path] = {}
    corpora: dict[str, Corpus] = {}
    for data_dir in map(Path, data_dirs):
        corpus = read_corpus(data_dir)
        _check_card(data_dir, corpus, folders, corpora)
        folders[corpus.name], corpora[corpus.name] = data_dir, corpus
    _check_options(corpora, splits, data_raw)
    sources = []
    for name, corpus in corpora.items():
        wanted = splits.get(name, splits.get("", tuple(corpus.splits)))
        rows = {s: read_manifest(folders[name] / f"{s}.tsv") for s in corpus.splits if s in wanted}
        raw = audio_root(folders[name], data_raw.get(name), must_exist=False)
        videos = video_root(folders[name], None, data_raw.get(name), must_exist=False)
        sources.append(Source(folders[name], raw, videos, corpus, rows))
        _check_rows(sources[-1])
    return sources


def relative_path(folder: Path, out_dir: Path) -> str:
    """Return `folder` relative to `out_dir`; links are resolved, since ".." does not undo one."""
    return Path(os.path.relpath(folder.resolve(), out_dir.resolve())).as_posix()


def _check_options(
    corpora: Mapping[str, Corpus],
    splits: Mapping[str, Sequence[str]],
    data_raw: Mapping[str, Path],
) -> None:
    for option, names in {"--splits": splits, "--data-raw": data_raw}.items():
        if unknown := [name for name in names if name and name not in corpora]:
            known = ", ".join(corpora)
            message = f"{option} {unknown[0]}: no such corpus; there are {known}"
            raise CodedError(message, "corpus-unknown")
    for name, wanted in splits.items():
        chosen = [corpora[name]] if name else list(corpora.values())
        known_splits = list(dict.fromkeys(split for corpus in chosen for split in corpus.splits))
        if absent := [split for split in wanted if split not in known_splits]:
            owner = name or "the data dirs"
            known = ", ".join(known_splits)
            message = f"--splits {','.join(absent)}: {owner} have {known}"
            raise CodedError(message, "split-unknown")


def _check_card(
    data_dir: Path, corpus: Corpus, folders: Mapping[str, Path], others: Mapping[str, Corpus]
) -> None:
    """Raise ManifestError for a name or a sample rate that does not fit with `others`."""
    file = str(data_dir / CORPUS_FILE)
    if _NOT_IN_NAMES.search(corpus.name):
        problem, remedy = f"the corpus is named {corpus.name!r}", "remove / : = from its name"
        raise ManifestError(Fault(file, None, problem, remedy, "name-malformed"))
    if corpus.name in folders:
        problem = f"the corpus is named {corpus.name} like that of {folders[corpus.name]}"
        remedy = "name each data dir once, and each corpus differently"
        raise ManifestError(Fault(file, None, problem, remedy, "corpus-repeated"))
    for other in others.values():
        if corpus.sample_rate != other.sample_rate:
            problem = (
                f"n_samples counts at {corpus.sample_rate} Hz, "
                f"in {other.name} at {other.sample_rate}"
            )
            remedy = "prepare both at one sample rate"
            raise ManifestError(Fault(file, None, problem, remedy, "sample-rate-mismatch"))


def _check_rows(source: Source) -> None:
    for split, rows in source.splits.items():
        for number, row in enumerate(rows, start=2):
            for problem, remedy, code in _row_faults(source, row):
                file = str(source.folder / f"{split}.tsv")
                raise ManifestError(Fault(file, number, problem, remedy, code))


def _row_faults(source: Source, row: Utterance) -> Iterator[tuple[str, str, str]]:
    if row.corpus is not None:
        remedy = "combine the data dirs that this one was made of, all at once"
        yield f"the row names a corpus already, {row.corpus}", remedy, "already-combined"
    if row.audio is not None and Path(row.audio).is_absolute():
        problem = f"audio {row.audio} is an absolute path"
        yield problem, "write it relative to --data-raw", "path-absolute"
    elif row.audio is not None and not (source.raw / row.audio).is_file():
        remedy = f"give the folder that its paths start from: --data-raw {source.name}=FOLDER"
        yield f"audio {row.audio} is not in {source.raw}", remedy, "audio-missing"
    if row.video is not None and not (source.videos / row.video).exists():
        remedy = f"write their folder to video_raw of {source.folder / CORPUS_FILE}"
        yield f"video {row.video} is not in {source.videos}", remedy, "video-missing"


# -- Label maps: corpus:label to label, or to nothing, which drops the row -------------------------

LabelMaps = Mapping[str, Mapping[str, Mapping[str, str]]]  # column -> corpus -> label -> label
OPTIONS = {"emotion": "--map", "sentiment": "--sentiment-map"}  # column -> what fills its maps


def parse_maps(option: str, texts: Iterable[str]) -> dict[str, dict[str, str]]:
    """["meld:joy=happy", "meld:fear="] -> {"meld": {"joy": "happy", "fear": ""}}."""
    maps: dict[str, dict[str, str]] = {}
    for text in texts:
        left, equals, new = text.partition("=")
        corpus, colon, old = left.partition(":")
        if not (corpus and colon and old and equals) or old in maps.get(corpus, {}):
            raise CodedError(
                f"{option} {text}: write CORPUS:FROM=TO, or CORPUS:FROM= to drop its rows, and "
                "each label once",
                "option-malformed",
            )
        maps.setdefault(corpus, {})[old] = new
    return maps


def check_maps(maps: LabelMaps, labels: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
    """Raise CodedError if a map names an unknown corpus or label.

    Args:
        maps: column -> corpus -> label -> label.
        labels: corpus -> column -> its labels.
    """
    for column, by_corpus in maps.items():
        option = OPTIONS[column]
        for corpus, changes in by_corpus.items():
            if corpus not in labels:
                message = f"{option} {corpus}: no such corpus; there are {_list(labels)}"
                raise CodedError(message, "corpus-unknown")
            known = labels[corpus].get(column, ())
            if unknown := [old for old in changes if old not in known]:
                raise CodedError(
                    f"{option} {corpus}:{unknown[0]}=: {corpus} has no such {column}; "
                    f"it has {_list(known) or 'none'}",
                    "label-unknown",
                )


def join_labels(
    maps: LabelMaps, labels: Mapping[str, Mapping[str, Sequence[str]]]
) -> dict[str, tuple[str, ...]]:
    """Return the joint label sets after the maps: column -> labels in order of appearance."""
    joined = {}
    for column in LABEL_COLUMNS:
        changes = maps.get(column, {})
        names = [
            changes.get(corpus, {}).get(name, name)
            for corpus, sets in labels.items()
            for name in sets.get(column, ())
        ]
        if labels_of_column := tuple(dict.fromkeys(name for name in names if name)):
            joined[column] = labels_of_column
    return joined


def twin_notes(labels: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a note on labels that are one class by their names, but were not mapped to one."""
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


# -- Command line ----------------------------------------------------------------------------------


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

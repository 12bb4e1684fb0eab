"""EmoBox: 32 corpora of 14 languages in one format of metadata, with folds (Ma et al. 2024).

Published layout, of one corpus: `data/{corpus}/fold_{k}/{corpus}_{train,valid,test}_fold_{k}.jsonl`
and `label_map.json` (of EMOVO `label_dict.json`); a JSON object a line with key, dataset, wav,
type ("raw"), emo, and, where many utterances are in one recording (PAVOQUE), start_time and
end_time in seconds. `wav` starts at the folder that holds `downloads/`: by default the one above
`data/`, else --data-raw.

One fold becomes train, valid and test; several become the split `all` and `folds/emobox.json`.
EmoBox draws the valid set from train if the corpus has none, a fifth of its rows; so does this
command, but with another seed: unlike train and test, the draw is not that of EmoBox, and the card
has its counts. Assumed: emo is mapped by label_map.json, whose order is that of the classes; one
that differs in case alone from one name there is that name (EMO-DB's neutral), which is noted; a
label that it lacks drops its row. The sound of a video (MELD, eNTERFACE) is the .wav or .flac of
the same name beside it. A line with times is a segment of its recording. There is no text. Speakers
are not in the lines; --speakers reads them from data.seg.wrd.stm, where "spk" is at times the
recording instead (IEMOCAP, MER2023): by default, speakers are unknown. Lines that match no row, and
rows without a line, are counted and named.
Not used: further test sets (MER2023's).
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field

from data_prep.audio.decoding import AudioError
from data_prep.audio.loading import measure_all, note_warnings
from data_prep.audio.part import Measured
from data_prep.engines import Workers
from data_prep.errors import CodedError, Fault, ManifestError, raise_faults
from data_prep.files.documents import ForeignDocument, load_json, validate
from data_prep.files.listing import CORPUS_SUFFIXES, visible
from data_prep.folds.dev_set import draw_dev_set
from data_prep.folds.file import fold_faults, folds_path, refuse_other_folds, write_folds
from data_prep.folds.records import ALL, Folds, composition_lines, composition_of
from data_prep.manifest.audio_root import to_record
from data_prep.manifest.cells import find_id_fault
from data_prep.manifest.segment import segment_fault
from data_prep.messages import first_few
from data_prep.schema import SAMPLE_RATE, SPLITS, Corpus, DroppedRow, Utterance, write_corpus
from data_prep.tables.reader import open_table

PROTOCOL = "emobox"
VALID_SHARE = 0.2
LICENSE = "metadata: MIT; the corpus itself is under its own license"
CITATION = (
    "Ma, Chen, Zhang, Zheng, Chen, Li, Ye, Chen, Hain (2024). EmoBox: Multilingual Multi-corpus "
    "Speech Emotion Recognition Toolkit and Benchmark. Interspeech. Cite the corpus itself too."
)

Rows = dict[str, Utterance]


def prepare_emobox(
    corpus_dir: str | Path,
    out_dir: str | Path,
    *,
    data_raw: str | Path | None = None,
    speakers: bool = False,
    valid_share: float = VALID_SHARE,
    seed: int = 1,
    force: bool = False,
    workers: Workers = None,
    progress: bool = False,
) -> Corpus:
    """Write the data dir of one corpus of EmoBox; `force` replaces existing folds that differ."""
    folder, out_dir = Path(corpus_dir), Path(out_dir)
    raw = default_raw(folder) if data_raw is None else Path(data_raw)
    metadata = read_emobox(folder)
    names = {item.dataset for item in metadata.items.values()}
    if len(names) != 1:
        message = f"{folder}: its lines name {len(names)} datasets, not one"
        raise CodedError(message, "datasets-several")
    labels = {"emotion": tuple(dict.fromkeys(metadata.label_of.values()))}
    corpus = Corpus(
        names.pop(),
        labels=labels,
        data_raw=to_record(raw),
        license=LICENSE,
        citation=CITATION,
    )
    known = read_speakers(folder) if speakers else Speakers()
    rows = _rows(metadata, known.speaker_of)
    if speakers:
        note_speakers(known, rows, corpus)
    corpus.notes += [
        f"emo {emo!r} is taken for {name!r} of {metadata.label_file}: they differ in case alone"
        for emo, name in metadata.other_case.items()
    ]
    unknown = {
        key: f"emo {metadata.items[key].emo!r} is not in {metadata.label_file}"
        for key, row in rows.items()
        if row.emotion is None
    }
    items = [item for key, item in metadata.items.items() if key not in unknown]
    sounds = find_sounds(items, raw, workers=workers, progress=progress)
    unreadable = {key: f"audio: {e}" for key, e in sounds.items() if isinstance(e, AudioError)}
    _list_dropped({**unknown, **unreadable, **metadata.repeated}, metadata, corpus)
    note_warnings(
        corpus, ((key, s if isinstance(s, AudioError) else s.measured) for key, s in sounds.items())
    )
    rows = {
        key: replace(
            rows[key],
            audio=sound.audio,
            n_samples=sound.measured.n_samples,
            start=sound.start,
            end=sound.end,
        )
        for key, sound in sounds.items()
        if not isinstance(sound, AudioError)
    }
    if not rows:
        row = corpus.dropped[0]
        message = f"{folder}: no row can be used: {row.id}: {row.reason}; check --data-raw"
        raise CodedError(message, "rows-missing")
    folds = fold_sets(metadata, rows, valid_share, seed, corpus)
    if metadata.unused:
        corpus.notes.append(f"not used: {', '.join(metadata.unused)}")
    _write(out_dir, corpus, rows, folds, seed, force)
    return corpus


def _rows(metadata: EmoBoxFolder, speaker_of: Mapping[str, str]) -> Rows:
    return {
        key: Utterance(key, speaker=speaker_of.get(key), emotion=metadata.label_of.get(item.emo))
        for key, item in metadata.items.items()
    }


def _list_dropped(dropped: Mapping[str, str], metadata: EmoBoxFolder, corpus: Corpus) -> None:
    split_of: dict[str, str] = {}
    if len(metadata.folds) == 1:
        (parts,) = metadata.folds.values()
        split_of = {key: split for split, keys in parts.items() for key in keys}
    corpus.dropped += [
        DroppedRow(split_of.get(key, ALL), key, reason) for key, reason in dropped.items()
    ]


def _write(
    out_dir: Path,
    corpus: Corpus,
    rows: Rows,
    folds: Mapping[str, Mapping[str, Sequence[str]]],
    seed: int,
    force: bool,
) -> None:
    if len(folds) == 1:
        (sets,) = folds.values()
        splits = {split: [rows[key] for key in keys] for split, keys in sets.items() if keys}
        write_corpus(out_dir, corpus, splits)
        return
    composition = composition_of(folds, list(rows.values()))
    made = Folds(PROTOCOL, "row", seed, (ALL,), folds, composition)
    if faults := fold_faults(made, rows):
        message = f"{out_dir}: nothing is written: {'; '.join(faults)}"
        raise CodedError(message, "folds-invalid")
    if not force:
        refuse_other_folds(folds_path(out_dir, PROTOCOL), made)
    corpus.folds = {PROTOCOL: {"unit": made.unit, "folds": len(folds), "seed": seed}}
    write_corpus(out_dir, corpus, {ALL: list(rows.values())})
    write_folds(out_dir, made, list(rows.values()), force=force)
    print(*composition_lines(composition), sep="\n")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `prepare_emobox`."""
    add = parser.add_argument
    add("--data-raw", type=Path, metavar="DIR", help="folder that contains downloads/")
    add("--speakers", action="store_true", help="read speakers from data.seg.wrd.stm")
    share = "of train, for a corpus without a valid set (default: %(default)s)"
    add(
        "--valid-fraction",
        dest="valid_share",
        type=float,
        default=VALID_SHARE,
        metavar="F",
        help=share,
    )
    add("--seed", type=int, default=1, help="of that draw (default: %(default)s)")
    add("--force", action="store_true", help="replace other folds/emobox.json")


# -- Folds of the usable rows ----------------------------------------------------------------------
# Separate from reading: these notes depend on the rows that are left.

FoldSets = dict[str, dict[str, tuple[str, ...]]]


def fold_sets(
    metadata: EmoBoxFolder,
    rows: Mapping[str, Utterance],
    valid_share: float,
    seed: int,
    corpus: Corpus,
) -> FoldSets:
    """The usable keys of every fold, with a valid set drawn from train where there is none.

    Speakers are kept whole; a row whose speaker is unknown is drawn by itself. The card
    records which folds that concerns, by what unit, and how many rows were drawn.
    """
    folds: FoldSets = {}
    drawn = []
    earlier: list[frozenset[str]] = []
    for number, parts in metadata.folds.items():
        sets = {
            split: tuple(key for key in parts.get(split, ()) if key in rows) for split in SPLITS
        }
        if not sets["valid"] and valid_share:
            train = sets["train"]
            groups = [rows[key].speaker or key for key in train]
            draw = random.Random(f"{seed} {number}")
            dev = draw_dev_set([rows[k] for k in train], groups, valid_share, draw, earlier)
            earlier.append(dev)
            pairs = list(zip(train, groups, strict=True))
            sets["valid"] = tuple(key for key, group in pairs if group in dev)
            sets["train"] = tuple(key for key, group in pairs if group not in dev)
            drawn.append(number)
        folds[number] = sets
    corpus.protocol = f"EmoBox, {len(folds)} fold{'s' * (len(folds) != 1)}"
    if drawn:
        unit = "speaker" if any(row.speaker for row in rows.values()) else "row"
        corpus.protocol += f"; valid drawn from train by {unit}, {valid_share:g}, seed {seed}"
        corpus.notes.append(_draw_note(folds, drawn, rows, unit))
    return folds


def _draw_note(
    folds: FoldSets, drawn: Sequence[str], rows: Mapping[str, Utterance], unit: str
) -> str:
    counts = [
        f"{len(folds[fold]['valid'])} of {len(folds[fold]['valid'] + folds[fold]['train'])} rows "
        f"of fold {fold}"
        for fold in drawn
    ]
    note = f"{len(drawn)} folds lack a valid set; drawn by {unit}, not by EmoBox: "
    note += first_few(counts)
    keys = {key for fold in drawn for part in ("train", "valid") for key in folds[fold][part]}
    alone = sum(rows[key].speaker is None for key in keys)
    if unit == "speaker" and alone:
        note += f"; {alone} rows without a speaker were drawn singly"
    return note


def note_speakers(speakers: Speakers, keys: Collection[str], corpus: Corpus) -> None:
    """Note which lines of the speakers' file match no row, and which rows have no line."""
    strays = [key for key in speakers.speaker_of if key not in keys]
    silent = [key for key in keys if key not in speakers.speaker_of]
    notes = {
        f"lines of {SPEAKER_FILE} name no row": strays,
        f"lines of {SPEAKER_FILE} cannot be read": speakers.odd_lines,
        f"rows have no line in {SPEAKER_FILE}, and so no speaker": silent,
    }
    corpus.notes += [f"{len(ids)} {name}: {first_few(ids)}" for name, ids in notes.items() if ids]


# -- Metadata: folds, label map and, with --speakers, speakers -------------------------------------

LABEL_FILES = ("label_map.json", "label_dict.json")  # the second is that of EMOVO
SPEAKER_FILE = "data.seg.wrd.stm"
_FOLD = re.compile(r"fold_(\d+)")
_SPEAKER = re.compile(r"<id=([^,>]+),.*?spk=([^,>]+),")
_COMPARE = "compare with the published metadata"


_Text = Annotated[str, Field(min_length=1)]


def _raw(kind: str) -> str:
    if kind != "raw":
        raise ValueError(f"it is {kind!r}; only 'raw', a sound file, can be read")
    return kind


def _key(key: str) -> str:
    if fault := find_id_fault(key):  # before files are named by it
        raise ValueError("; ".join(fault))
    return key


class EmoBoxLine(ForeignDocument):
    """The keys of a line that are used."""

    key: Annotated[_Text, AfterValidator(_key)]
    dataset: _Text
    wav: _Text
    type: Annotated[str, AfterValidator(_raw)]
    emo: _Text
    start_time: Annotated[float, Field(ge=0)] | None = None
    end_time: Annotated[float, Field(ge=0)] | None = None


Parts = dict[str, list[str]]  # "train", "valid", "test" -> keys


@dataclass(frozen=True)
class Item:
    """One line of the metadata."""

    key: str
    dataset: str
    wav: str
    emo: str
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True)
class EmoBoxFolder:
    """The content of the folder. `folds` is {"1": {"train": keys, ...}, ...}."""

    items: Mapping[str, Item]
    folds: Mapping[str, Parts]
    label_file: str
    label_of: Mapping[str, str]
    other_case: Mapping[str, str]  # emo of lines -> the name in label_file
    repeated: Mapping[str, str]  # key -> the reason why a second line of it is left out
    unused: tuple[str, ...]  # metadata files of other sets


def read_emobox(folder: Path) -> EmoBoxFolder:
    """Read fold_*/{corpus}_{train,valid,test}_fold_*.jsonl and the label map.

    Raises ManifestError where the layout, a line or two lines of one key are not as published.
    """
    label_file, label_of = _read_label_map(folder)
    folders = [
        (match[1], path) for path in folder.iterdir() if (match := _FOLD.fullmatch(path.name))
    ]
    if not folders:
        problem = "holds no fold_1/, fold_2/ ..."
        remedy = "name the folder of one corpus in EmoBox's data/, such as data/iemocap"
        raise ManifestError(Fault(str(folder), None, problem, remedy, "corpus-layout"))
    items: dict[str, Item] = {}
    repeated: dict[str, str] = {}
    folds = {}
    unused: list[str] = []
    faults: list[Fault] = []
    for number, path in sorted(folders, key=lambda pair: int(pair[0])):
        parts: Parts = {}
        for split in SPLITS:
            files = visible(path.glob(f"*_{split}_fold_{number}.jsonl"))
            if len(files) > 1:  # the set would be that of the last one
                problem = f"{len(files)} files of {split}: {', '.join(x.name for x in files)}"
                remedy = "keep the one of the corpus"
                faults.append(Fault(str(path), None, problem, remedy, "split-repeated"))
            for file in files:
                parts[split] = _read_part(file, items, parts, repeated, faults)
        folds[number] = parts
        known = {f"_{split}_fold_{number}" for split in parts}
        unused += [
            f"{path.name}/{file.name}"
            for file in visible(path.glob("*.jsonl"))
            if not any(file.stem.endswith(part) for part in known)
        ]
        for split in ("train", "test"):
            if not parts.get(split):
                problem = f"no *_{split}_fold_{number}.jsonl with a row"
                faults.append(Fault(str(path), None, problem, _COMPARE, "split-empty"))
    raise_faults(faults)
    other_case = _find_other_case(label_of, dict.fromkeys(item.emo for item in items.values()))
    label_of |= {emo: label_of[name] for emo, name in other_case.items()}
    return EmoBoxFolder(items, folds, label_file, label_of, other_case, repeated, tuple(unused))


def _read_label_map(folder: Path) -> tuple[str, dict[str, str]]:
    """Return the name of the file, and its content."""
    names = (name for name in LABEL_FILES if (folder / name).exists())
    path = folder / next(names, LABEL_FILES[0])
    remedy = "name the folder of one corpus in EmoBox's data/, such as data/iemocap"
    label_of = load_json(path, dict[str, _Text], remedy=_COMPARE if path.exists() else remedy)
    return path.name, {key: " ".join(label.split()) for key, label in label_of.items()}


def _find_other_case(names: Collection[str], emos: Iterable[str]) -> dict[str, str]:
    """Return {emo: name} of those that differ in case alone from a single name.

    >>> _find_other_case(["Neutral", "s", "S"], ["neutral", "s", "bored"])
    {'neutral': 'Neutral'}
    """
    by_case: dict[str, list[str]] = {}
    for name in names:
        by_case.setdefault(name.casefold(), []).append(name)
    alike = {emo: by_case.get(emo.casefold(), []) for emo in emos if emo not in names}
    return {emo: found[0] for emo, found in alike.items() if len(found) == 1}


def _read_part(
    path: Path, items: dict[str, Item], parts: Parts, repeated: dict[str, str], faults: list[Fault]
) -> list[str]:
    """The keys of one file; fills `items`, `repeated` and `faults`."""
    keys: dict[str, None] = {}
    taken = {key for others in parts.values() for key in others}
    for line, item in _read_lines(path, faults):
        if items.setdefault(item.key, item) != item:
            problem = f"key {item.key!r} contradicts an earlier line or file"
            faults.append(Fault(str(path), line, problem, _COMPARE, "key-repeated"))
        elif item.key in keys:
            repeated[item.key] = f"a second line of {path.name} has its key"
        elif item.key in taken:
            problem = f"key {item.key!r} is in two sets of this fold"
            faults.append(Fault(str(path), line, problem, _COMPARE, "sets-overlap"))
        keys[item.key] = None
    return list(keys)


def _read_lines(path: Path, faults: list[Fault]) -> Iterator[tuple[int, Item]]:
    for row in open_table(path).rows():
        if row.fault is not None:
            faults.append(row.fault)
            continue
        try:
            line = validate(dict(row.cells), EmoBoxLine, name=path, remedy=_COMPARE, row=row.number)
        except ManifestError as error:
            fault = error.fault
            if not isinstance(fault, Fault):
                fault = Fault(str(path), row.number, fault, _COMPARE, "row-invalid")
            faults.append(fault)
            continue
        times = line.start_time, line.end_time
        if odd := segment_fault(line.wav, *times):
            faults.append(Fault(str(path), row.number, odd[0], _COMPARE, "row-invalid"))
            continue
        yield row.number, Item(line.key, line.dataset, line.wav, line.emo, *times)


@dataclass(frozen=True)
class Speakers:
    """Return key -> speaker of data.seg.wrd.stm, and the lines without a speaker ("row N")."""

    speaker_of: Mapping[str, str] = field(default_factory=dict)
    odd_lines: tuple[str, ...] = ()


def read_speakers(folder: Path) -> Speakers:
    """Read data.seg.wrd.stm, whose lines from `;;` on are remarks.

    Raises ManifestError without that file.
    """
    path = folder / SPEAKER_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        remedy = "leave out --speakers, or fetch the file"
        problem = f"cannot be read ({error})"
        fault = Fault(str(path), None, problem, remedy, "file-unreadable")
        raise ManifestError(fault) from None
    speaker_of: dict[str, str] = {}
    odd_lines = []
    for row, line in enumerate(text.splitlines(), start=1):
        if match := _SPEAKER.search(line):
            speaker_of[match[1]] = match[2]
        elif line.strip() and not line.startswith(";;"):
            odd_lines.append(f"row {row}")
    return Speakers(speaker_of, tuple(odd_lines))


# -- Audio: files, segments of them, or the sound beside a video -----------------------------------

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv")


class Sound(NamedTuple):
    """What a row gets: an audio path, what was measured of it, and the segment in seconds."""

    audio: str
    measured: Measured
    start: float | None
    end: float | None


def default_raw(folder: Path) -> Path:
    """Return the folder of `downloads/` as published: EmoBox, for EmoBox/data/iemocap."""
    return folder.resolve().parent.parent


def find_sounds(
    items: Sequence[Item],
    raw: Path,
    *,
    workers: Workers,
    progress: bool,
) -> dict[str, Sound | AudioError]:
    """Measure each line's file, or the segment of it that the line is. Returns by key, in order."""
    files = [_file(raw, item.wav) for item in items]
    parts = [(file, item.start or 0.0, item.end) for file, item in zip(files, items, strict=True)]
    measured = measure_all(parts, SAMPLE_RATE, workers=workers, progress=progress)
    return {
        item.key: length
        if isinstance(length, AudioError)
        else Sound(file.relative_to(raw).as_posix(), length, item.start, item.end)
        for item, file, length in zip(items, files, measured, strict=True)
    }


def _file(raw: Path, wav: str) -> Path:
    """The file that a line means: of a video, where there is one, the sound beside it."""
    path = raw / wav
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        return path
    beside = [path.with_suffix(suffix) for suffix in CORPUS_SUFFIXES]
    return next((file for file in beside if file.is_file()), path)

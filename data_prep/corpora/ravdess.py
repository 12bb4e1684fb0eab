"""RAVDESS: 24 actors speak two sentences in eight emotions (Livingstone and Russo 2018).

Official layout: `Actor_XX/MM-CC-EE-II-SS-RR-AA.wav` (or .flac), two digits each for modality, vocal
channel, emotion, intensity, statement, repetition and actor; all labels come from the name. Speech
audio (modality 03, channel 01) is read by default.
Folds leave actors out: fold K tests on the actors with id % 5 == K, validates on those with
id % 5 == (K + 1) % 5, and trains on the rest. Both sentences occur in every emotion, so their text
is independent of it: a negative control for fusion.
Not used: the videos.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_prep.audio.decoding import AudioError
from data_prep.audio.loading import measure_all, note_warnings
from data_prep.audio.part import Measured
from data_prep.corpora.recordings import require_readable
from data_prep.engines import Workers
from data_prep.errors import CodedError, Fault, ManifestError
from data_prep.files.listing import CORPUS_SUFFIXES, visible
from data_prep.folds.dev_set import GENDER
from data_prep.folds.file import write_corpus_with_folds
from data_prep.folds.protocols import ORDER, FoldOptions
from data_prep.folds.records import ALL
from data_prep.manifest.audio_root import to_record
from data_prep.schema import SAMPLE_RATE, SPLITS, Corpus, DroppedRow, Utterance, write_corpus

N_FOLDS = 5
PROTOCOL = "leave_speaker_group_out"
MODALITIES = {"01": "audio and video", "02": "video only", "03": "audio only"}
CHANNELS = {"01": "speech", "02": "song"}
EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgust",
    "08": "surprised",
}
INTENSITIES = {"01": "normal", "02": "strong"}
STATEMENTS = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}
REPETITIONS = {"01": "1", "02": "2"}
ACTORS = {f"{number:02d}": f"actor_{number:02d}" for number in range(1, 25)}
GENDERS = ("female", "male")  # by actor number % 2
LICENSE = "CC BY-NC-SA 4.0"
CITATION = (
    "Livingstone, Russo (2018). The Ryerson Audio-Visual Database of Emotional Speech and Song "
    "(RAVDESS). PLoS ONE 13(5): e0196391."
)


def prepare_ravdess(
    corpus_dir: str | Path,
    out_dir: str | Path,
    *,
    fold: int | str = 0,
    modalities: Sequence[str] = ("03",),
    channels: Sequence[str] = ("01",),
    workers: Workers = None,
    progress: bool = False,
) -> Corpus:
    """Write RAVDESS's data dir for one fold, or for all; `audio` paths start from `corpus_dir`.

    Args:
        corpus_dir: folder of Actor_01 ... Actor_24.
        out_dir: data dir to write.
        fold: 0 to 4, which tests the actors whose number modulo 5 is `fold`; or "all", which writes
            the one split `all`, and the five folds to `folds/leave_speaker_group_out.json`.
        modalities: keys of `MODALITIES`.
        channels: keys of `CHANNELS`.
        workers: an engine, or a number of threads, which decode audio.
        progress: show bars.

    Raises:
        CodedError: no such fold.
        ManifestError: no recording of these modalities and channels, or none that can be read.
    """
    corpus_dir = Path(corpus_dir)
    folds = [fold_actors(k) for k in range(N_FOLDS)]
    current = None if fold == ALL else int(fold)
    if current is not None and not 0 <= current < N_FOLDS:
        raise CodedError(f"fold {fold} is none of 0 to {N_FOLDS - 1}", "fold-unknown")
    corpus = Corpus(
        "ravdess",
        labels={"emotion": tuple(EMOTIONS.values())},
        data_raw=to_record(corpus_dir),
        disjoint=("speaker",),
        protocol=f"leave actors out, {N_FOLDS} folds: actor number modulo {N_FOLDS}"
        if current is None
        else f"leave actors out, fold {current} of 0-{N_FOLDS - 1}: actor number modulo {N_FOLDS}",
        folds=None if current is None else {"by": "speaker", "current": current, "sets": folds},
        license=LICENSE,
        citation=CITATION,
    )
    if current is None:
        split_of = dict.fromkeys(ACTORS.values(), ALL)
    else:
        split_of = {actor: split for split, actors in folds[current].items() for actor in actors}
    splits: dict[str, list[Utterance]] = {split: [] for split in dict.fromkeys(split_of.values())}
    paths = _wanted_files(corpus_dir, modalities, channels)
    lengths = measure_all(paths, SAMPLE_RATE, workers=workers, progress=progress)
    require_readable(paths, lengths)
    seen: set[str] = set()
    note_warnings(corpus, ((p.stem, length) for p, length in zip(paths, lengths, strict=True)))
    for path, length in zip(paths, lengths, strict=True):
        try:
            row = parse_path(path, corpus_dir, length)
            if row.id in seen:
                raise ValueError("the same recording in a second format")
        except ValueError as error:
            actor = f"actor_{path.parent.name[-2:]}"
            corpus.dropped.append(DroppedRow(split_of.get(actor, ""), path.stem, str(error)))
            continue
        seen.add(row.id)
        splits[split_of[row.speaker or ""]].append(row)
    if current is None:
        options = FoldOptions(balance=ORDER)  # the same actors where recordings are missing
        write_corpus_with_folds(out_dir, corpus, splits[ALL], [PROTOCOL], options)
    else:
        write_corpus(out_dir, corpus, splits)
    return corpus


def fold_actors(fold: int) -> dict[str, list[str]]:
    """Return the actors of each split of a fold: {"train": ["actor_02", ...], "valid": ...}."""
    sets: dict[str, list[str]] = {split: [] for split in SPLITS}
    for number, actor in enumerate(ACTORS.values(), start=1):
        part = {fold: "test", (fold + 1) % N_FOLDS: "valid"}.get(number % N_FOLDS, "train")
        sets[part].append(actor)
    return sets


def _wanted_files(
    corpus_dir: Path, modalities: Sequence[str], channels: Sequence[str]
) -> list[Path]:
    """Find the sound files in Actor_XX/, without those of another modality or channel."""
    paths = visible(
        path
        for path in corpus_dir.glob("Actor_[0-9][0-9]/*")
        if path.suffix.lower() in CORPUS_SUFFIXES
    )
    wanted = []
    for path in paths:
        modality, channel = (*path.stem.split("-"), "", "")[:2]
        other = modality in MODALITIES and channel in CHANNELS
        if not other or (modality in modalities and channel in channels):
            wanted.append(path)
    if not wanted:
        problem = "no Actor_XX/*.wav or *.flac of the modality and channel wanted"
        remedy = "name the folder with Actor_01 ... Actor_24"
        raise ManifestError(Fault(str(corpus_dir), None, problem, remedy, "corpus-layout"))
    return wanted


def parse_path(path: Path, corpus_dir: Path, length: Measured | AudioError) -> Utterance:
    """Return the row of Actor_12/03-01-06-01-02-01-12.wav: speech, fearful, normal, "Dogs ...".

    Raises ValueError with the reason if the name is malformed or the file cannot be read.
    """
    tables: tuple[dict[str, Any], ...] = (
        MODALITIES,
        CHANNELS,
        EMOTIONS,
        INTENSITIES,
        STATEMENTS,
        REPETITIONS,
        ACTORS,
    )
    codes = path.stem.split("-")
    if len(codes) != len(tables) or any(c not in t for c, t in zip(codes, tables, strict=True)):
        raise ValueError("the name is not seven known two-digit codes")
    _, channel, emotion, intensity, statement, repetition, actor = codes
    if path.parent.name != f"Actor_{actor}":
        raise ValueError(f"the name has actor {actor}, the folder {path.parent.name}")
    if isinstance(length, AudioError):
        raise ValueError(str(length))
    return Utterance(
        id=path.stem,
        audio=path.relative_to(corpus_dir).as_posix(),
        n_samples=length.n_samples,
        text=STATEMENTS[statement],
        speaker=ACTORS[actor],
        emotion=EMOTIONS[emotion],
        extra={
            "intensity": INTENSITIES[intensity],
            "statement": statement,
            "repetition": REPETITIONS[repetition],
            "channel": CHANNELS[channel],
            GENDER: GENDERS[int(actor) % 2],
        },
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `prepare_ravdess`."""
    add = parser.add_argument
    fold = (
        "actors with number %% 5 == FOLD are tested on (default: %(default)s); all: one split and "
        "a file of all folds, for fairseq-train --fold"
    )
    add("--fold", choices=[*map(str, range(N_FOLDS)), ALL], default="0", help=fold)
    add(
        "--modality",
        dest="modalities",
        nargs="+",
        choices=MODALITIES,
        default=["03"],
        help="modality codes to take (default: 03, audio only)",
    )
    add(
        "--channel",
        dest="channels",
        nargs="+",
        choices=CHANNELS,
        default=["01"],
        help="vocal channel codes to take: 01 speech, 02 song (default: 01)",
    )

"""MELD: Friends dialogues with an emotion and a sentiment per utterance (Poria et al. 2019).

Official layout: `{train,dev,test}_sent_emo.csv`, and clips `dia{D}_utt{U}.mp4` in the folder
--video, by default `videos/` beside the CSVs. They stay where they are, as the column `video`;
their sound is extracted, unless there is `audios/{train,dev,test}/dia*_utt*.flac` beside the CSVs.
Without either the corpus is text only. Dialogue numbers restart in each split, so ids have the
split: `train_dia0_utt0`. The actors are the same in every split by design, so only dialogues are
kept apart.
Not used: StartTime and EndTime (of the episode, not the clip), and Sr No.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from data_prep.audio.decoding import AudioError
from data_prep.audio.loading import measure_all
from data_prep.corpora.recordings import (
    Sound,
    Splits,
    extract_sounds,
    join_sounds,
    join_videos,
    require_readable,
)
from data_prep.engines import Workers
from data_prep.errors import CodedError, Fault, ManifestError, raise_faults
from data_prep.manifest.audio_root import to_record
from data_prep.manifest.cells import normalize_text
from data_prep.schema import SAMPLE_RATE, Corpus, DroppedRow, Utterance, write_corpus
from data_prep.tables.reader import read_table
from data_prep.tables.table import TableFormat

SPLIT_OF = {"train": "train", "dev": "valid", "test": "test"}
EMOTIONS = ("neutral", "joy", "sadness", "anger", "fear", "disgust", "surprise")
SENTIMENTS = ("neutral", "positive", "negative")
COLUMNS = (
    "Utterance",
    "Speaker",
    "Emotion",
    "Sentiment",
    "Dialogue_ID",
    "Utterance_ID",
    "Season",
    "Episode",
    "StartTime",
    "EndTime",
)
VIDEOS = "videos"  # folder of clips beside the CSVs, with those of SPLIT_OF
FOLDERS = {
    "train": "train_splits",
    "dev": "dev_splits_complete",
    "test": "output_repeated_splits_test",
}
LATER_CUT = "final_videos_test"
# By the CSVs the longest clip that is cut rightly lasts 28.5 s, the shortest cut wrongly 41 s.
MAX_SECONDS = 35.0
BAD_CLIPS = {
    "train_dia125_utt3": "known bad clip: corrupt",
    "dev_dia110_utt7": "known bad clip: absent from the release",
    "test_dia38_utt4": "known bad clip: 305 s, cut wrongly",
    "test_dia220_utt0": "known bad clip: 235 s, cut wrongly",
    "train_dia309_utt0": "known bad clip: 41 s, cut wrongly",
}
_NAME = re.compile(rf"({LATER_CUT})?(dia\d+_utt\d+)\.mp4")
LICENSE = "GPL-3.0"
CITATION = (
    "Poria, Hazarika, Majumder, Naik, Cambria, Mihalcea (2019). MELD: A Multimodal Multi-Party "
    "Dataset for Emotion Recognition in Conversations. ACL."
)


def prepare_meld(
    corpus_dir: str | Path,
    out_dir: str | Path,
    *,
    video_dir: str | Path | None = None,
    max_seconds: float | None = None,
    workers: Workers = None,
    progress: bool = False,
) -> Corpus:
    """Write MELD's data dir; every row of the three CSVs keeps its text, whatever its clip.

    Args:
        corpus_dir: folder of the CSVs.
        out_dir: data dir to write.
        video_dir: folder of the clips, the unpacked MELD.Raw or one with train, dev and test
            (default: `videos/` in `corpus_dir`, if it is there). Their sound is written below
            `out_dir`; of the default folder only where `corpus_dir` has no `audios/`.
        max_seconds: longer clips of `video_dir` are wrongly cut, and left out (default: 35).
        workers: an engine, or a number of threads, which decode audio.
        progress: show bars.

    Raises:
        CodedError: `max_seconds` without videos, or not above 0.
        ManifestError: another layout, or rows that cannot be read.
    """
    corpus_dir = Path(corpus_dir)
    has_videos = video_dir is not None or (corpus_dir / VIDEOS).is_dir()
    if not has_videos and max_seconds is not None:
        raise CodedError(
            "--max-seconds limits the clips of --video, which is not given", "option-unused"
        )
    corpus = Corpus(
        "meld",
        labels={"emotion": EMOTIONS, "sentiment": SENTIMENTS},
        disjoint=("dialogue",),
        protocol="official train/dev/test, dev as valid; dialogues apart, actors shared by design",
        license=LICENSE,
        citation=CITATION,
    )
    splits = _read_splits(corpus_dir, corpus)
    has_sounds = video_dir is None and any((corpus_dir / "audios").glob("*/*.flac"))
    if video_dir is None and (corpus_dir / VIDEOS).is_dir():
        video_dir = corpus_dir / VIDEOS
    seconds = MAX_SECONDS if max_seconds is None else max_seconds
    if video_dir is not None and not has_sounds:
        sounds = extract_clips(
            video_dir,
            out_dir,
            splits,
            corpus,
            max_seconds=seconds,
            workers=workers,
            progress=progress,
        )
        splits = join_sounds(splits, corpus, sounds, why_no_audio)
        note_repaired(splits, corpus)
    elif has_sounds:
        corpus.data_raw = to_record(corpus_dir)
        sounds = measure_clips(corpus_dir, splits, workers, progress)
        splits = join_sounds(splits, corpus, sounds, why_no_audio)
    else:
        corpus.notes.append(
            "text only: neither audios/{train,dev,test}/*.flac nor videos/ in the corpus folder"
        )
    if video_dir is not None:
        root = Path(video_dir)
        videos = {x: path.relative_to(root).as_posix() for x, path in find_clips(root).items()}
        splits = join_videos(
            splits,
            videos,
            root,
            corpus,
            max_seconds=seconds,
            workers=workers,
            progress=progress,
        )
    write_corpus(out_dir, corpus, splits)
    return corpus


def _read_splits(corpus_dir: Path, corpus: Corpus) -> Splits:
    splits: Splits = {}
    counts: Counter[tuple[str, ...]] = Counter()  # of speaker, words and times
    for official, split in SPLIT_OF.items():
        path = corpus_dir / f"{official}_sent_emo.csv"
        rows = read_table(path, COLUMNS, TableFormat(legacy_bytes=True))
        splits[split] = _read_split(path, official, rows, corpus)
        counts.update(tuple(row[key] for key in COLUMNS[:2] + COLUMNS[6:]) for _, row in rows)
    if repeated := sum(count > 1 for count in counts.values()):
        corpus.notes.append(
            f"{repeated} utterances occur more than once under different dialogues (same speaker, "
            "words and times); all are kept, as the official counts have them"
        )
    return splits


def _read_split(
    path: Path, official: str, rows: Sequence[tuple[int, dict[str, str]]], corpus: Corpus
) -> list[Utterance]:
    utterances: dict[str, Utterance] = {}
    faults = []
    for line, row in rows:
        try:
            utterance = _utterance(official, row)
        except ValueError as error:
            remedy = "compare with the official CSV"
            faults.append(Fault(str(path), line, str(error), remedy, "row-invalid"))
            continue
        if utterance.id in utterances:
            reason = f"row {line} repeats the dialogue and utterance number of an earlier row"
            corpus.dropped.append(DroppedRow(SPLIT_OF[official], utterance.id, reason))
            continue
        utterances[utterance.id] = utterance
    raise_faults(faults)
    return list(utterances.values())


def _utterance(official: str, row: dict[str, str]) -> Utterance:
    for key, names in (("Emotion", EMOTIONS), ("Sentiment", SENTIMENTS)):
        if row[key] not in names:
            raise ValueError(f"{key} is {row[key]!r}, none of {', '.join(names)}")
    for key in ("Dialogue_ID", "Utterance_ID", "Season", "Episode"):
        if not row[key].isdecimal():
            raise ValueError(f"{key} is {row[key]!r}, no number")
    dialogue = f"{official}_dia{int(row['Dialogue_ID'])}"
    turn = int(row["Utterance_ID"])
    return Utterance(
        id=f"{dialogue}_utt{turn}",
        text=normalize_text(row["Utterance"]) or None,
        speaker=normalize_text(row["Speaker"]) or None,
        session=f"s{int(row['Season']):02d}e{int(row['Episode']):02d}",
        dialogue=dialogue,
        turn=turn,
        emotion=row["Emotion"],
        sentiment=row["Sentiment"],
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `prepare_meld`."""
    parser.add_argument(
        "--video",
        dest="video_dir",
        type=Path,
        metavar="FOLDER",
        help="folder of the clips: train_splits, dev_splits_complete and "
        "output_repeated_splits_test, the unpacked MELD.Raw, or train, dev and test (default: "
        "videos/ in CORPUS_DIR); their sound becomes DATA_DIR/audio (needs PyAV: pip install av)",
    )
    parser.add_argument(
        "--max-seconds",
        type=float,
        metavar="S",
        help=f"leave out clips longer than this, sound and pictures (default: {MAX_SECONDS:g})",
    )


def has_videos(corpus_dir: Path, options: Collection[str]) -> bool:
    """Return whether rows get videos, by the words of the command line."""
    return "--video" in options or (corpus_dir / VIDEOS).is_dir()


# -- Clips -----------------------------------------------------------------------------------------
# Copies of MELD have the clips in `{train,dev,test}/`. `MELD.Raw` unpacks to `train_splits`,
# `dev_splits_complete` and `output_repeated_splits_test`, each
# with `dia{D}_utt{U}.mp4`. The test folder also has `._dia*.mp4`, metadata of macOS and no clips,
# and `final_videos_testdia{D}_utt{U}.mp4`, later cuts, which take precedence over the first. Clips
# without a row are not used.


def extract_clips(
    video_dir: str | Path,
    out_dir: str | Path,
    splits: Splits,
    corpus: Corpus,
    *,
    max_seconds: float,
    workers: Workers,
    progress: bool,
) -> dict[str, Sound]:
    """Extract the sound of each row's clip to `audio/{split}/dia{D}_utt{U}.flac` below `out_dir`.

    Notes in the card which clips are used. Raises ManifestError if a folder of clips is missing.
    """
    clips = find_clips(Path(video_dir))
    videos = {
        row.id: (
            clips.get(row.id, Path(video_dir) / f"{row.id}.mp4"),  # reported as missing
            f"audio/{split}/{row.id.partition('_')[2]}.flac",
        )
        for split, rows in splits.items()
        for row in rows
    }
    later = sum(clips[name].name.startswith(LATER_CUT) for name in videos.keys() & clips.keys())
    if later:
        corpus.notes.append(f"{later} clips are later cuts of the release ({LATER_CUT}*.mp4)")
    if unused := len(clips.keys() - videos.keys()):
        corpus.notes.append(f"{unused} clips have no row in the CSVs and are not used")
    corpus.notes.append(f"audio: clips of {max_seconds:g} s at most, made mono at 16 kHz")
    return extract_sounds(
        videos, out_dir, max_seconds=max_seconds, workers=workers, progress=progress
    )


def find_clips(video_dir: Path) -> dict[str, Path]:
    """Find the clips of the three folders, `NAME`, `{split}/NAME` or `{split}`.

    Returns:
        {"test_dia0_utt3": path}.
    """
    clips: dict[str, Path] = {}
    for official, name in FOLDERS.items():
        candidates = [video_dir / name, video_dir / official / name, video_dir / official]
        folder = next(filter(Path.is_dir, candidates), None)
        if folder is None:
            remedy = "name the folder of the clips, such as the one of the unpacked MELD.Raw"
            problem = f"no folder {name} or {official}"
            raise ManifestError(Fault(str(video_dir), None, problem, remedy, "corpus-layout"))
        for path in sorted(folder.iterdir()):
            match = _NAME.fullmatch(path.name)
            if match and (match[1] or f"{official}_{match[2]}" not in clips):
                clips[f"{official}_{match[2]}"] = path
    return clips


def measure_clips(
    corpus_dir: Path, splits: Splits, workers: Workers, progress: bool
) -> dict[str, Sound]:
    """Measure the FLAC files beside the CSVs, but for those known to be bad."""
    names = [row.id for rows in splits.values() for row in rows if row.id not in BAD_CLIPS]
    paths = [corpus_dir / clip_of(name) for name in names]
    lengths = measure_all(paths, SAMPLE_RATE, workers=workers, progress=progress)
    require_readable(paths, lengths)
    return {name: Sound(clip_of(name), n) for name, n in zip(names, lengths, strict=True)}


def why_no_audio(utterance_id: str, error: AudioError | None) -> str:
    """Return the reason in corpus.yaml of a row without audio."""
    if utterance_id not in BAD_CLIPS:
        return f"clip: {error}"
    known = BAD_CLIPS[utterance_id]
    return known if error is None else f"{known} ({error})"


def note_repaired(splits: Splits, corpus: Corpus) -> None:
    """Note the clips known to be bad that are good in this copy."""
    rows = [row for rows in splits.values() for row in rows if row.audio is not None]
    if repaired := [row.id for row in rows if row.id in BAD_CLIPS]:
        corpus.notes.append(f"bad in the release, but not in this copy: {', '.join(repaired)}")


def clip_of(utterance_id: str) -> str:
    """`train_dia0_utt3` -> `audios/train/dia0_utt3.flac`."""
    official, clip = utterance_id.split("_", 1)
    return f"audios/{official}/{clip}.flac"

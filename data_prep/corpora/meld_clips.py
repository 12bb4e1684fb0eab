"""MELD's clips: where the unpacked release keeps them, which are bad, and their sound.

`MELD.Raw` unpacks to `train_splits`, `dev_splits_complete` and `output_repeated_splits_test`, each
with `dia{D}_utt{U}.mp4`. The test folder holds two kinds of files more: `._dia*.mp4`, which are
macOS's notes on files and no clips, and `final_videos_testdia{D}_utt{U}.mp4`, later cuts of a clip
that go before the first cut. Clips without a row are not used.
"""

from __future__ import annotations

import re
from pathlib import Path

from data_prep.audio.loading import AudioError, measure_all
from data_prep.corpora.clips import Sound, Splits, extract_sounds
from data_prep.errors import (
    Fault,
    ManifestError,
)
from data_prep.schema import (
    SAMPLE_RATE,
    Corpus,
)

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


def extract_clips(
    video_dir: str | Path,
    out_dir: str | Path,
    splits: Splits,
    corpus: Corpus,
    *,
    max_seconds: float = MAX_SECONDS,
    workers: int | None = None,
    progress: bool = False,
) -> dict[str, Sound]:
    """The sound of every row's clip, as `audio/{split}/dia{D}_utt{U}.flac` below `out_dir`.

    Says in `corpus.notes` what was found. Raises ManifestError when a folder of clips is absent.
    """
    clips = find_clips(Path(video_dir))
    videos = {
        row.id: (
            clips.get(row.id, Path(video_dir) / f"{row.id}.mp4"),  # which is said to be absent
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
    """{"test_dia0_utt3": its clip}, of the three folders, which may lie in one a split."""
    found: dict[str, Path] = {}
    for official, name in FOLDERS.items():
        places = [video_dir / name, video_dir / official / name]
        folder = next((place for place in places if place.is_dir()), None)
        if folder is None:
            remedy = "name the folder into which the archives of MELD.Raw were unpacked"
            raise ManifestError(Fault(str(video_dir), None, f"no folder {name}", remedy))
        for path in sorted(folder.iterdir()):
            match = _NAME.fullmatch(path.name)
            if match and (match[1] or f"{official}_{match[2]}" not in found):
                found[f"{official}_{match[2]}"] = path
    return found


def measure_clips(
    corpus_dir: Path, splits: Splits, workers: int | None, progress: bool
) -> dict[str, Sound]:
    """The clips that somebody has made of the videos, less those known to be bad."""
    names = [row.id for rows in splits.values() for row in rows if row.id not in BAD_CLIPS]
    paths = [corpus_dir / clip_of(name) for name in names]
    lengths = measure_all(paths, SAMPLE_RATE, workers=workers, progress=progress)
    return {name: Sound(clip_of(name), n) for name, n in zip(names, lengths, strict=True)}


def why_no_audio(utterance_id: str, error: AudioError | None) -> str:
    """What corpus.yaml says of a row without audio."""
    if utterance_id not in BAD_CLIPS:
        return f"clip: {error}"
    known = BAD_CLIPS[utterance_id]
    return known if error is None else f"{known} ({error})"


def note_mended(splits: Splits, corpus: Corpus) -> None:
    """Clips known to be bad that are not bad here: others have cut them anew."""
    rows = [row for rows in splits.values() for row in rows if row.audio is not None]
    if mended := [row.id for row in rows if row.id in BAD_CLIPS]:
        corpus.notes.append(f"bad in the release, but not in this copy: {', '.join(mended)}")


def clip_of(utterance_id: str) -> str:
    """`train_dia0_utt3` -> `audios/train/dia0_utt3.flac`."""
    official, clip = utterance_id.split("_", 1)
    return f"audios/{official}/{clip}.flac"

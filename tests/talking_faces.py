"""A data dir of talking faces: drawn, with the sound of the toy corpus, in mp4 files."""

import itertools
from dataclasses import replace
from pathlib import Path

import soundfile
from video_clips import draw_face, write_pictures

from data_prep.schema import Corpus, read_corpus, read_manifest, write_corpus

RATE = 10  # pictures a second
_SECONDS = 1.0  # of a clip, at most
_SIZE = (96, 96)
MOUTHS = (0.0, 0.5, 1.0)
SHAKE = {"happy": 3, "sad": 0, "angry": 6, "neutral": 0}  # pixels, by which a face moves


def write_faces(toy: Path, folder: Path, n_rows: int = 6) -> Path:
    """Write a data dir of the first rows of each split of the toy corpus, each a video of a face.

    The last row of a split has no video.
    """
    corpus = read_corpus(toy)
    splits = {}
    for split in corpus.splits:
        rows = list(read_manifest(toy / f"{split}.tsv"))[:n_rows]
        filmed = []
        for row in rows[:-1]:
            samples, rate = soundfile.read(toy / str(row.audio), dtype="float32")
            samples = samples[: int(_SECONDS * rate)]
            write_talking_face(folder / "videos" / f"{row.id}.mp4", samples, row.emotion or "")
            filmed.append(replace(row, video=f"{row.id}.mp4"))
        splits[split] = [*filmed, rows[-1]]
    card = Corpus(
        "faces",
        labels=corpus.labels,
        vad=corpus.vad,
        data_raw=str(toy),
        video_raw=str(folder / "videos"),
    )
    write_corpus(folder / "data", card, splits)
    return folder / "data"


def write_talking_face(path: Path, samples, emotion: str = "") -> Path:  # type: ignore[no-untyped-def]
    """Write a face that opens and closes its mouth as long as the samples at 16 kHz last."""
    n_pictures = max(1, round(len(samples) / 16_000 * RATE))
    mouths = itertools.islice(itertools.cycle(MOUTHS), n_pictures)
    shake = SHAKE.get(emotion, 0)
    pictures = [
        draw_face(mouth, _SIZE, shift=shake * (-1) ** number) for number, mouth in enumerate(mouths)
    ]
    return write_pictures(path, pictures, RATE, samples)

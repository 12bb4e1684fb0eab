"""Speech -> tokens: DATA_DIR/speech/{split}.bin + .idx, dict.txt, and the quantizer's own file.

    python -m data_prep.tokenize_speech DATA_DIR [--data-raw AUDIO_DIR] [--n-clusters 100]

`--quantizer kmeans` cuts the sound into frames (25 ms every 10 ms; MFCC with differences, or
log-mel), normalises them and replaces each by the nearest of K centroids. Mean, deviation and
centroids come from the train split alone. Row i belongs to row i of the manifest and ends with
`</s>`; a row without audio, or shorter than 25 ms, is `</s>` alone. Running it again does only what
is missing or has changed, in the manifest or in the audio files.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from data_prep.audio import num_frames, read_audio
from data_prep.audio_length import default_workers
from data_prep.binarize import (
    SplitJob,
    binarize_splits,
    ordered_map,
    positive_int,
    read_splits,
    summary_table,
)
from data_prep.command_line import make_parser, run
from data_prep.schema import Utterance, read_corpus
from data_prep.speech_tokenizers import (
    FEATURES,
    FloatArray,
    load_speech_tokenizer,
    train_kmeans,
)
from data_prep.stored_features import rows_digest
from data_prep.token_folder import EOS, TokenFolder, Tokens, file_digest, sequence_digest

__all__ = ["load_speech_tokenizer", "tokenize_with_kmeans"]

logger = logging.getLogger(__name__)

MIN_STD = 1e-5  # a dimension that never varies is left at zero, not divided by zero

Sound = tuple[str, Path]  # utterance id, audio file


def tokenize_with_kmeans(
    data_dir: str | Path,
    data_raw: str | Path | None = None,
    features: str = "mfcc",
    n_clusters: int = 100,
    seed: int = 1,
    max_train_frames: int = 500_000,
    deduplicate: bool = False,
    workers: int = 1,
) -> TokenFolder:
    """Fit k-means on (a sample of) the train split's frames and tokenize every split.

    `deduplicate` merges runs of one code. Raises ValueError that names the utterance
    whose audio is bad.
    """
    rows = read_splits(data_dir)
    root = Path(data_raw or data_dir)
    jobs = {split: _job(root, rows[split]) for split in rows}
    settings: dict[str, Any] = {
        "quantizer": "kmeans",
        "features": features,
        "sample_rate": read_corpus(data_dir).sample_rate,
        "n_clusters": n_clusters,
        "seed": seed,
        "max_train_frames": max_train_frames,
        "deduplicate": deduplicate,
        "fitted_on": jobs["train"].digest,
    }
    folder = TokenFolder(Path(data_dir) / "speech", settings)
    with folder.locked():
        if not folder.is_fitted:
            frames, mean, std = sample_frames(root, rows["train"], settings, workers)
            logger.info("fitting %d clusters on %d train frames", n_clusters, len(frames))
            folder.replace_tokenizer(*train_kmeans(frames, mean, std, settings))
        binarize_splits(folder, jobs, partial(_build_encoder, folder.folder), workers)
    return folder


def sample_frames(
    root: Path, rows: Sequence[Utterance], settings: Mapping[str, Any], workers: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """At most `max_train_frames` frames, and the mean and deviation of all frames.

    Every utterance gives its share by length, drawn from a random stream of its own, so that the
    number of workers changes nothing. Shapes (N, C), (C,), (C,).
    """
    sounds = [row for row in rows if row.audio and row.n_samples]
    rate = settings["sample_rate"]
    lengths = np.array([num_frames(row.n_samples or 0, rate) for row in sounds], dtype=np.int64)
    if not lengths.sum():
        raise ValueError(
            "the train split has no audio of 25 ms or more; "
            "check audio and n_samples in its manifest"
        )
    share = min(1.0, settings["max_train_frames"] / lengths.sum())
    quotas = np.diff(np.floor(np.cumsum(lengths) * share), prepend=0).astype(int).tolist()
    tasks = [
        ((row.id, root / str(row.audio)), quota, (settings["seed"], i))
        for i, (row, quota) in enumerate(zip(sounds, quotas, strict=True))
    ]
    build = partial(_build_sampler, settings["features"], rate)
    parts, totals = [], np.zeros(1)
    with ordered_map(build, workers) as sample_all:
        for sample, sums in tqdm(sample_all(tasks), "speech frames", len(tasks), disable=None):
            parts.append(sample)
            totals = totals + sums
    count, first, second = totals[0, 0], totals[1], totals[2]
    mean = first / count
    std = np.maximum(np.sqrt(np.maximum(second / count - mean**2, 0)), MIN_STD)
    return np.concatenate(parts), mean.astype(np.float32), std.astype(np.float32)


def _build_sampler(
    features: str, rate: int
) -> Callable[[tuple[Sound, int, tuple[int, int]]], tuple[FloatArray, Any]]:
    def sample(task: tuple[Sound, int, tuple[int, int]]) -> tuple[FloatArray, Any]:
        sound, quota, seed = task
        frames = FEATURES[features](_read(sound, rate), rate)
        chosen = np.random.default_rng(seed).permutation(len(frames))[:quota]
        wide = frames.astype(np.float64)
        count = np.full(frames.shape[1], len(frames), dtype=np.float64)
        return frames[np.sort(chosen)], np.stack([count, wide.sum(0), (wide**2).sum(0)])

    return sample


def _build_encoder(folder: Path) -> Callable[[Sound | None], Tokens]:
    tokenizer = load_speech_tokenizer(folder)

    def encode(sound: Sound | None) -> Tokens:
        if sound is None:
            return np.array([EOS], dtype=np.int64)
        return tokenizer.encode(_read(sound, tokenizer.sample_rate))

    return encode


def _read(sound: Sound, rate: int) -> FloatArray:
    name, path = sound
    try:
        return read_audio(path, rate)
    except ValueError as error:
        raise ValueError(f"utterance {name!r}: {error}") from error


def _job(root: Path, rows: Sequence[Utterance]) -> SplitJob[Sound | None]:
    """The sounds of one split; their digest is of the files' content, wherever they lie."""
    sounds = [(row.id, root / row.audio) if row.audio else None for row in rows]
    contents = [sound and _content_digest(*sound) for sound in sounds]
    digest = sequence_digest(zip((row.id for row in rows), contents, strict=True))
    return SplitJob(sounds, digest, rows_digest(rows))


def _content_digest(name: str, path: Path) -> str:
    try:
        return file_digest(path)
    except ValueError as error:
        raise ValueError(f"utterance {name!r}: {error}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: see the module's docstring."""
    parser = make_parser("tokenize_speech", __doc__ or "", audio=False)
    add = parser.add_argument
    add("data_dir", type=Path, help="folder with {split}.tsv and corpus.yaml")
    add(
        "--data-raw",
        type=Path,
        metavar="DIR",
        help="what `audio` is relative to (default: DATA_DIR)",
    )
    add("--quantizer", choices=sorted(QUANTIZERS), default="kmeans", help="default: %(default)s")
    add("--features", choices=sorted(FEATURES), default="mfcc", help="default: %(default)s")
    add("--n-clusters", type=positive_int, default=100, metavar="K", help="default: %(default)s")
    add("--seed", type=int, default=1, help="default: %(default)s")
    most = "fit on at most so many frames, drawn evenly over the train split (default: %(default)s)"
    add("--max-train-frames", type=positive_int, default=500_000, metavar="N", help=most)
    add("--deduplicate", action="store_true", help="merge runs of one code")
    workers = "processes (default: %(default)s); their number does not change the result"
    add("--workers", type=positive_int, default=default_workers(), metavar="N", help=workers)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    return run(lambda: print(summary_table(QUANTIZERS[options.quantizer](options))))


def _kmeans(options: argparse.Namespace) -> TokenFolder:
    return tokenize_with_kmeans(
        options.data_dir,
        options.data_raw,
        features=options.features,
        n_clusters=options.n_clusters,
        seed=options.seed,
        max_train_frames=options.max_train_frames,
        deduplicate=options.deduplicate,
        workers=options.workers,
    )


# --quantizer -> what it does with the options. Reading its tokens back is the business of the class
# under the same name in speech_tokenizers.TOKENIZERS.
QUANTIZERS: dict[str, Callable[[argparse.Namespace], TokenFolder]] = {"kmeans": _kmeans}


if __name__ == "__main__":
    sys.exit(main())

"""Tokenize the speech of a corpus by k-means.

Frames (25 ms every 10 ms; MFCC with deltas, or log-mel) are normalized, and each is replaced by the
nearest of K centroids. Mean, deviation and centroids are fitted on the train split. A row shorter
than 25 ms is `</s>` only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.audio.decoding import FloatArray
from data_prep.audio.frames import num_frames
from data_prep.audio.segment import audio_of
from data_prep.engines import Workers, ordered_map
from data_prep.engines.mapping import for_groups
from data_prep.errors import CodedError
from data_prep.manifest.audio_root import audio_root
from data_prep.progress import track
from data_prep.schema import Utterance, read_corpus
from data_prep.tokens.binarize import SplitJob, binarize_splits, read_splits, train_rows
from data_prep.tokens.folder import EOS, TokenFolder, TokenizerFiles, Tokens, read_card
from data_prep.tokens.kmeans_tokenizer import FEATURES, train_kmeans
from data_prep.tokens.sounds import Sound, speech_job
from data_prep.tokens.speech_tokenizers import load_speech_tokenizer
from data_prep.tokens.token_sets import FITTED_ON, TokenSet, copied_settings, place_tokens

logger = logging.getLogger(__name__)

MIN_STD = 1e-5  # of a constant dimension, to avoid division by zero


def tokenize_with_kmeans(
    data_dir: str | Path,
    data_raw: str | Path | None = None,
    features: str = "mfcc",
    n_clusters: int = 100,
    seed: int = 1,
    max_train_frames: int = 500_000,
    deduplicate: bool = False,
    workers: Workers = 1,
    name: str | None = None,
) -> TokenFolder:
    """Fit k-means on (a sample of) the frames of the train split, and tokenize every split.

    Args:
        data_dir: the data dir; tokens are written to its folder `speech/<name>`.
        data_raw: folder of the audio; None = that of corpus.yaml, see `audio_root`.
        features: "mfcc" or "logmel".
        n_clusters: K.
        seed: of the sample and of k-means.
        max_train_frames: maximum number of frames for fitting.
        deduplicate: merge runs of the same code.
        workers: an engine, or a number of processes.
        name: of the token set; None = such as `kmeans-100`.

    Raises:
        ValueError: there is no train split, it has too few frames, or audio is invalid; names the
            utterance.
    """
    rows = read_splits(data_dir)
    train = train_rows(data_dir, rows, "use --quantizer vq-wav2vec, which needs none")
    root = audio_root(data_dir, data_raw)
    jobs = {split: speech_job(root, rows[split]) for split in rows}
    settings: dict[str, Any] = {
        "quantizer": "kmeans",
        "features": features,
        "sample_rate": read_corpus(data_dir).sample_rate,
        "n_clusters": n_clusters,
        "seed": seed,
        "max_train_frames": max_train_frames,
        "deduplicate": deduplicate,
        FITTED_ON: jobs["train"].digest,
    }
    parts = ["logmel"] if features == "logmel" else []
    merged = ["deduplicated"] if deduplicate else []
    default = "-".join(["kmeans", *parts, str(n_clusters), *merged])
    folder = TokenFolder(place_tokens(data_dir, "speech", settings, name, default), settings)
    with folder.locked():
        if not folder.is_fitted:
            frames, mean, std = sample_frames(root, train, settings, workers)
            logger.info("fitting %d clusters on %d train frames", n_clusters, len(frames))
            folder.replace_tokenizer(*train_kmeans(frames, mean, std, settings))
        _binarize(folder, jobs, workers)
    return folder


def tokenize_with_kmeans_of(
    data_dir: str | Path,
    data_raw: str | Path | None = None,
    *,
    tokenizer: str | Path,
    workers: Workers,
    name: str | None,
) -> TokenFolder:
    """Tokenize every split with the centroids of a token folder, whose files are copied.

    Raises:
        ValueError: the corpus has another sample rate, the tokenizer is damaged, or audio is
            invalid.
    """
    source, card = Path(tokenizer), read_card(tokenizer)
    load_speech_tokenizer(source)
    own = TokenSet.of(source)
    is_own = own.data_dir == Path(data_dir) and own.modality == "speech"
    settings = card["settings"] if is_own else copied_settings(card["settings"])
    rate = read_corpus(data_dir).sample_rate
    if rate != settings["sample_rate"]:
        raise CodedError(
            f"{source}: its centroids are of audio at {settings['sample_rate']} Hz, and "
            f"{Path(data_dir) / 'corpus.yaml'} counts samples at {rate} Hz; prepare the corpus "
            "again at that rate",
            "sample-rate-mismatch",
        )
    root = audio_root(data_dir, data_raw)
    jobs = {split: speech_job(root, rows) for split, rows in read_splits(data_dir).items()}
    default = TokenSet.of(source.absolute()).name_of_copy
    folder = TokenFolder(place_tokens(data_dir, "speech", settings, name, default), settings)
    with folder.locked():
        if not folder.is_fitted:
            files = {file: (source / file).read_bytes() for file in card["files"]}
            folder.replace_tokenizer(files, card["vocab_size"])
        _binarize(folder, jobs, workers)
    return folder


def _binarize(
    folder: TokenFolder, jobs: Mapping[str, SplitJob[Sound | None]], workers: Workers
) -> None:
    build = partial(for_groups, partial(_build_encoder, TokenizerFiles.of(folder.folder)))
    binarize_splits(folder, jobs, build, workers, lambda sound: sound and sound.n_samples)


def sample_frames(
    root: Path, rows: Sequence[Utterance], settings: Mapping[str, Any], workers: Workers
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Sample frames, and compute the mean and standard deviation of all frames.

    The number of frames of an utterance is proportional to its length, and they are drawn with a
    seed of its own, so that the result is independent of the number of workers.

    Returns:
        At most `max_train_frames` frames (N, C); mean (C,); standard deviation (C,).
    """
    with_audio = [(row, audio) for row in rows if (audio := audio_of(row, root)) and row.n_samples]
    rate = settings["sample_rate"]
    lengths = np.array(
        [num_frames(row.n_samples or 0, rate) for row, _ in with_audio], dtype=np.int64
    )
    if not lengths.sum():
        raise CodedError(
            "the train split has no audio of 25 ms or more; "
            "check audio and n_samples in its manifest",
            "audio-too-short",
        )
    share = min(1.0, settings["max_train_frames"] / lengths.sum())
    quotas = np.diff(np.floor(np.cumsum(lengths) * share), prepend=0).astype(int).tolist()
    tasks = [
        (Sound(row.id, audio), quota, (settings["seed"], i))
        for i, ((row, audio), quota) in enumerate(zip(with_audio, quotas, strict=True))
    ]
    build = partial(_build_sampler, settings["features"], rate)
    parts, totals = [], np.zeros(1)
    with ordered_map(build, workers) as sample_all:
        for sample, sums in track(sample_all(tasks), "speech frames", len(tasks)):
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
        frames = FEATURES[features](sound.read(rate), rate)
        chosen = np.random.default_rng(seed).permutation(len(frames))[:quota]
        wide = frames.astype(np.float64)
        count = np.full(frames.shape[1], len(frames), dtype=np.float64)
        return frames[np.sort(chosen)], np.stack([count, wide.sum(0), (wide**2).sum(0)])

    return sample


def _build_encoder(carried: TokenizerFiles) -> Callable[[Sound | None], Tokens]:
    with carried.written() as folder:
        tokenizer = load_speech_tokenizer(folder)

    def encode(sound: Sound | None) -> Tokens:
        if sound is None:
            return np.array([EOS], dtype=np.int64)
        return tokenizer.encode(sound.read(tokenizer.sample_rate))

    return encode

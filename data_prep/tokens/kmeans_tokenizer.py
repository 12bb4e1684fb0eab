"""Speech tokenizer by k-means: the token of a frame is the nearest of K centroids.

The centroids are fitted on normalized frames of the train split. The id of code k is k + 4, after
the special symbols of fairseq's Dictionary.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from data_prep.audio.decoding import FloatArray
from data_prep.audio.frames import log_mel, mfcc
from data_prep.errors import (
    CodedError,
    Fault,
    ManifestError,
)
from data_prep.files.arrays import UnreadableArrayError, load_archive
from data_prep.files.documents import (
    ForeignDocument,
    parse_json,
)
from data_prep.tokens.folder import DICT_FILE, EOS, UNK, SpecialIds, Tokens

KMEANS_FILE = "kmeans.npz"
_ARRAYS = ("centroids", "mean", "std", "settings")
FIRST_CODE = UNK + 1
BATCH_FRAMES = 10_000  # per k-means step, as for HuBERT's units
FEATURES: dict[str, Callable[[npt.ArrayLike, int], FloatArray]] = {"mfcc": mfcc, "logmel": log_mel}


_REMEDY = "tokenize again, or take another copy of the folder"


class KMeansSettings(ForeignDocument):
    """Schema of the settings used by the tokenizer; others describe how it was fitted."""

    sample_rate: Annotated[int, Field(gt=0, le=2**31)]
    features: Literal["mfcc", "logmel"]
    deduplicate: bool


class KMeansTokenizer:
    """Encode frames by the nearest of K centroids."""

    specials = SpecialIds()

    def __init__(self, folder: Path) -> None:
        file = folder / KMEANS_FILE
        try:
            arrays = load_archive(file, lambda saved: [saved[name] for name in _ARRAYS])
        except UnreadableArrayError as error:
            problem = f"cannot be read as the k-means of a tokenizer ({error})"
            raise ManifestError(
                Fault(str(file), None, problem, _REMEDY, "tokenizer-unreadable")
            ) from error
        self.centroids: FloatArray = arrays[0]  # (K, C)
        self.mean: FloatArray = arrays[1]  # (C,)
        self.std: FloatArray = arrays[2]  # (C,)
        text = str(arrays[3])
        settings = parse_json(text, KMeansSettings, name=f"{file}: settings", remedy=_REMEDY)
        self._check_arrays(file)
        self.sample_rate = settings.sample_rate
        self._extract = FEATURES[settings.features]
        self._deduplicate = settings.deduplicate

    def _check_arrays(self, file: Path) -> None:
        arrays = (self.centroids, self.mean, self.std)
        shapes = " ".join(str(array.shape) for array in arrays)
        n_dims = (self.centroids.ndim, self.mean.ndim, self.std.ndim)
        if n_dims != (2, 1, 1) or len({array.shape[-1] for array in arrays}) > 1:
            problem = f"centroids, mean and std are of shapes {shapes}"
        elif not all(np.issubdtype(a.dtype, np.floating) and np.isfinite(a).all() for a in arrays):
            problem = "centroids, mean or std are not finite numbers"
        elif not (self.std > 0).all():
            problem = "std holds a number that is not above 0"
        else:
            return
        raise ManifestError(Fault(str(file), None, problem, _REMEDY, "tokenizer-mismatch"))

    def encode(self, waveform: FloatArray) -> Tokens:
        frames = (self._extract(waveform, self.sample_rate) - self.mean) / self.std
        codes = nearest(frames, self.centroids)
        if self._deduplicate:
            codes = codes[np.diff(codes, prepend=-1) != 0]
        return np.append(codes + FIRST_CODE, EOS)


def nearest(frames: FloatArray, centroids: FloatArray) -> Tokens:
    """Return the index (T,) of the nearest centroid (K, C) of frames (T, C), the lower on a tie.

    Computed by einsum without BLAS, in float64: bitwise independent of the number of threads.

    >>> nearest(np.array([[0.2], [0.9]]), np.array([[0.0], [1.0]]))
    array([0, 1])
    """
    points, centers = frames.astype(np.float64), centroids.astype(np.float64)
    # |x - c|^2 = |x|^2 - 2 x.c + |c|^2; |x|^2 is the same for every c.
    distances = (centers**2).sum(axis=1) - 2 * np.einsum("tc,kc->tk", points, centers)  # (T, K)
    return np.asarray(distances.argmin(axis=1), dtype=np.int64)


def train_kmeans(
    frames: FloatArray, mean: FloatArray, std: FloatArray, settings: Mapping[str, Any]
) -> tuple[dict[str, bytes], int]:
    """Fit K centroids to frames normalized by `mean` and `std`.

    Args:
        frames: (N, C).
        mean: (C,).
        std: (C,).
        settings: settings of the tokenizer, `n_clusters` and `seed` among them.

    Returns:
        The tokenizer files by name, with counts of these frames in dict.txt; and the size of the
        vocabulary, including special symbols.

    Raises:
        ValueError: there are fewer frames than clusters.
    """
    from sklearn.cluster import MiniBatchKMeans
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    k = settings["n_clusters"]
    if len(frames) < k:
        raise CodedError(
            f"{len(frames)} frames of the train split are too few for {k} clusters; "
            "lower --n-clusters or raise --max-train-frames",
            "frames-too-few",
        )
    kmeans = MiniBatchKMeans(
        n_clusters=k,
        random_state=settings["seed"],
        batch_size=BATCH_FRAMES,
        n_init=5,
        max_no_improvement=50,
        reassignment_ratio=0.0,
    )
    with threadpool_limits(limits=1):  # sums of several threads depend on their number
        kmeans.fit((frames - mean) / std)
    centroids = kmeans.cluster_centers_.astype(np.float32)
    counts = np.bincount(nearest((frames - mean) / std, centroids), minlength=k)
    lines = [f"{code} {count}\n" for code, count in enumerate(counts)]
    packed = io.BytesIO()
    np.savez(
        packed,
        centroids=centroids,
        mean=mean.astype(np.float32),
        std=std.astype(np.float32),
        settings=np.array(json.dumps(dict(settings))),
    )
    return {KMEANS_FILE: packed.getvalue(), DICT_FILE: "".join(lines).encode()}, k + FIRST_CODE

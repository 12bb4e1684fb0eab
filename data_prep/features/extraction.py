"""Write feature folders from any source; splits that are up to date are skipped."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from data_prep.audio.segment import AudioSegment, audio_digests, waveforms_digest
from data_prep.engines import Workers
from data_prep.engines.mapping import for_groups
from data_prep.errors import CodedError
from data_prep.features.egemaps import EGEMAPS
from data_prep.features.frame_files import FloatArray
from data_prep.features.log_mel import LOG_MEL
from data_prep.features.pooling import pooled
from data_prep.features.stored import (
    CARD_FILE,
    features_folder,
    is_finished,
    read_card,
    write_split,
)
from data_prep.files.arrays import UnreadableArrayError, load_archive
from data_prep.files.digests import user_memory
from data_prep.files.lock import locked
from data_prep.files.remote import RemotePath
from data_prep.files.shards import ArrayCodec, ShardMap, ShardStore, shard_map, spans_of
from data_prep.manifest.digests import rows_digest, sequence_digest
from data_prep.progress import track
from data_prep.schema import SAMPLE_RATE, Utterance
from data_prep.tokens.binarize import read_splits

logger = logging.getLogger(__name__)

ALL_LAYERS = "all"  # --layer: those of an encoder, side by side in each frame
SHARD_ROWS = 256


class RowFrames(NamedTuple):
    """Frames (T, C) of a row of video, and how many pictures they were made from.

    Attributes:
        frames: (T, C).
        n_read: pictures that were decoded.
        n_without_face: those of them that are left out, for there is no face in them.
    """

    frames: FloatArray
    n_read: int
    n_without_face: int


# Called once in each worker; returns the function from the items of some rows to their frames, of
# videos to `RowFrames`.
Build = Callable[[], Callable[[Sequence[Any]], list[Any]]]
Pooling = Callable[[FloatArray], FloatArray]


class Compute(Protocol):
    """Computes the frames of a split in shards, on an engine."""

    def __call__(
        self, build: Build, items: Sequence[Any], costs: Sequence[int | None]
    ) -> Iterator[Any]:
        """Yield the frames of each item, in order; of videos `RowFrames`.

        Args:
            build: picklable, the same for all splits.
            items: what a worker gets of each row; picklable.
            costs: samples of each row, which bound a shard.
        """


class Source(Protocol):
    """Where features come from; `settings` is all that they depend on besides the content."""

    @property
    def settings(self) -> Mapping[str, Any]: ...

    def content(self, split: str, rows: Sequence[Utterance]) -> str: ...

    def frames(
        self, split: str, rows: Sequence[Utterance], compute: Compute
    ) -> Iterator[FloatArray]: ...

    def facts(self) -> Mapping[str, Any]:
        """Return what the card keeps of the split whose frames were taken last."""


def extract(
    data_dir: str | Path,
    name: str,
    source: Source,
    *,
    dtype: str,
    pool: str = "none",
    about: Mapping[str, Any] | None = None,
    workers: Workers = 1,
) -> Path:
    """Write the features of every split that is not up to date; returns their folder.

    Args:
        data_dir: the data dir.
        name: of the folder in its folder `features`.
        source: of the frames.
        dtype: of the numbers on disk.
        pool: one of :data:`POOLS`.
        about: is written to the card, for readers only.
        workers: an engine, or a number of processes on this machine.

    Raises:
        ValueError: a file or a row cannot be encoded or stored; names it.
    """
    folder = features_folder(data_dir, name)
    settings = {**source.settings, "dtype": dtype, **({} if pool == "none" else {"pool": pool})}
    splits = read_splits(data_dir)
    _refuse_foreign(folder, splits)
    pooling = partial(pooled, pool=pool, n_layers=settings.get("layers", 1))
    with locked(folder / ".lock"), _Shards(folder, workers, pooling) as shards:
        for split, rows in splits.items():
            content = source.content(split, rows)
            if is_finished(folder, split, rows, settings, content):
                logger.info("%s: %s is up to date, skipped", folder, split)
                continue
            of = {"settings": repr(settings), "content": content, "rows": rows_digest(rows)}
            store = shards.store(split)
            key = sequence_digest(of.items())
            frames = source.frames(split, rows, partial(shards.compute, store, key, split))
            shown = track(frames, f"{name} {split}", len(rows))
            write_split(folder, split, rows, shown, settings, content, about, source.facts)
            store.remove()
    return folder


class _Shards(ExitStack):
    """The shards of all splits of a folder, on workers that start with the first of them."""

    def __init__(self, folder: Path, workers: Workers, pooling: Pooling) -> None:
        super().__init__()
        self._folder = folder
        self._workers = workers
        self._pooling = pooling
        self._map: ShardMap[Any] | None = None

    def store(self, split: str) -> ShardStore[Any]:
        return ShardStore(self._folder / f".{split}.partial", _FramesCodec())

    def compute(
        self,
        store: ShardStore[Any],
        key: str,
        split: str,
        build: Build,
        items: Sequence[Any],
        costs: Sequence[int | None],
    ) -> Iterator[Any]:
        if self._map is None:
            of_pool = partial(_with_pooling, build, self._pooling)
            self._map = self.enter_context(shard_map(of_pool, self._workers))
        spans = spans_of(len(items), costs, most_rows=SHARD_ROWS)
        return self._map(items, spans, f"{self._folder.name} {split}", store, key)


def _with_pooling(build: Build, pooling: Pooling) -> Callable[[Sequence[Any]], list[Any]]:
    function = build()

    def pool(row: FloatArray | RowFrames) -> FloatArray | RowFrames:
        if isinstance(row, RowFrames):
            return row._replace(frames=pooling(row.frames))
        return pooling(row)

    return lambda items: [pool(row) for row in function(items)]


class _FramesCodec(ArrayCodec):
    """Frames of rows; of videos with the numbers of their pictures, (N, 2) in the same archive."""

    def write(self, file: Path, results: Sequence[Any]) -> None:
        if not any(isinstance(row, RowFrames) for row in results):
            super().write(file, results)
            return
        with file.open("wb") as stream:
            lengths = [len(row.frames) for row in results]
            counts = [[row.n_read, row.n_without_face] for row in results]
            values = np.concatenate([row.frames for row in results])
            np.savez(stream, values=values, lengths=lengths, counts=counts)

    def read(self, file: Path) -> list[Any]:
        frames = super().read(file)
        counts = load_archive(file, lambda saved: saved.get("counts"))
        if counts is None:
            return frames
        if counts.shape != (len(frames), 2):
            raise UnreadableArrayError(
                f"counts {counts.shape} of {len(frames)} rows", "array-unreadable"
            )
        pairs = zip(frames, counts.tolist(), strict=True)
        return [RowFrames(row, n_read, n_without) for row, (n_read, n_without) in pairs]


def _refuse_foreign(folder: Path, splits: Mapping[str, object]) -> None:
    """Features that others made stay what they are."""
    theirs = [split for split in splits if (folder / f"{split}.npy").exists()]
    if theirs and not (folder / CARD_FILE).exists():
        raise CodedError(
            f"{folder / theirs[0]}.npy: was not made by this command, which would overwrite it; "
            "give another --name, or delete it",
            "features-not-ours",
        )


# -- Features of audio files -----------------------------------------------------------------------


def content_of_audio(
    rows: Sequence[Utterance], audio: Sequence[AudioSegment | None], memory: Path
) -> str:
    """Digest the bytes of audio files, wherever they are, and the segments in them.

    Args:
        rows: N rows.
        audio: of these rows.
        memory: file in which digests of files are cached.

    Raises:
        ValueError: a file cannot be read.
    """
    digests = audio_digests(audio, memory)
    return sequence_digest(zip((row.id for row in rows), digests, strict=True))


def are_of_audio(
    folder: Path, split: str, rows: Sequence[Utterance], audio: Sequence[AudioSegment | None]
) -> bool:
    """Return whether a split's features are those of audio files as they are now.

    They are taken to be, where a file cannot be read, since features need no recordings once they
    are there. So are those that others made, and of recordings at a URL, which would be read whole.

    So are those of a text, of tokens or of a video.

    Raises:
        ManifestError: their card is invalid.
    """
    card = read_card(folder)
    settings = card.get("settings", {})
    made_from = card.get("splits", {}).get(split, {}).get("content")
    first = next((part for part in audio if part is not None), None)
    if made_from is None or first is None or isinstance(first.path, RemotePath):
        return True
    try:
        if settings.get("features") in (LOG_MEL, EGEMAPS):
            return bool(made_from == content_of_audio(rows, audio, memory_of(folder)))
        if settings.get("modality") == "speech" and "max_seconds" in settings:
            max_samples = int(settings["max_seconds"] * SAMPLE_RATE)
            digests = audio_digests(audio, memory_of(folder))
            return bool(made_from == waveforms_digest(digests, max_samples))
    except ValueError:
        return True
    return True


def memory_of(folder: Path) -> Path:
    """Return the file in which digests of audio files are cached.

    It is beside folders of features, or in the user's cache where these may not be written to.
    """
    if folder.parent.is_dir() and not os.access(folder.parent, os.W_OK):
        return user_memory().with_name("recordings.json")
    return folder.parent / ".digests.json"


@dataclass(frozen=True)
class AudioFeatures:
    """What `build()`, called in each of the workers, makes of audio: (T, width) frames.

    `settings` holds what they depend on besides the audio of the rows of a split, which `audio_of`
    returns; `memory` is the file that caches the digests of audio files.
    """

    settings: Mapping[str, Any]
    width: int
    build: Callable[[], Callable[[AudioSegment], FloatArray]]
    audio_of: Callable[[str, Sequence[Utterance]], Sequence[AudioSegment | None]]
    memory: Path

    def facts(self) -> Mapping[str, Any]:
        """Nothing."""
        return {}

    def content(self, split: str, rows: Sequence[Utterance]) -> str:
        """See :func:`content_of_audio`."""
        return content_of_audio(rows, self.audio_of(split, rows), self.memory)

    def frames(
        self, split: str, rows: Sequence[Utterance], compute: Compute
    ) -> Iterator[FloatArray]:
        """Frames of each row, none where it has no audio."""
        build = partial(for_groups, partial(_or_nothing, self.build, self.width))
        return compute(build, self.audio_of(split, rows), [row.n_samples for row in rows])


def _or_nothing(
    build: Callable[[], Callable[[AudioSegment], FloatArray]], width: int
) -> Callable[[AudioSegment | None], FloatArray]:
    extract = build()
    none = np.zeros((0, width), dtype=np.float32)
    return lambda audio: none if audio is None else extract(audio)

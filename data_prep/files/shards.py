"""Results of shards of rows, kept on disk until the file that they are part of is written.

A shard is some consecutive rows. Its results are one file of a hidden folder, written whole, whose
name is a digest of all that they depend on: a command that was killed computes the others only, and
never reads outdated ones.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from data_prep.engines import UnitMap, Workers, open_pool
from data_prep.engines.mapping import Groups
from data_prep.files.replacing import replacing
from data_prep.manifest.digests import sequence_digest

if TYPE_CHECKING:
    import numpy as np

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

MOST_ROWS = 256
MOST_SAMPLES = 600 * 16_000  # ten minutes of audio


class Codec(Protocol[Result]):
    """How the results of a shard are stored."""

    suffix: str

    def write(self, file: Path, results: Sequence[Result]) -> None:
        """Write the results of all rows of a shard."""

    def read(self, file: Path) -> list[Result]:
        """Read them. Raises ValueError if the file is damaged."""


class ArrayCodec:
    """Arrays (T_i, ...) of one row each, alike but for T_i: a `.npz` with checksums."""

    suffix = ".npz"

    def write(self, file: Path, results: Sequence[np.ndarray]) -> None:
        import numpy as np  # here, since commands name this module before they need it

        with file.open("wb") as stream:
            lengths = [len(row) for row in results]
            np.savez(stream, values=np.concatenate(results), lengths=lengths)

    def read(self, file: Path) -> list[np.ndarray]:
        import numpy as np

        from data_prep.files.arrays import UnreadableArrayError, load_archive

        values, lengths = load_archive(file, lambda saved: (saved["values"], saved["lengths"]))
        if lengths.ndim != 1 or (lengths < 0).any() or sum(lengths) != len(values):
            raise UnreadableArrayError(
                f"lengths {lengths.tolist()} of values {values.shape}", "array-unreadable"
            )
        return np.split(values, np.cumsum(lengths)[:-1])


class JsonCodec:
    """Plain values of one row each: a list in JSON, with a digest of it."""

    suffix = ".json"

    def write(self, file: Path, results: Sequence[Any]) -> None:
        text = json.dumps(list(results))
        file.write_text(f"{sequence_digest([('json', text)])}\n{text}", encoding="utf-8")

    def read(self, file: Path) -> list[Any]:
        digest, _, text = file.read_text(encoding="utf-8").partition("\n")
        if digest != sequence_digest([("json", text)]):
            raise ValueError("its digest is another")
        results: list[Any] = json.loads(text)
        return results


class ShardStore(Generic[Result]):
    """The finished shards of one output.

    Args:
        folder: hidden, of this output alone; it is created with the first shard, and removed by
            :meth:`remove`.
        codec: how results are stored.
    """

    def __init__(self, folder: Path, codec: Codec[Result]) -> None:
        self._folder = folder
        self._codec = codec

    def read(self, key: str, n_rows: int) -> list[Result] | None:
        """Return the results of a shard; None if they are not there, or damaged."""
        file = self.file(key)
        if not file.is_file():
            return None
        try:
            results = self._codec.read(file)
        except (ValueError, OSError) as error:
            logger.warning("%s: cannot be read (%s); computing it again", file, error)
            return None
        return results if len(results) == n_rows else None

    def write(self, key: str, results: Sequence[Result]) -> None:
        """Keep the results of a shard."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with replacing(self.file(key), is_locked=True) as part:
            self._codec.write(part, results)

    def remove(self) -> None:
        """Remove all shards, when their output is written."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def file(self, key: str) -> Path:
        """Return the file of a shard."""
        return self._folder / f"{key[:32]}{self._codec.suffix}"


def spans_of(
    n_rows: int,
    costs: Sequence[int | None] | None = None,
    most: int = MOST_SAMPLES,
    most_rows: int = MOST_ROWS,
) -> list[tuple[int, int]]:
    """Return the first row of each shard, and the row after its last.

    They depend on the rows alone, so that a shard is the same on every engine.

    Args:
        n_rows: number of rows.
        costs: of each row, such as its samples; None = only their number counts.
        most: cost of a shard, which a single row may exceed.
        most_rows: rows of a shard.

    >>> spans_of(5, [3, 3, 9, 1, None], most=6)
    [(0, 2), (2, 3), (3, 5)]
    """
    spans: list[tuple[int, int]] = []
    first, total = 0, 0
    for row in range(n_rows):
        cost = 0 if costs is None else costs[row] or 0
        if row - first == most_rows or (row > first and total + cost > most):
            spans.append((first, row))
            first, total = row, 0
        total += cost
    return [*spans, (first, n_rows)] if n_rows else []


@contextmanager
def shard_map(
    build: Callable[[], Callable[[Sequence[Any]], list[Result]]],
    workers: Workers,
) -> Iterator[ShardMap[Result]]:
    """Yield an ordered map over the rows of several outputs, whose finished shards are kept.

    Args:
        build: picklable; called once in each worker, returns the function of the rows of a shard.
        workers: an engine, or a number of processes on this machine.
    """
    with open_pool(build, workers) as map_units:
        yield ShardMap(map_units)


class ShardMap(Generic[Result]):
    """Maps shards to the results of their rows; see :func:`shard_map`."""

    def __init__(self, map_units: UnitMap) -> None:
        self._map_units = map_units

    def __call__(
        self,
        rows: Sequence[Any],
        spans: Sequence[tuple[int, int]],
        title: str,
        store: ShardStore[Result] | None = None,
        key: str | Callable[[int, int], str] = "",
    ) -> Iterator[Result]:
        """Yield the result of each row, in order.

        Args:
            rows: have a length and slices.
            spans: of :func:`spans_of`.
            title: of the output, for messages.
            store: keeps the results of finished shards; None = they are not kept.
            key: digest of all that every row depends on; or a function that returns that of the
                rows from a number up to another.
        """

        def key_of(number: int, shard: Sequence[Any]) -> str:
            first, end = spans[number]
            if not isinstance(key, str):
                return key(first, end)
            return sequence_digest([("key", key), ("first", str(first)), ("end", str(end))])

        groups = Groups(rows, spans, title)
        for _, results in self.shards(groups, title, store, key_of, groups.name_of):
            yield from results

    def shards(
        self,
        shards: Iterable[Sequence[Any]],
        title: str,
        store: ShardStore[Result] | None,
        key_of: Callable[[int, Sequence[Any]], str],
        name_of: Callable[[int], str],
    ) -> Iterator[tuple[Sequence[Any], list[Result]]]:
        """Yield shards, each with the results of its rows, in order.

        Args:
            shards: may be taken from a stream.
            title: of the output, for messages.
            store: keeps the results of finished shards; None = they are not kept.
            key_of: returns the digest of all that a shard depends on, from its number.
            name_of: names a shard in messages, by its number.
        """
        waiting: deque[tuple[Sequence[Any], str | None]] = deque()  # with the key of a kept one
        sent: list[tuple[int, str]] = []  # number and key of those that are computed

        def missing() -> Iterator[Sequence[Any]]:
            for number, shard in enumerate(shards):
                key = "" if store is None else key_of(number, shard)
                if store is not None and store.read(key, len(shard)) is not None:
                    if not any(kept for _, kept in waiting):
                        logger.info("%s: %s is there from an earlier run", title, name_of(number))
                    waiting.append((shard, key))
                else:
                    waiting.append((shard, None))
                    sent.append((number, key))
                    yield shard

        def keep(number: int, results: list[Result]) -> None:
            if store is not None:
                store.write(sent[number][1], results)

        computed = self._map_units(
            missing(), name_of=lambda number: name_of(sent[number][0]), when_done=keep
        )
        for results in computed:
            yield from _kept(store, waiting)
            yield waiting.popleft()[0], results
        yield from _kept(store, waiting)


def _kept(
    store: ShardStore[Result] | None, waiting: deque[tuple[Sequence[Any], str | None]]
) -> Iterator[tuple[Sequence[Any], list[Result]]]:
    """Yield the shards up to the first that is computed, and take them out."""
    while waiting and store is not None and (key := waiting[0][1]) is not None:
        shard, _ = waiting.popleft()
        results = store.read(key, len(shard))
        if results is None:
            raise OSError(f"{store.file(key)}: was removed meanwhile")
        yield shard, results

"""Apply a function to units of work on an engine: results in order, failed workers replaced.

The scheduler depends on pools only, so that order, retries and errors are the same on every engine.
"""

from __future__ import annotations

import itertools
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol, TypeVar

from data_prep.engines.engine import LOCAL, RAY, Workers, as_engine, default_workers
from data_prep.engines.local import open_local
from data_prep.engines.on_ray import open_ray
from data_prep.engines.pool import Answer, Outcome, Pool
from data_prep.errors import CodedError

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

_MAX_DEATHS = 3  # of workers that computed one unit
_AHEAD = 4  # units per worker that are computed ahead of the results that are taken


class UnitMap(Protocol):
    """Applies the function of a pool to units."""

    def __call__(
        self,
        units: Iterable[Any],
        *,
        name_of: Callable[[int], str] = ...,
        when_done: Callable[[int, Any], None] = ...,
    ) -> Iterator[Any]:
        """Yield the result of every unit, in order.

        Args:
            units: are taken when workers are free, a bounded number ahead of the results.
            name_of: names a unit in messages, by its number.
            when_done: called with the number and the result of a unit as soon as it is computed,
                which may be long before its turn.

        Raises:
            CodedError: `worker-died`, if a unit has killed several workers.
            Exception: what the function raised for the first unit that failed.
        """


class _Open(Protocol):
    def __call__(
        self, build: Callable[[], Callable[[Any], Any]], engine: Any, *, threads: bool
    ) -> Pool: ...


ENGINES: Mapping[str, _Open] = {LOCAL: open_local, RAY: open_ray}


@contextmanager
def open_pool(
    build: Callable[[], Callable[[Any], Any]], workers: Workers, *, threads: bool = False
) -> Iterator[UnitMap]:
    """Yield an ordered map over units; its workers live as long as the block.

    Args:
        build: picklable; called once in each worker, returns the function of a unit, which is
            deterministic: a unit is computed again if its worker ends.
        workers: an engine, or a number of workers on this machine; 1 = this process.
        threads: whether workers on this machine are threads, for functions that mostly read files
            and decode them. `build` is then called once.
    """
    engine = as_engine(workers)
    pool = ENGINES[engine.name](build, engine, threads=threads)
    calls = itertools.count()
    try:
        yield lambda units, **options: _Run(pool, next(calls), units, **options).results()
    finally:
        pool.close()


class _Run:
    """One pass over units."""

    def __init__(
        self,
        pool: Pool,
        call: int,
        units: Iterable[Any],
        name_of: Callable[[int], str] = "unit {}".format,
        when_done: Callable[[int, Any], None] = lambda number, result: None,
    ) -> None:
        self._pool = pool
        self._call = call
        self._source = iter(units)
        self._name_of = name_of
        self._when_done = when_done
        self._next = 0  # number of the next unit of the source
        self._is_over = False  # no more units are taken from the source
        self._units: dict[int, Any] = {}  # that were taken, and have no answer
        self._waiting: deque[int] = deque()  # those that no worker has
        self._deaths: Counter[int] = Counter()
        self._answers: dict[int, Answer] = {}

    def results(self) -> Iterator[Any]:
        """Yield the results in order."""
        for number in itertools.count():
            if number == self._next and not self._take(number):
                return
            self._submit(number)
            while number not in self._answers:
                for outcome in self._pool.wait():
                    self._receive(outcome)
                # One worker takes a unit when its result is wanted: this one again, if the worker
                # was starting, or has died.
                if self._pool.size > 1 or number not in self._answers:
                    self._submit(number)
            answer = self._answers.pop(number)
            _log_again(answer.records)
            if answer.error is not None:
                raise answer.error
            yield answer.result

    def _submit(self, first: int) -> None:
        """Keep the workers busy."""
        while self._pool.is_free and (self._waiting or self._take(first)):
            number = self._waiting.popleft()
            self._pool.submit((self._call, number), self._units[number])

    def _take(self, first: int) -> bool:
        """Take a unit from the source, if it is not too far ahead of the first without a result."""
        if self._is_over or self._next >= first + _AHEAD * self._pool.size:
            return False
        for unit in self._source:
            self._units[self._next] = unit
            self._waiting.append(self._next)
            self._next += 1
            return True
        self._is_over = True
        return False

    def _receive(self, outcome: Outcome) -> None:
        call, number = outcome.ticket
        if call != self._call:  # of a pass that was given up
            return
        if outcome.answer is None:
            self._count_death(number, outcome.death)
            return
        self._answers[number] = outcome.answer
        del self._units[number]
        if outcome.answer.error is not None:
            self._is_over = True  # the first error in order is raised
        else:
            self._when_done(number, outcome.answer.result)

    def _count_death(self, number: int, death: str) -> None:
        name = self._name_of(number)
        self._deaths[number] += 1
        if self._deaths[number] >= _MAX_DEATHS:
            raise CodedError(
                f"{name}: {_MAX_DEATHS} workers died of it, the last {death}; run the same command "
                "again with fewer --workers, which have more memory each, or leave these rows out",
                "worker-died",
            )
        logger.warning("%s: its worker was lost (%s); computing it again", name, death)
        self._waiting.append(number)


def _log_again(records: Sequence[logging.LogRecord]) -> None:
    """Log what was logged in a worker process."""
    for record in records:
        log = logging.getLogger(record.name)
        if log.isEnabledFor(record.levelno):
            log.handle(record)


# -- Items, sent in groups -------------------------------------------------------------------------


@contextmanager
def ordered_map(
    build: Callable[[], Callable[[Item], Result]],
    workers: Workers,
    at_once: int = 64,
    *,
    threads: bool = False,
) -> Iterator[Callable[[Sequence[Item]], Iterator[Result]]]:
    """Yield an ordered `map` of a function of one item over an engine.

    A few items per worker are computed ahead of the results that are taken, so that memory is
    bounded when these are large, and written slowly.

    Args:
        build: as of :func:`open_pool`; returns the function of an item.
        workers: as of :func:`open_pool`.
        at_once: most items that are sent to a worker together.
        threads: as of :func:`open_pool`.
    """
    engine = as_engine(workers)
    is_alone = engine.name == LOCAL and engine.workers == 1
    with open_pool(partial(for_groups, build), engine, threads=threads) as map_units:

        def over(items: Sequence[Item]) -> Iterator[Result]:
            share = len(items) // (_AHEAD * (engine.workers or default_workers()))
            size = 1 if is_alone else max(1, min(at_once, share))
            groups = Groups(items, [(i, i + size) for i in range(0, len(items), size)])
            for results in map_units(groups, name_of=groups.name_of):
                yield from results

        yield over


class Groups(Sequence[Sequence[Any]]):
    """Consecutive items as units, sliced when they are sent.

    Args:
        items: have a length and slices.
        spans: number of the first item of each group, and that after its last.
        title: of the items, for messages.
    """

    def __init__(
        self, items: Sequence[Any], spans: Sequence[tuple[int, int]], title: str = ""
    ) -> None:
        self._items = items
        self._spans = spans
        self._title = title

    def __len__(self) -> int:
        return len(self._spans)

    def __getitem__(self, number: Any) -> Any:
        first, end = self._spans[number]
        return self._items[first:end]

    def name_of(self, number: int) -> str:
        """Return the number and the rows of a group, counted from 1.

        >>> Groups("abcdef", [(0, 4), (4, 6)], "train").name_of(1)
        'train: shard 2 (rows 5 to 6)'
        """
        first, end = self._spans[number]
        return f"{self._title or 'work'}: shard {number + 1} (rows {first + 1} to {end})"


def for_groups(
    build: Callable[[], Callable[[Item], Result]],
) -> Callable[[Sequence[Item]], list[Result]]:
    """Build a function of several items from that of one."""
    function = build()
    return lambda items: [function(item) for item in items]


class Computed(Sequence[Any]):
    """A sequence whose items are made when they are read, such as those of a shard.

    Args:
        length: number of items.
        make: returns an item by its number.
    """

    def __init__(self, length: int, make: Callable[[int], Any]) -> None:
        self._length = length
        self._make = make

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return [self._make(row) for row in range(*number.indices(self._length))]
        return self._make(number)

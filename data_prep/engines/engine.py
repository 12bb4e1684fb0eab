"""Which engine runs the units of work of a command, and with how many workers."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TypeAlias

LOCAL, RAY = "local", "ray"


@dataclass(frozen=True)
class Engine:
    """Where units of work are computed.

    Attributes:
        name: `local`, processes of this machine, or `ray`.
        workers: how many compute at once; None = one for each core, at most eight, or on a Ray
            cluster as many as its CPUs or GPUs allow.
        address: of a Ray cluster that is running, such as `10.0.0.1:6379` or `auto`; None = one of
            this machine alone, which ends with the process.
        gpus_per_worker: GPUs that each worker has for itself on a Ray cluster; a fraction shares
            one among several.
    """

    name: str = LOCAL
    workers: int | None = None
    address: str | None = None
    gpus_per_worker: float = 0.0

    def with_default(self, workers: int) -> Engine:
        """Return an engine with this number of workers if it is local and has none."""
        is_open = self.name == LOCAL and self.workers is None
        return replace(self, workers=workers) if is_open else self


# What functions take that work on many rows: a number of local workers, or an engine.
Workers: TypeAlias = "Engine | int | None"


def as_engine(workers: Workers) -> Engine:
    """Return an engine; a number is that of workers on this machine, None the default.

    >>> as_engine(2)
    Engine(name='local', workers=2, address=None, gpus_per_worker=0.0)
    """
    return workers if isinstance(workers, Engine) else Engine(workers=workers)


def default_workers() -> int:
    """Return the default number of workers on one machine: one per core, at most eight."""
    return min(8, os.cpu_count() or 1)

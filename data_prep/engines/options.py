"""The options of commands that run on an engine."""

from __future__ import annotations

import argparse
from typing import Any

from data_prep.engines.engine import LOCAL, RAY, Engine
from data_prep.engines.mapping import ENGINES
from data_prep.errors import CodedError
from data_prep.number_types import positive_int, positive_number

DEFAULT_WORKERS = "one for each core, at most 8"  # in a help; of `default_workers`


def add_engine_options(parser: argparse.ArgumentParser, workers: str) -> None:
    """Add `--workers` with the help `workers`, `--engine` and its options, as a group."""
    option = parser.add_argument_group("engine").add_argument
    option("--workers", type=positive_int, default=None, metavar="N", help=workers)
    engine = "processes of this machine, or a Ray cluster (extra ray) (default: local)"
    option("--engine", choices=tuple(ENGINES), default=LOCAL, help=engine)
    address = "address of a running Ray cluster, or auto (default: start one on this machine)"
    option("--ray-address", default=None, metavar="HOST:PORT", help=address)
    gpus = "GPUs for each worker on Ray, such as 1 or 0.5 (default: 0)"
    option("--gpus-per-worker", type=positive_number, default=None, metavar="X", help=gpus)


def take_engine(options: argparse.Namespace) -> Engine:
    """Return the engine of a command line, and remove its options from `options`.

    Raises:
        CodedError: an option of Ray without `--engine ray`.
    """
    given: dict[str, Any] = vars(options)
    name, workers = given.pop("engine"), given.pop("workers")
    address, gpus = given.pop("ray_address"), given.pop("gpus_per_worker")
    if name != RAY:
        idle = {"--ray-address": address, "--gpus-per-worker": gpus}
        for flag, value in idle.items():
            if value is not None:
                raise CodedError(
                    f"{flag}: is of --engine ray; give that, too, or leave it out", "option-idle"
                )
    return Engine(name, workers, address, gpus or 0.0)

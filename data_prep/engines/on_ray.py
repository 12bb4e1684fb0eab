"""A pool of Ray actors: on a cluster that is running, or on one of this machine alone."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from typing import Any

from data_prep.engines.engine import Engine, default_workers
from data_prep.engines.pool import Answer, Build, Outcome, Pool, Setup, Ticket, WorkerFunction
from data_prep.errors import CodedError

logger = logging.getLogger(__name__)

_MAX_FAILED_STARTS = 3  # one after another
_REMINDER_SECONDS = 60.0
_PATIENCE_SECONDS = 900.0  # an autoscaler may need minutes to add a machine


def open_ray(build: Build, engine: Engine, *, threads: bool) -> Pool:
    """Return actors, which are processes; a cluster of this machine is started if there is none.

    Raises:
        CodedError: Ray is not installed, there is no such cluster, or it has no GPU.
    """
    return RayPool(Setup(build), engine)


class RayPool:
    """Actors, each of which builds its function once: a model is loaded once in each.

    An actor that has ended, as with its machine, is replaced by a new one on any machine.

    Args:
        setup: of the actors.
        engine: with the address and the number of workers.
    """

    def __init__(self, setup: Setup, engine: Engine) -> None:
        self._ray = _import_ray()
        _connect(self._ray, engine)
        self.size = _size(self._ray, engine)
        resources = {"num_cpus": 1, "num_gpus": engine.gpus_per_worker}
        actor = self._ray.remote(_Actor)
        self._actor_class = actor.options(max_restarts=0, max_task_retries=0, **resources)
        self._setup = self._ray.put(setup)
        self._free: list[Any] = []
        self._starting: dict[Any, Any] = {}  # actor by the reference of its first answer
        self._busy: dict[Any, tuple[Any, Ticket]] = {}
        self._failed_starts = 0
        self._idle_since = time.monotonic()

    @property
    def is_free(self) -> bool:
        return bool(self._free)

    def submit(self, ticket: Ticket, unit: Any) -> None:
        actor = self._free.pop()
        self._busy[actor.compute.remote(unit)] = actor, ticket

    def wait(self) -> Sequence[Outcome]:
        while len(self._busy) + len(self._starting) + len(self._free) < self.size:
            actor = self._actor_class.remote(self._setup)
            self._starting[actor.is_ready.remote()] = actor
        waited_for = [*self._busy, *self._starting]
        ready, _ = self._ray.wait(waited_for, num_returns=1, timeout=_REMINDER_SECONDS)
        if not ready:
            self._check_progress()
            return []
        self._idle_since = time.monotonic()
        (reference,) = ready
        if reference in self._starting:
            self._finish_start(reference)
            return []
        actor, ticket = self._busy.pop(reference)
        answer, death = self._get(reference)
        if answer is not None:
            self._free.append(actor)
        return [Outcome(ticket, answer, death)]

    def _finish_start(self, reference: Any) -> None:
        actor = self._starting.pop(reference)
        answer, death = self._get(reference)
        if answer is not None:
            self._free.append(actor)
            self._failed_starts = 0
            return
        self._failed_starts += 1
        if self._failed_starts >= _MAX_FAILED_STARTS:
            raise CodedError(
                f"--engine ray: a worker cannot be started ({death}); install the same version of "
                "this package on every machine of the cluster",
                "worker-not-started",
            )

    def _get(self, reference: Any) -> tuple[Answer | None, str]:
        """Return an answer, or None and why there is none."""
        errors = self._ray.exceptions
        lost = (
            errors.RayActorError,  # the actor's process or machine
            errors.ObjectLostError,  # the machine that held the answer
            errors.OutOfMemoryError,
            errors.WorkerCrashedError,
            errors.NodeDiedError,
        )
        try:
            return self._ray.get(reference), ""
        except lost as error:
            lines = [line for line in str(error).splitlines() if line.strip()]
            return None, lines[-1].strip() if lines else type(error).__name__

    def _check_progress(self) -> None:
        """Log that no worker is there; raise once that has lasted for too long."""
        if self._busy:
            return
        waited = time.monotonic() - self._idle_since
        logger.warning(
            "no worker of the Ray cluster is free since %.0f s; it has %s", waited, self._resources
        )
        if waited > _PATIENCE_SECONDS:
            raise CodedError(
                f"--engine ray: the cluster has had no free CPU or GPU for {waited / 60:.0f} "
                "minutes; add a machine, or end what runs on it",
                "ray-resources",
            )

    @property
    def _resources(self) -> str:
        total = self._ray.cluster_resources()
        return f"{total.get('CPU', 0):g} CPUs and {total.get('GPU', 0):g} GPUs"

    def close(self) -> None:
        for actor in (*self._free, *self._starting.values(), *(a for a, _ in self._busy.values())):
            self._ray.kill(actor)
        self._free.clear()
        self._starting.clear()
        self._busy.clear()


class _Actor:
    """What an actor runs: the function that its setup builds."""

    def __init__(self, setup: Setup) -> None:
        self._function = WorkerFunction(setup)

    def is_ready(self) -> Answer:
        return Answer(True)

    def compute(self, unit: Any) -> Answer:
        return self._function(unit)


def _import_ray() -> Any:
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise CodedError(
            f"--engine ray: needs Ray ({error}); install the extra ray", "package-missing"
        ) from error
    return ray


def _connect(ray: Any, engine: Engine) -> None:
    """Connect to a cluster, or start one of this machine; it ends with the process."""
    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False}
    address = engine.address or os.environ.get("RAY_ADDRESS")
    if address is None:
        size = engine.workers or default_workers()
        ray.init("local", num_cpus=size, include_dashboard=False, **quiet)
        return
    try:
        ray.init(address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CodedError(
            f"--ray-address {address}: no cluster answers there ({reason}); start one by `ray "
            "start --head`, or leave the option out",
            "ray-unreachable",
        ) from error


def _size(ray: Any, engine: Engine) -> int:
    """Return the number of workers: as given, or as many as fit into the cluster now."""
    total = ray.cluster_resources()
    n_gpus = total.get("GPU", 0.0)
    if engine.gpus_per_worker > n_gpus:
        raise CodedError(
            f"--gpus-per-worker {engine.gpus_per_worker:g}: the cluster has {n_gpus:g} GPUs; leave "
            "the option out, or add a machine with a GPU",
            "ray-resources",
        )
    if engine.workers is not None:
        return engine.workers
    capacity = total.get("CPU", 1.0)
    if engine.gpus_per_worker:
        capacity = min(capacity, n_gpus / engine.gpus_per_worker)
    return max(1, int(capacity))

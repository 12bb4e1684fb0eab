"""Metrics of a server for Prometheus, of one process or summed over several."""

import os

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from emo_fairseq.serving.meter import Meter

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # in which the library shares the values of several processes
CONTENT_TYPE = CONTENT_TYPE_LATEST
_NAMESPACE = "emo_fairseq"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class PrometheusMeter(Meter):
    """Keeps measurements as metrics, whose names begin with ``emo_fairseq_``."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "http_requests",
            "Requests by route and status.",
            ("method", "route", "status"),
            namespace=_NAMESPACE,
            registry=registry,
        )
        self._seconds = Histogram(
            "http_request_duration_seconds",
            "Seconds from the headers of a request to the end of its response.",
            ("method", "route"),
            namespace=_NAMESPACE,
            registry=registry,
            buckets=_SECONDS,
        )
        self._batches = Histogram(
            "batch_size",
            "Requests that are computed together.",
            namespace=_NAMESPACE,
            registry=registry,
            buckets=_SIZES,
        )
        self._running = self._gauge("http_requests_in_progress", "Requests in progress.")
        self._waiting = self._gauge("queue_length", "Requests that wait for a thread.")
        self._live = self._gauge("live_conversations", "Live conversations that are connected.")

    def _gauge(self, name: str, about: str) -> Gauge:
        return Gauge(
            name,
            about,
            registry=self._registry,
            namespace="emo_fairseq",
            multiprocess_mode="livesum",
        )

    def request_began(self) -> None:
        self._running.inc()

    def request_ended(self, method: str, route: str, status: int, seconds: float) -> None:
        self._running.dec()
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def batch_began(self, size: int) -> None:
        self._batches.observe(size)

    def queue_changed(self, n: int) -> None:
        self._waiting.inc(n)

    def live_changed(self, n: int) -> None:
        self._live.inc(n)

    def exposition(self) -> bytes:
        """Return all metrics in the text format; of all processes, if there are several."""
        registry = self._registry
        if FOLDER in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)
        return generate_latest(registry)

"""Rate, errors and duration (RED) of each endpoint, for Prometheus.

FastAPI's instrumentation measures ``http.server.request.duration``; here it is given this process's registry.
OpenTelemetry's SDK and exporter would lead it there, too, for 2 MB in every process.
"""

import functools
from typing import Any

from opentelemetry import metrics
from opentelemetry.metrics import NoOpHistogram, NoOpMeter, NoOpMeterProvider
from opentelemetry.util.types import Attributes
from prometheus_client import Histogram

DURATION = "http.server.request.duration"
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""From reading a row to receiving a photo over a slow line; 0.25 and 0.5 are limits of the design."""

LABELS = ("http.request.method", "http.route", "http.response.status_code")


class _Duration(NoOpHistogram):
    def __init__(self, name: str, description: str) -> None:
        super().__init__(name, "s", description)
        labels = [label.replace(".", "_") for label in LABELS]
        self._histogram = Histogram(
            f"{name.replace('.', '_')}_seconds", description, labels, buckets=BUCKETS_S
        )

    def record(self, amount: float, attributes: Attributes = None, context: object = None) -> None:
        known = attributes or {}
        self._histogram.labels(*(known.get(label, "") for label in LABELS)).observe(amount)


class _Meter(NoOpMeter):
    def create_histogram(self, name: str, *more: Any, **others: Any) -> metrics.Histogram:
        return _duration() if name == DURATION else super().create_histogram(name, *more, **others)


class _Durations(NoOpMeterProvider):
    def get_meter(self, name: str, *more: Any, **others: Any) -> metrics.Meter:
        return _Meter(name)


@functools.cache
def _duration() -> _Duration:
    return _Duration(DURATION, "Duration of HTTP server requests.")


@functools.cache
def measure_requests() -> None:
    """Export the histogram of requests with this process's other metrics, and nothing else of its library."""
    metrics.set_meter_provider(_Durations())

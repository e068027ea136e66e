"""Rate, errors and duration (RED) of each endpoint, for Prometheus.

FastAPI's instrumentation measures ``http.server.request.duration``; here it gets a way to the metrics port.
"""

import functools

from opentelemetry import metrics
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.view import DropAggregation, ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""From reading a row to receiving a photo over a slow line; 0.25 and 0.5 are limits of the design."""

LABELS = {"http.request.method", "http.route", "http.response.status_code"}


@functools.cache
def measure_requests() -> None:
    """Export the histogram of requests with this process's other metrics, and nothing else of its library."""
    duration = View(
        instrument_name="http.server.request.duration",
        attribute_keys=LABELS,
        aggregation=ExplicitBucketHistogramAggregation(BUCKETS_S),
    )
    others = View(instrument_name="*", aggregation=DropAggregation())
    reader = PrometheusMetricReader(disable_target_info=True, scope_info_enabled=False)
    metrics.set_meter_provider(
        MeterProvider(
            metric_readers=[reader],
            resource=Resource.get_empty(),
            views=[duration, others],
            shutdown_on_exit=False,
        )
    )

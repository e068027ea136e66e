"""The second dashboard: rate, errors and duration of every endpoint and every handler."""

from laundry.deploy.dashboards.panels import NOT_DONE, Dashboard, Row, durations, quantile, requests, series

ENDPOINTS = Row(
    "Endpoints",
    (
        series(
            "Rate",
            "Requests a second.",
            (
                f"sum by (job, http_request_method, http_route) ({requests('count')})",
                "{{job}} {{http_request_method}} {{http_route}}",
            ),
            unit="reqps",
        ),
        series(
            "Errors",
            "Answers from 400 on, a second: 4xx is what callers did, 5xx is ours.",
            (
                f"sum by (job, http_response_status_code, http_route) ({requests('count', NOT_DONE)})",
                "{{job}} {{http_response_status_code}} {{http_route}}",
            ),
            unit="reqps",
        ),
        *durations(
            "request",
            "",
            requests("bucket"),
            "job, http_request_method, http_route",
            "{{job}} {{http_request_method}} {{http_route}}",
        ),
    ),
)

HANDLERS = Row(
    "Handlers",
    (
        series(
            "Rate",
            "Messages a second, by queue.",
            ("sum by (queue) (rate(laundry_events_consumed_total[5m]))", "{{queue}}"),
        ),
        series(
            "Errors",
            "What was not handled at once, a second: retried, dead-lettered, deferred, returned.",
            (
                'sum by (queue, outcome) (rate(laundry_events_consumed_total{outcome!="ok"}[5m]))',
                "{{queue}} {{outcome}}",
            ),
        ),
        *durations(
            "message",
            ", waiting for a server that is away included",
            "rate(laundry_events_handling_seconds_bucket[5m])",
            "queue",
            "{{queue}}",
        ),
        series(
            "Reading a photo, 99 %",
            "In the worker thread: checking, decoding and reading.",
            (quantile(0.99, "rate(laundry_photo_reading_seconds_bucket[5m])"), "reading"),
            unit="s",
        ),
        series(
            "Upload, by stage, 99 %",
            "Where the time of an upload goes.",
            (quantile(0.99, "rate(laundry_helper_upload_seconds_bucket[5m])", "stage"), "{{stage}}"),
            unit="s",
        ),
    ),
)

SERVICES = Dashboard(
    "laundry-services",
    "Laundry: endpoints and handlers",
    "Rate, errors and duration of every endpoint and every handler.",
    (ENDPOINTS, HANDLERS),
)

"""The dashboards, as data: what Grafana shows, tests ask a Prometheus for, and ``make pages`` draws.

The first answers in order: is it working, where is it stuck, since when, whose fault. The second has the
rate, errors and duration of every endpoint and handler.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from laundry.deploy.chart import CHART

FOLDER = CHART / "files" / "dashboards"

# Event streams last until their page is closed.
ANSWERED = 'http_route!~".*(stream|events)$"'
FAILED, NOT_DONE = 'http_response_status_code=~"5.."', 'http_response_status_code=~"[45].."'


@dataclass(frozen=True, slots=True)
class Query:
    """What Prometheus is asked, and what each of its series is called (``{{label}}``)."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """Series over time, or with ``number`` their last values.

    Attributes:
        unit: as Grafana names it (``s``, ``short``, ``percentunit``, ``bytes``, ``reqps``).
        bad_from: from this value on it is red; ``bad_below``: below it.
    """

    title: str
    text: str
    queries: tuple[Query, ...]
    unit: str = "short"
    number: bool = False
    bad_from: float | None = None
    bad_below: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Panels that answer one question."""

    question: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A page of Grafana; ``uid`` is its address there."""

    uid: str
    title: str
    text: str
    rows: tuple[Row, ...] = field(repr=False)

    @property
    def queries(self) -> Iterator[tuple[Panel, Query]]:
        """Every query with its panel."""
        return ((panel, query) for row in self.rows for panel in row.panels for query in panel.queries)


def _number(title: str, text: str, expr: str, **more: object) -> Panel:
    return Panel(title, text, (Query(expr, ""),), number=True, **more)  # type: ignore[arg-type]


def _series(title: str, text: str, *queries: tuple[str, str], unit: str = "short") -> Panel:
    return Panel(title, text, tuple(Query(*each) for each in queries), unit)


def _requests(what: str, *matchers: str) -> str:
    return f"rate(http_server_request_duration_seconds_{what}{{{','.join((ANSWERED, *matchers))}}}[5m])"


def _quantile(share: float, rate: str, by: str = "") -> str:
    labels = ", ".join(filter(None, ("le", by)))
    return f"histogram_quantile({share}, sum by ({labels}) ({rate}))"


WORKING = Row(
    "Is it working?",
    (
        _number(
            "Processes away",
            "Processes that Prometheus cannot ask. 0 is well.",
            "sum(up == bool 0)",
            bad_from=1,
        ),
        _number(
            "Alerts that ring",
            "Without the watchdog, which always rings.",
            'count(ALERTS{alertstate="firing",alertname!="LaundryWatchdog"}) or vector(0)',
            bad_from=1,
        ),
        _number(
            "Requests answered",
            "Share of all requests that were not answered with an error of ours (5xx).",
            f"1 - (sum({_requests('count', FAILED)}) or vector(0)) / sum({_requests('count')})",
            unit="percentunit",
            bad_below=0.999,
        ),
        _number(
            "Photos read",
            "A minute, over the last five.",
            "60 * sum(rate(laundry_photos_read_total[5m]))",
        ),
        _number(
            "A fault's push, 99 %",
            "From a fault's detection to the push service's answer. The objective is 15 s.",
            _quantile(0.99, "rate(laundry_fault_push_seconds_bucket[5m])"),
            unit="s",
            bad_from=15,
        ),
        _number(
            "Dead letters",
            "Messages that wait for a person.",
            "sum(max by (queue) (laundry_dead_letters))",
            bad_from=1,
        ),
    ),
)

STUCK = Row(
    "Where is it stuck?",
    (
        _series(
            "Messages in a queue",
            "Ready, and taken but not finished.",
            ("max by (queue) (laundry_queue_messages)", "{{queue}}"),
        ),
        _series(
            "Oldest message of a queue",
            "About how long the oldest message has waited.",
            ("max by (queue) (laundry_queue_oldest_seconds)", "{{queue}}"),
            unit="s",
        ),
        _series(
            "Consumers of a queue",
            "0 means that nobody takes its messages.",
            ("max by (queue) (laundry_queue_consumers)", "{{queue}}"),
        ),
        _series(
            "Outboxes",
            "Events that are stored and not yet published: rows, by service.",
            ("max by (job) (laundry_outbox_waiting)", "{{job}}"),
        ),
        _series(
            "Faults that wait for a phone",
            "The oldest fault that nobody was told of.",
            ("max(laundry_faults_waiting_oldest_seconds)", "oldest"),
            unit="s",
        ),
        _series(
            "Consuming held",
            "1 while messages are held as a server is away, or a publisher by an alarm of the broker.",
            ("max by (job, dependency) (laundry_consumer_paused)", "{{job}} waits for {{dependency}}"),
            ("max by (job) (laundry_publisher_blocked)", "{{job}}: broker blocks"),
        ),
    ),
)

SINCE = Row(
    "Since when?",
    (
        _series(
            "Alerts",
            "Each line begins when its alert began to ring. The watchdog always rings.",
            ('max by (alertname) (ALERTS{alertstate="firing"})', "{{alertname}}"),
        ),
        _series(
            "In and out",
            "Messages published and handled a second: they part where something began to be stuck.",
            ("sum(rate(laundry_events_published_total[5m]))", "published"),
            ('sum(rate(laundry_events_consumed_total{outcome="ok"}[5m]))', "handled"),
        ),
        _series(
            "Oldest event of an outbox",
            "It grows by a second a second from the moment on at which publishing stopped.",
            ("max by (job) (laundry_outbox_oldest_seconds)", "{{job}}"),
            unit="s",
        ),
        _series(
            "Oldest unfinished message",
            "Taken and neither acknowledged nor returned, by what it waits for.",
            (
                "max by (queue, state) (laundry_consumer_oldest_unacked_seconds)",
                "{{queue}} {{state}}",
            ),
            unit="s",
        ),
        _series(
            "Processes started",
            "Age of each process: a restart is a fall to 0.",
            ("min by (job) (time() - process_start_time_seconds)", "{{job}}"),
            unit="s",
        ),
        _series(
            "Models served",
            "Replicas by the model version that they read with.",
            ("count by (version) (laundry_model_served == 1)", "{{version}}"),
        ),
    ),
)

FAULT = Row(
    "Whose fault?",
    (
        _series(
            "Requests that failed, by service",
            "Errors of ours (5xx) a second.",
            (
                f"sum by (job) ({_requests('count', FAILED)}) or 0 * sum by (job) ({_requests('count')})",
                "{{job}}",
            ),
            unit="reqps",
        ),
        _series(
            "Messages that failed, by queue",
            "Retried, dead or returned, a second.",
            (
                'sum by (queue) (rate(laundry_events_consumed_total{outcome!="ok"}[5m]))'
                " or 0 * sum by (queue) (rate(laundry_events_consumed_total[5m]))",
                "{{queue}}",
            ),
        ),
        _series(
            "Servers that were away",
            "How often messages had to be held, by the server that they wait for, in an hour.",
            ("sum by (dependency) (increase(laundry_consumer_outages_total[1h]))", "{{dependency}}"),
        ),
        _series(
            "Publishes that failed",
            "unavailable: the broker; refused: a full queue; unroutable: the topology.",
            ("sum by (cause) (rate(laundry_events_publish_failed_total[5m]))", "{{cause}}"),
        ),
        _series(
            "Push services",
            "Pushes a second by verdict: later and refused are theirs, or our credentials'.",
            ("sum by (verdict) (rate(laundry_push_requests_total[5m]))", "FCM: {{verdict}}"),
        ),
        _series(
            "Requests that a service did not answer",
            "As the pages saw it.",
            ("sum by (service) (rate(laundry_web_upstream_failures_total[5m]))", "{{service}}"),
        ),
        _series(
            "Broker: room",
            "Free disk over its limit (below 2 is little), and memory over its limit (1 blocks publishers).",
            (
                "min(rabbitmq_disk_space_available_bytes / rabbitmq_disk_space_available_limit_bytes)",
                "disk",
            ),
            (
                "max(rabbitmq_process_resident_memory_bytes / rabbitmq_resident_memory_limit_bytes)",
                "memory",
            ),
        ),
        _series(
            "Processor",
            "Cores in use, by service.",
            ("sum by (job) (rate(process_cpu_seconds_total[5m]))", "{{job}}"),
        ),
        _series(
            "Memory",
            "Resident, the largest replica of each service.",
            ("max by (job) (process_resident_memory_bytes)", "{{job}}"),
            unit="bytes",
        ),
        _series(
            "Refused callers",
            "Requests and logins that were denied, in ten minutes, by why.",
            ("sum by (code) (increase(laundry_denials_total[10m]))", "{{code}}"),
        ),
    ),
)

ENDPOINTS = Row(
    "Endpoints",
    (
        _series(
            "Rate",
            "Requests a second.",
            (
                f"sum by (job, http_request_method, http_route) ({_requests('count')})",
                "{{job}} {{http_request_method}} {{http_route}}",
            ),
            unit="reqps",
        ),
        _series(
            "Errors",
            "Answers from 400 on, a second: 4xx is what callers did, 5xx is ours.",
            (
                f"sum by (job, http_response_status_code, http_route) ({_requests('count', NOT_DONE)})",
                "{{job}} {{http_response_status_code}} {{http_route}}",
            ),
            unit="reqps",
        ),
        _series(
            "Duration, half",
            "Half of the requests take no longer.",
            (
                _quantile(0.5, _requests("bucket"), "job, http_request_method, http_route"),
                "{{job}} {{http_request_method}} {{http_route}}",
            ),
            unit="s",
        ),
        _series(
            "Duration, 99 %",
            "One request in a hundred takes longer.",
            (
                _quantile(0.99, _requests("bucket"), "job, http_request_method, http_route"),
                "{{job}} {{http_request_method}} {{http_route}}",
            ),
            unit="s",
        ),
    ),
)

HANDLERS = Row(
    "Handlers",
    (
        _series(
            "Rate",
            "Messages a second, by queue.",
            ("sum by (queue) (rate(laundry_events_consumed_total[5m]))", "{{queue}}"),
        ),
        _series(
            "Errors",
            "What was not handled at once, a second: retried, dead-lettered, deferred, returned.",
            (
                'sum by (queue, outcome) (rate(laundry_events_consumed_total{outcome!="ok"}[5m]))',
                "{{queue}} {{outcome}}",
            ),
        ),
        _series(
            "Duration, half",
            "Half of the messages take no longer, waiting for a server that is away included.",
            (_quantile(0.5, "rate(laundry_events_handling_seconds_bucket[5m])", "queue"), "{{queue}}"),
            unit="s",
        ),
        _series(
            "Duration, 99 %",
            "One message in a hundred takes longer.",
            (_quantile(0.99, "rate(laundry_events_handling_seconds_bucket[5m])", "queue"), "{{queue}}"),
            unit="s",
        ),
        _series(
            "Reading a photo, 99 %",
            "In the worker thread: checking, decoding and reading.",
            (_quantile(0.99, "rate(laundry_photo_reading_seconds_bucket[5m])"), "reading"),
            unit="s",
        ),
        _series(
            "Upload, by stage, 99 %",
            "Where the time of an upload goes.",
            (_quantile(0.99, "rate(laundry_helper_upload_seconds_bucket[5m])", "stage"), "{{stage}}"),
            unit="s",
        ),
    ),
)

DASHBOARDS = (
    Dashboard(
        "laundry-overview",
        "Laundry: is it working?",
        "In order: is it working, where is it stuck, since when, whose fault.",
        (WORKING, STUCK, SINCE, FAULT),
    ),
    Dashboard(
        "laundry-services",
        "Laundry: endpoints and handlers",
        "Rate, errors and duration of every endpoint and every handler.",
        (ENDPOINTS, HANDLERS),
    ),
)

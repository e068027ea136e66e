"""What a dashboard is made of, and the queries that its panels have in common."""

from collections.abc import Iterator
from dataclasses import dataclass, field

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


def number(title: str, text: str, expr: str, **more: object) -> Panel:
    """Make a panel with one value, the last."""
    return Panel(title, text, (Query(expr, ""),), number=True, **more)  # type: ignore[arg-type]


def series(title: str, text: str, *queries: tuple[str, str], unit: str = "short") -> Panel:
    """Make a panel over time of queries and their legends."""
    return Panel(title, text, tuple(Query(*each) for each in queries), unit)


def requests(what: str, *matchers: str) -> str:
    """Return the rate of a part of the request histogram, ``count`` or ``bucket``, without event streams."""
    return f"rate(http_server_request_duration_seconds_{what}{{{','.join((ANSWERED, *matchers))}}}[5m])"


def quantile(share: float, rate: str, by: str = "") -> str:
    """Return the query for a quantile of a histogram, per value of the labels ``by``."""
    labels = ", ".join(filter(None, ("le", by)))
    return f"histogram_quantile({share}, sum by ({labels}) ({rate}))"


def durations(what: str, more: str, rate: str, by: str, legend: str) -> tuple[Panel, Panel]:
    """Make the panels of how long half and 99 % of ``what`` take at most."""
    return (
        series(
            "Duration, half",
            f"Half of the {what}s take no longer{more}.",
            (quantile(0.5, rate, by), legend),
            unit="s",
        ),
        series(
            "Duration, 99 %",
            f"One {what} in a hundred takes longer.",
            (quantile(0.99, rate, by), legend),
            unit="s",
        ),
    )

"""Writes the dashboards as Grafana reads them, with Grafana's own builders."""

import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from grafana_foundation_sdk.builders import common, prometheus, stat, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import BigValueColorMode, LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import DataSourceRef, Threshold, ThresholdsMode

from laundry.deploy.dashboards import DASHBOARDS, FOLDER
from laundry.deploy.dashboards.panels import Dashboard, Panel, Query, Row

SOURCE = DataSourceRef("prometheus", "${source}")
EVERY_NAMESPACE = ".*"
"""What the chart replaces by its own. Where nothing is said of a namespace, as in Compose, it fits too."""

OURS = re.compile(r"\b((?:laundry|process|http_server)_[a-z_]+|up|ALERTS)\b(\{)?")
"""Series that others of a cluster may have too; a broker may be in another namespace."""

COLUMNS = 24
NUMBERS_IN_A_LINE, SERIES_IN_A_LINE = 6, 3
NUMBER_HEIGHT, SERIES_HEIGHT = 4, 8


def files() -> Iterator[tuple[Path, str]]:
    """Yield each dashboard's file and its text."""
    for dashboard in DASHBOARDS:
        yield FOLDER / f"{dashboard.uid}.json", text_of(dashboard)


def text_of(dashboard: Dashboard) -> str:
    """Return a dashboard as JSON; its data source is picked on the page."""
    page = (
        build.Dashboard(dashboard.title)
        .uid(dashboard.uid)
        .description(dashboard.text)
        .tags(["laundry"])
        .editable()
        .refresh("30s")
        .time("now-3h", "now")
        .timezone("browser")
        .with_variable(build.DatasourceVariable("source").label("Prometheus").type("prometheus"))
        .with_variable(
            build.TextBoxVariable("namespace").label("Namespace (pattern)").default_value(EVERY_NAMESPACE)
        )
    )
    numbers = count(1)
    for row in dashboard.rows:
        page = page.with_row(build.Row(row.question).id(next(numbers)))
        for panel in row.panels:
            page = page.with_panel(_panel(panel, row).id(next(numbers)))
    return JSONEncoder(sort_keys=True, indent=1).encode(page.build()) + "\n"


def in_namespace(expr: str, namespace: str = "$namespace") -> str:
    """Return a query that looks at the series of these namespaces alone (a pattern)."""
    matcher = f'{{namespace=~"{namespace}"'
    return OURS.sub(lambda found: f"{found[1]}{matcher}{',' if found[2] else '}'}", expr)


def _panel(panel: Panel, row: Row) -> stat.Panel | timeseries.Panel:
    made = _number(panel) if panel.number else _series(panel)
    in_a_line = NUMBERS_IN_A_LINE if panel.number else SERIES_IN_A_LINE
    made = (
        made.title(panel.title)
        .description(panel.text)
        .unit(panel.unit)
        .datasource(SOURCE)
        .height(NUMBER_HEIGHT if panel.number else SERIES_HEIGHT)
        .span(COLUMNS // min(in_a_line, len(row.panels)))
    )
    for number, query in enumerate(panel.queries):
        made = made.with_target(_target(query, chr(ord("A") + number), instant=panel.number))
    return made


def _target(query: Query, name: str, *, instant: bool) -> prometheus.Dataquery:
    target = prometheus.Dataquery().ref_id(name).expr(in_namespace(query.expr)).legend_format(query.legend)
    return target.instant() if instant else target.range()


def _number(panel: Panel) -> stat.Panel:
    return stat.Panel().color_mode(BigValueColorMode.BACKGROUND).thresholds(_thresholds(panel))


def _thresholds(panel: Panel) -> build.ThresholdsConfig:
    steps = [Threshold(None, "red" if panel.bad_below is not None else "green")]
    if panel.bad_below is not None:
        steps.append(Threshold(panel.bad_below, "green"))
    if panel.bad_from is not None:
        steps.append(Threshold(panel.bad_from, "red"))
    return build.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def _series(panel: Panel) -> timeseries.Panel:
    legend = (
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
    )
    return timeseries.Panel().min(0).fill_opacity(5).legend(legend)

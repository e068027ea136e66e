"""Draws each dashboard from a Prometheus that scrapes a stack (``make pages``): Grafana is not needed."""

import asyncio
import math
from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from laundry.demo.photos import sample_photos
from laundry.demo.story import Story
from laundry.deploy.dashboards import DASHBOARDS
from laundry.deploy.dashboards.panels import Dashboard, Panel
from laundry.paths import PROJECT
from laundry_lab.prometheus import Prometheus, scraping

pytestmark = [pytest.mark.stack, pytest.mark.servers, pytest.mark.timeout(420)]

FOLDER = PROJECT / "build" / "pages" / "dashboards"
COLUMNS = 3
SHOWN_S = 60
STEPS = 60


async def test_draw_every_dashboard(stack: dict[str, Any], story: Story, tmp_path: Path) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with scraping(stack, tmp_path) as asked:
        await story.register_phones()
        await story.break_a_washer()
        await story.state_a_preference()
        for turn in range(4):
            before = await story.shares()
            await story.upload(sample_photos(3, seed=turn), lambda: None)
            await story.wait_for_readings(before, lambda: None)
            await asyncio.sleep(5)
        await story.fail_a_message()
        await asyncio.sleep(5)
        for dashboard in DASHBOARDS:
            file = FOLDER / f"{dashboard.uid}.png"
            await asyncio.to_thread(_draw, asked, dashboard, file)
            assert file.stat().st_size > 10_000


def _draw(asked: Prometheus, dashboard: Dashboard, file: Path) -> None:
    lines = [math.ceil(len(row.panels) / COLUMNS) for row in dashboard.rows]
    figure = Figure(figsize=(18, 3.4 * sum(lines) + 1), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{dashboard.title}\n{dashboard.text}", fontsize=14)
    parts = figure.subfigures(len(dashboard.rows), 1, height_ratios=lines, squeeze=False)[:, 0]
    for row, part, height in zip(dashboard.rows, parts, lines, strict=True):
        part.suptitle(row.question, fontsize=13, x=0.01, ha="left", fontweight="bold")
        axes = part.subplots(height, COLUMNS, squeeze=False).flat
        for panel in row.panels:
            _panel(asked, panel, next(axes))
        for rest in axes:
            rest.set_axis_off()
    figure.savefig(file, dpi=80)


def _panel(asked: Prometheus, panel: Panel, axis: Axes) -> None:
    axis.set_title(panel.title, fontsize=10)
    if panel.number:
        axis.set_axis_off()
        found = asked.ask(panel.queries[0].expr)
        shown = f"{float(found[0]['value'][1]):.3g}" if found else "no data"
        axis.text(
            0.5, 0.5, f"{shown} {panel.unit if panel.unit != 'short' else ''}", fontsize=24, ha="center"
        )
        return
    for query in panel.queries:
        for series in asked.range(query.expr, seconds=SHOWN_S, steps=STEPS):
            began = series["values"][0][0]
            axis.plot(
                [at - began for at, _ in series["values"]],
                [float(value) for _, value in series["values"]],
                label=_name(query.legend, series["metric"]),
                linewidth=1,
            )
    axis.set_ylabel(panel.unit, fontsize=7)
    axis.tick_params(labelsize=7)
    if axis.lines:
        axis.legend(fontsize=5, ncols=2, loc="upper left")


def _name(legend: str, labels: dict[str, str]) -> str:
    for name, value in labels.items():
        legend = legend.replace("{{" + name + "}}", value)
    return legend

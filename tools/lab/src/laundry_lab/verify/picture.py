"""The verification as one picture."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from laundry_lab.verify.outcomes import Series, Verification

INK, SECOND, ALARM = "#1b4965", "#62b6cb", "#c1121f"


def draw(found: Verification, path: Path) -> None:
    """Write a PNG with what was measured; a panel that was not measured says so."""
    figure = Figure(figsize=(13, 8), layout="constrained")
    axes = figure.subplots(2, 2)
    series = found.series
    _publish(axes[0][0], series)
    _push(axes[0][1], series)
    _backlog(axes[1][0], series)
    _uploads(axes[1][1], series)
    conclusion = "everything asked holds" if found.passed else "not everything asked holds"
    figure.suptitle(f"DD-02 §4.4.2.4, {found.began_at:%Y-%m-%d %H:%M} UTC: {conclusion}")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _empty(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left")
    axes.text(0.5, 0.5, "not measured", ha="center", va="center", transform=axes.transAxes, color=ALARM)
    axes.set_axis_off()


def _publish(axes: Axes, series: Series) -> None:
    title = "Publish one event, confirmed (ms)"
    if not series.publish_s:
        return _empty(axes, title)
    taken = sorted(1000 * each for each in series.publish_s)
    shown = taken[: max(1, int(0.995 * len(taken)))]
    axes.hist(shown, bins=60, color=INK)
    mean = sum(taken) / len(taken)
    axes.axvline(mean, color=ALARM, label=f"mean {mean:.2f} ms (asked ≤10)")
    axes.set_title(title, loc="left")
    axes.set_ylabel("events")
    axes.legend(frameon=False)
    return None


def _push(axes: Axes, series: Series) -> None:
    title = "Fault reported → push, one fault after another (s)"
    if not series.push_s:
        return _empty(axes, title)
    axes.plot(range(1, len(series.push_s) + 1), series.push_s, ".", color=INK)
    axes.axhline(1, color=ALARM, linestyle="--", label="aim for p99: 1 s (asked: all ≤15 s)")
    axes.set_ylim(0, max(1.1, max(series.push_s) * 1.1))
    axes.set_title(title, loc="left")
    axes.set_xlabel("fault")
    axes.legend(frameon=False)
    return None


def _backlog(axes: Axes, series: Series) -> None:
    title = "Tasks waiting in task.submitted"
    if not series.backlog:
        return _empty(axes, title)
    axes.plot([at for at, _ in series.backlog], [count for _, count in series.backlog], color=INK)
    _marks(axes, series.marks)
    axes.set_title(title, loc="left")
    axes.set_xlabel("seconds")
    axes.set_ylim(bottom=0)
    return None


def _uploads(axes: Axes, series: Series) -> None:
    title = "Uploads while MLOps is changed (s)"
    if not series.uploads:
        return _empty(axes, title)
    axes.plot([at for at, _ in series.uploads], [each for _, each in series.uploads], ".", color=INK)
    _marks(axes, series.upload_marks)
    axes.set_title(title, loc="left")
    axes.set_xlabel("seconds")
    axes.set_ylim(bottom=0)
    return None


def _marks(axes: Axes, marks: list[tuple[float, str]]) -> None:
    for at, text in marks:
        axes.axvline(at, color=SECOND, linewidth=1)
        axes.text(
            at,
            0.98,
            f" {text}",
            rotation=90,
            va="top",
            fontsize=8,
            color=ALARM,
            transform=axes.get_xaxis_transform(),
        )

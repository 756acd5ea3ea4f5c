"""The picture of a run: a card that is readable on light and on dark pages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tests.benchmarks.report import Circumstances
from tests.benchmarks.results import OURS, Results, Summary
from tests.benchmarks.workloads import WORKLOADS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_KAZOO: Final = (OURS, "stock gevent", "threads")
_EVERYBODY: Final = (*_KAZOO, "aiozk", "bare socket")

_CARD, _BORDER = "#f4f5f7", "#c3c8d0"
_TEXT, _FAINT, _ALARM = "#1d2430", "#5b6472", "#b3261e"
_COLOURS: Final = {OURS: "#0b7a5c", "bare socket": "#c9ced6"}
_OTHERS: Final = "#7d8fa8"
_HEADING: Final[dict[str, Any]] = {"size": 12, "weight": "bold", "va": "top"}

# Inches.
_BAR = 0.3
_GAP = 0.42
_TITLES = 0.55
_MARGIN = 0.3
_NAMES = 1.35
_CAPTION = 0.62
_WIDTH: Final = 13.0

_DOTS_PER_INCH: Final = 140
_ROOM_FOR_VALUES: Final = 1.6
"""How much wider a chart is than its longest bar."""


class Panel(NamedTuple):
    """A small chart: one number that a workload yields, of each contender."""

    workload: str
    metric: str
    title: str


class Row(NamedTuple):
    """Charts side by side, with a bar for each contender."""

    title: str
    contenders: tuple[str, ...]
    panels: tuple[Panel, ...]


def _of_all(metric: str) -> tuple[Panel, ...]:
    return (
        Panel("get", metric, "get after get"),
        Panel("set", metric, "set after set"),
        Panel("getters", metric, "100 greenlets get"),
        Panel("flight", metric, "10,000 gets in flight"),
        Panel("create", metric, "2,000 creates in flight"),
    )


_ROWS: Final = (
    Row("Operations a second: more is better", _EVERYBODY, _of_all("rate")),
    Row("CPU time of the client, µs an operation: less is better", _EVERYBODY, _of_all("cpu")),
    Row(
        "A loop issues 20,000 gets: how late is a 2 ms ticker?  500 connected clients: "
        "what do they take?  Less is better",
        _KAZOO,
        (
            Panel("flooding", "p99", "late at p99, ms"),
            Panel("flooding", "worst", "late at most, ms"),
            Panel("fleet", "threads", "native threads"),
            Panel("fleet", "memory", "KiB a client"),
            Panel("fleet", "idle", "% CPU when idle"),
        ),
    ),
)

_HEIGHT: Final = (
    2 * _MARGIN + _CAPTION + sum(_TITLES + _BAR * len(row.contenders) + _GAP for row in _ROWS)
)


def draw(results: Results, circumstances: Circumstances, file: Path) -> None:
    """Draw what there are results of."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(_WIDTH, _HEIGHT), facecolor=_CARD)
    top = _HEIGHT - _MARGIN
    for row in _ROWS:
        figure.text(_MARGIN / _WIDTH, top / _HEIGHT, row.title, color=_TEXT, **_HEADING)
        top -= _TITLES
        bottom = top - _BAR * len(row.contenders)
        _draw_row(row, figure, (top / _HEIGHT, bottom / _HEIGHT), results)
        top = bottom - _GAP
    caption = _caption(circumstances)
    figure.text(_MARGIN / _WIDTH, top / _HEIGHT, caption, color=_FAINT, size=8.5, va="top")
    figure.savefig(file, dpi=_DOTS_PER_INCH)


def _draw_row(row: Row, figure: Figure, ends: tuple[float, float], results: Results) -> None:
    grid = figure.add_gridspec(
        1,
        len(row.panels),
        left=_NAMES / _WIDTH,
        right=1 - _MARGIN / _WIDTH,
        top=ends[0],
        bottom=ends[1],
        wspace=0.06,
    )
    for place, panel in enumerate(row.panels):
        axes = figure.add_subplot(grid[0, place])
        _draw_panel(panel, axes, row.contenders, results)
        names = row.contenders if place == 0 else [""] * len(row.contenders)
        axes.set_yticks(range(len(names)), names, color=_TEXT, size=10)


def _draw_panel(panel: Panel, axes: Axes, contenders: tuple[str, ...], results: Results) -> None:
    summaries = [results.summary(panel.workload, name, panel.metric) for name in contenders]
    longest = max((summary.most for summary in summaries if summary), default=1.0)
    for place, (name, summary) in enumerate(zip(contenders, summaries, strict=True)):
        if summary is not None:
            axes.barh(place, summary.median, height=0.74, color=_COLOURS.get(name, _OTHERS))
            axes.hlines(place, summary.least, summary.most, color=_TEXT, linewidth=1.2)
        word, colour = _label(panel, name, results, summary)
        axes.text(
            (summary.most if summary else 0.0) + longest * 0.04,
            place,
            word,
            color=colour,
            size=9.5,
            va="center",
            weight="bold" if name == OURS else "normal",
        )
    axes.set_xlim(0, longest * _ROOM_FOR_VALUES)
    axes.set_title(panel.title, color=_TEXT, size=10, loc="left")
    _strip(axes)
    axes.set_ylim(len(contenders) - 0.5, -0.5)


def _label(
    panel: Panel, contender: str, results: Results, summary: Summary | None
) -> tuple[str, str]:
    """Return what stands beside a bar, and its colour."""
    if summary is None:
        key = (panel.workload, contender)
        if key in results.hung:
            return "hangs", _ALARM
        return ("fails", _ALARM) if key in results.failed else ("not measured", _FAINT)
    workload = next(workload for workload in WORKLOADS if workload.name == panel.workload)
    metric = next(metric for metric in workload.metrics if metric.name == panel.metric)
    return metric.text(summary.median), _TEXT


def _strip(axes: Axes) -> None:
    """Leave nothing but bars and words."""
    axes.set_facecolor(_CARD)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.spines["left"].set_visible(True)
    axes.spines["left"].set_color(_BORDER)


def _caption(circumstances: Circumstances) -> str:
    machine = circumstances.machine
    versions = ", ".join(f"{name} {version}" for name, version in circumstances.versions.items())
    return (
        f"Medians of {circumstances.rounds} rounds; the lines are their range. "
        f"threads: kazoo's default handler. stock gevent: kazoo's own, passed by hand. "
        f"bare socket: no kazoo.\n"
        f"{circumstances.command}, {circumstances.date}, {machine['cores']} cores of "
        f"{machine['processor']}, {machine['system']}\n{versions}"
    )

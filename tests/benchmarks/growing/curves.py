"""The picture of what grows: the cost of a unit against the size, for light and for dark pages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.benchmarks.growing.rows import GROWING
from tests.benchmarks.kinds import FLOOR, KAZOO, Workload
from tests.benchmarks.report import Circumstances
from tests.benchmarks.results import OURS, Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS: Final = 4
_PANEL: Final = (3.3, 2.6)
"""Inches."""
_CAPTION: Final = 0.9
_DOTS_PER_INCH: Final = 140


class Palette(NamedTuple):
    """The colours of a picture."""

    suffix: str
    """What the name of its file ends with."""
    ground: str
    text: str
    faint: str
    lines: dict[str, str]


_PALETTES: Final = (
    Palette(
        "",
        "#ffffff",
        "#1d2430",
        "#5b6472",
        {OURS: "#0b7a5c", "threads": "#3566a8", "stock gevent": "#b3541e", FLOOR: "#5b6472"},
    ),
    Palette(
        "-dark",
        "#1e2129",
        "#e6e9ef",
        "#a3abb8",
        {OURS: "#3fcf9f", "threads": "#7fb0f0", "stock gevent": "#f0a070", FLOOR: "#a3abb8"},
    ),
)


def draw(results: Results, circumstances: Circumstances, file: Path) -> list[Path]:
    """Draw what there are results of, in files named like this one; return their names."""
    drawn = [workload for workload in GROWING if _has_curve(results, workload)]
    files = [file.with_name(f"{file.stem}{palette.suffix}.png") for palette in _PALETTES]
    if not drawn:
        return []
    for palette, name in zip(_PALETTES, files, strict=True):
        _draw(drawn, results, circumstances, palette, name)
    return files


def _has_curve(results: Results, workload: Workload) -> bool:
    return any(results.series(workload.name, name, "cpu") for name in workload.contenders)


def _draw(
    drawn: list[Workload],
    results: Results,
    circumstances: Circumstances,
    palette: Palette,
    file: Path,
) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    rows = -(-len(drawn) // _COLUMNS)
    width, height = _PANEL[0] * _COLUMNS, _PANEL[1] * rows + _CAPTION
    figure = pyplot.figure(figsize=(width, height), facecolor=palette.ground)
    grid = figure.add_gridspec(
        rows,
        _COLUMNS,
        left=0.05,
        right=0.99,
        top=1 - 0.55 / height,
        bottom=(_CAPTION + 0.3) / height,
        wspace=0.3,
        hspace=0.62,
    )
    for place, workload in enumerate(drawn):
        axes = figure.add_subplot(grid[divmod(place, _COLUMNS)])
        _draw_panel(workload, axes, results, palette)
    for place, name in enumerate((*KAZOO, FLOOR)):
        figure.text(
            0.05 + place * 0.1, 0.55 / height, f"● {name}", color=palette.lines[name], size=11
        )
    caption = (
        "µs CPU of the client for one unit of the work, against how much of it there is. "
        f"{circumstances.command}, {circumstances.date}, {circumstances.machine['cores']} cores of "
        f"{circumstances.machine['processor']}"
    )
    figure.text(0.05, 0.25 / height, caption, color=palette.faint, size=8.5)
    figure.savefig(file, dpi=_DOTS_PER_INCH)
    pyplot.close(figure)


def _draw_panel(workload: Workload, axes: Axes, results: Results, palette: Palette) -> None:
    highest = 0.0
    sizes: list[int] = []
    for name in workload.contenders:
        series = results.series(workload.name, name, "cpu")
        if series:
            sizes = list(series)
            highest = max(highest, *series.values())
            axes.plot(
                sizes,
                list(series.values()),
                color=palette.lines[name],
                linestyle=":" if name == FLOOR else "-",
                marker="o",
                markersize=2 if name == FLOOR else 4,
                linewidth=2.4 if name == OURS else 1.5,
            )
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes], size=8)
    axes.minorticks_off()
    axes.set_ylim(0, highest * 1.1)
    axes.set_title(_wrapped(workload.title), color=palette.text, size=9.5, loc="left")
    axes.set_xlabel(workload.grows, color=palette.faint, size=8.5)
    axes.set_facecolor(palette.ground)
    axes.tick_params(colors=palette.faint, labelsize=8)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(palette.faint)


def _wrapped(title: str, width: int = 44) -> str:
    """Return the title in at most two lines."""
    if len(title) <= width:
        return title
    cut = title.rfind(" ", 0, width)
    return f"{title[:cut]}\n{title[cut + 1 :]}"

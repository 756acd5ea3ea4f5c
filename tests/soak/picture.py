"""The picture of a run: a card that is readable on light and on dark pages."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.soak.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CARD, _BORDER = "#f4f5f7", "#c3c8d0"
_TEXT, _FAINT, _FAULT = "#1d2430", "#5b6472", "#e8c9c4"
_LINES: Final = ("#0b7a5c", "#3b5b92", "#b3261e", "#8a5a00", "#6b3fa0", "#5b6472")
_SIZE: Final = (13.0, 10.0)  # inches
_DOTS_PER_INCH: Final = 140
_BINS: Final = 90
_MIB: Final = 1 << 20


def draw(history: History, caption: str, file: Path) -> None:
    """Draw what the process took over time, the errors, and when something was broken."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(4, 1, sharex=True, figsize=_SIZE, facecolor=_CARD)
    start = history.samples[0].time
    minutes = [(sample.time - start) / 60 for sample in history.samples]
    curves: tuple[tuple[str, dict[str, list[float]]], ...] = (
        ("Resident memory, MiB", {"_memory": [s.memory / _MIB for s in history.samples]}),
        (
            "Descriptors and threads",
            {
                "descriptors": [s.descriptors for s in history.samples],
                "threads": [s.threads for s in history.samples],
            },
        ),
        (
            "Greenlets and active watchers of the event loop",
            {
                "greenlets": [s.greenlets for s in history.samples],
                "watchers": [s.watchers for s in history.samples],
            },
        ),
    )
    for axes, (title, lines) in zip(panels, curves, strict=False):
        for (name, values), colour in zip(lines.items(), _LINES, strict=False):
            axes.plot(minutes, values, color=colour, linewidth=1.4, label=name)
        _finish(axes, title, history, start)
    _draw_errors(panels[-1], history, start)
    panels[-1].set_xlabel("minutes; what is shaded was broken then", color=_TEXT)
    figure.text(0.02, 0.012, caption, color=_FAINT, size=8.5)
    figure.tight_layout(rect=(0, 0.025, 1, 1))
    figure.savefig(file, dpi=_DOTS_PER_INCH)


def _draw_errors(axes: Axes, history: History, start: float) -> None:
    by_class: dict[str, list[float]] = {}
    for record in history.returned.values():
        if record.error:
            by_class.setdefault(record.error, []).append((record.time - start) / 60)
    names = [name for name, _ in Counter({n: len(t) for n, t in by_class.items()}).most_common()]
    if names:
        axes.hist(
            [by_class[name] for name in names],
            bins=_BINS,
            stacked=True,
            label=names,
            color=[_LINES[place % len(_LINES)] for place in range(len(names))],
        )
    _finish(axes, "Errors that callers saw", history, start)


def _finish(axes: Axes, title: str, history: History, start: float) -> None:
    """Shade the faults, and leave nothing but curves and words."""
    for fault in history.faults:
        began, ended = ((time - start) / 60 for time in (fault.began, fault.ended))
        axes.axvspan(began, max(ended, began + 0.01), color=_FAULT, linewidth=0, zorder=0)
    style: dict[str, Any] = {"color": _TEXT, "size": 11, "loc": "left"}
    axes.set_title(title, **style)
    axes.set_facecolor(_CARD)
    axes.set_ylim(bottom=0)
    axes.tick_params(colors=_TEXT, length=0)
    axes.spines[:].set_color(_BORDER)
    axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    if any(labels):
        # Above the curves, where it hides none.
        place: dict[str, Any] = {
            "loc": "lower right",
            "bbox_to_anchor": (1, 1),
            "ncols": len(labels),
        }
        axes.legend(handles, labels, labelcolor=_TEXT, frameon=False, **place)

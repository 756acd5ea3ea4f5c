"""The table that sets the runs side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from examples.demo.runs import Outcome
from examples.demo.terminal import bold, red

_LOST = "lost"
_HANDLERS = {
    "kazoo.handlers.threading.SequentialThreadingHandler": "kazoo threads",
    "kazoo.handlers.gevent.SequentialGeventHandler": "kazoo gevent",
    "kazoo_gevent_patch.handler.sequential.SequentialGeventHandler": "this package",
}
_ROWS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "handler": ("handler", lambda name: _HANDLERS.get(name, name)),
    "threads": ("native threads of a client", str),
    "get_async": ("get_async, operations/s", "{:,}".format),
    "getters": ("100 getters, operations/s", "{:,}".format),
    "speed": ("speed of both, kazoo alone is 1", "{:.1f}".format),
    "leader": ("callback that calls the client", lambda data: "answered" if data else _LOST),
    "job": ("KazooTimeoutError of result.get", str),
    "standby": ("KazooTimeoutError of client.start", str),
    "ended": ("app.py ended", str),
    "session": ("worker that computes 3 time-outs", "session {}".format),
}


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the table; what was not as expected is red, where there are colours."""
    columns = [_labels(), *map(_column, outcomes)]
    return "\n".join("  ".join(cells).rstrip() for cells in zip(*columns, strict=True))


def _labels() -> list[str]:
    return _padded(["", *(label for label, _ in _ROWS.values()), "checks"])


def _column(outcome: Outcome) -> list[str]:
    failures = outcome.failures()
    expected = len(outcome.way.expected)
    cells = [_cell(outcome.seen, name) for name in _ROWS]
    checks = f"{expected - len(failures)} of {expected} held"
    heading, *padded, summary = _padded([outcome.way.title, *cells, checks])
    shown = [
        red(cell) if name in failures else cell for name, cell in zip(_ROWS, padded, strict=True)
    ]
    return [bold(heading), *shown, red(summary) if failures else summary]


def _cell(seen: dict[str, Any], name: str) -> str:
    _, show = _ROWS[name]
    if name in seen:
        return show(seen[name])
    first_missing = next(other for other in _ROWS if other not in seen)
    return "died here" if name == first_missing else "not reached"


def _padded(cells: list[str]) -> list[str]:
    width = max(map(len, cells))
    return [cell.ljust(width) for cell in cells]

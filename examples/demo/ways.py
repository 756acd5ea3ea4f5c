"""The ways to run app.py, and what is expected of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class AtLeast:
    """An expectation of a number."""

    least: float


_DONE_RIGHT = {
    "registered": True,
    "configuration": ["old", "new"],
    "counter": 20,
    "leader": "first worker",
    "job": "caught",
    "standby": "caught",
    "ended": "well",
    "session": "kept",
}


@dataclass(frozen=True)
class Way:
    """One way to run app.py."""

    title: str
    module: str
    gunicorn: tuple[str, ...]
    """How gunicorn is told to run service.py so."""

    expected: dict[str, object]
    must_hold: bool = True
    """Whether the demo fails when an expectation does not hold."""

    def failures(self, seen: dict[str, Any]) -> list[str]:
        """Return the names of the expectations that what was seen does not fulfil."""
        return [name for name, value in self.expected.items() if not _holds(value, seen.get(name))]


def _holds(expected: object, seen: Any) -> bool:
    if isinstance(expected, AtLeast):
        return seen is not None and seen >= expected.least
    return bool(seen == expected)


WAYS = (
    Way(
        title="kazoo alone",
        module="examples.demo.app",
        gunicorn=("--worker-class", "gthread"),
        expected={
            "handler": "kazoo.handlers.threading.SequentialThreadingHandler",
            **_DONE_RIGHT,
        },
    ),
    Way(
        title="stock gevent",
        module="examples.demo.with_stock_handler",
        gunicorn=("--worker-class", "gevent", "--config", "python:examples.demo.stock_gunicorn"),
        expected={
            "handler": "kazoo.handlers.gevent.SequentialGeventHandler",
            "threads": 0,
            **_DONE_RIGHT,
        },
        must_hold=False,
    ),
    Way(
        title="the one line",
        module="examples.demo.with_patch",
        gunicorn=("--worker-class", "gevent", "--config", "python:kazoo_gevent_patch.gunicorn"),
        expected={
            "handler": "kazoo_gevent_patch.handler.sequential.SequentialGeventHandler",
            "threads": 0,
            "speed": AtLeast(1.0),  # it is 3 to 5 on a machine that has other things to do as well
            **_DONE_RIGHT,
        },
    ),
)

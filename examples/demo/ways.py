"""The ways to run app.py, and what is expected of each."""

from __future__ import annotations

from dataclasses import dataclass

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
        title="stock gevent handler",
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
            **_DONE_RIGHT,
        },
    ),
)

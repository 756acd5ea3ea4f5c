"""gunicorn reads its settings from here; the import is the line that puts kazoo on gevent."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

import gevent

from kazoo_gevent_patch.gunicorn import post_fork  # noqa: F401 - a setting of gunicorn's

wsgi_app = "live_registry.application:app"
worker_class = "gevent"
workers = 3
# Seconds that a connection may take to send a request, the first included. Without a limit,
# requests that are sent by half take all the places of a worker. It is less than the next, so that
# a browser's idle connection does not hold up the end of a worker.
keepalive = 2
graceful_timeout = 3


def leave() -> None:
    from live_registry.application import membership

    membership.leave()


def post_worker_init(worker: Any) -> None:
    """On SIGTERM and on Ctrl-C, leave, and only then stop.

    gunicorn alone would first wait for the streams, or end the worker in the middle of this.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        try:
            leave()
        finally:
            worker.handle_exit(number, frame)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        # In a greenlet: a signal handler must not wait.
        signal.signal(number, lambda *received: gevent.spawn(stop, *received))

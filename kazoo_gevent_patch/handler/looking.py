"""What a handler has watched for its client, and what it tells of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from gevent.hub import Hub

from kazoo_gevent_patch.handler.callbacks import CallbackQueue
from kazoo_gevent_patch.handler.greenlets import HandlerGreenlet
from kazoo_gevent_patch.handler.listeners import ListenerQueue
from kazoo_gevent_patch.heartbeats import sessions
from kazoo_gevent_patch.inspection.records import CallbackStatus, HandlerStatus
from kazoo_gevent_patch.stalls.judge import WatchedClient


class Watched:
    """The part of a handler that knows of its client's sessions."""

    hub: Hub | None
    listeners: ListenerQueue
    _running: bool
    _queues: dict[str, CallbackQueue]
    _deferred: CallbackQueue | None

    def know_no_session(self) -> None:
        """Be as new."""
        self._watched: WatchedClient | None = None
        self._unwatch: Callable[[], None] | None = None
        self._timeout: float | None = None
        self.lost_sessions = 0
        """How many sessions of the client expired."""

    def watch_for_stalls(self, client: Any, connection: Any, timeout: float) -> None:
        """Until ``stop()``, keep the session when the event loop stands still, and warn of that.

        :param client: the client that this handler serves; it has a session now.
        :param connection: what ``create_connection`` returned for that session.
        :param timeout: the session time-out that was negotiated, in seconds.
        """
        self._timeout = timeout
        if self._running:
            if self._watched is None:
                self._watched = WatchedClient(client)
            self._unwatch = sessions.keep(self._watched, connection, timeout)

    def unwatch(self) -> None:
        """End what ``watch_for_stalls`` began."""
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None

    def status(self) -> HandlerStatus:
        """Return what the handler knows of its client, as plain data.

        Safe in any greenlet and any native thread; never waits.
        """
        return HandlerStatus(
            callbacks=self._callbacks(),
            timeout=self._timeout,
            stalls=0 if self._watched is None else self._watched.stalls,
            lost_sessions=self.lost_sessions,
        )

    def _callbacks(self) -> dict[str, CallbackStatus]:
        found = {kind: queue.status() for kind, queue in list(self._queues.items())}
        if self.listeners.worker is not None:
            found["listener"] = self.listeners.status()
        return found

    def greenlets(self) -> Iterator[tuple[str, HandlerGreenlet]]:
        """Return the greenlets that run callbacks, each with what it is for."""
        queues: dict[str, CallbackQueue | ListenerQueue | None] = {
            **{f"{kind} callbacks": queue for kind, queue in list(self._queues.items())},
            "state listeners": self.listeners,
            "deferred calls": self._deferred,
        }
        for name, queue in queues.items():
            worker = None if queue is None else queue.worker
            if worker is not None:
                yield name, worker

    def __repr__(self) -> str:
        state = "running" if self._running else "stopped"
        callbacks = [f"{kind}: {queue}" for kind, queue in self._callbacks().items()]
        return f"<{'; '.join([f'{type(self).__name__} {state}', *callbacks])}>"

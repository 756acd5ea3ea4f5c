"""``SequentialGeventHandler``: what a ``KazooClient`` runs on."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any, Final

import gevent.lock
from gevent import get_hub, getcurrent
from gevent.hub import Hub
from kazoo.handlers import gevent as stock
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.protocol.states import Callback

from kazoo_gevent_patch import stalls
from kazoo_gevent_patch.callbacks import CallbackQueue, log
from kazoo_gevent_patch.connecting import create_connection
from kazoo_gevent_patch.connection import Connection
from kazoo_gevent_patch.greenlets import HandlerGreenlet
from kazoo_gevent_patch.heartbeats import WatchedClient
from kazoo_gevent_patch.processes import after_fork_in_child, was_forked
from kazoo_gevent_patch.result import AsyncResult
from kazoo_gevent_patch.selector import Selector
from kazoo_gevent_patch.waiting import is_own_thread
from kazoo_gevent_patch.wake import WakeReader, WakeWriter, wake_channel

STOP_TIMEOUT: Final = 10.0
"""Seconds that ``stop()`` waits for callbacks that have begun or wait for their turn."""

FLOOD: Final = 256
"""Requests that wait to be sent, from which on whoever issues more gives way in time."""


class Lock(gevent.lock.BoundedSemaphore):
    """A lock with the signature and the errors of ``threading.Lock``."""

    def __init__(self) -> None:
        super().__init__(1)
        self.holder: object = None
        """The greenlet that acquired the lock last."""
        self.holder_hub: object = None
        """The hub of its thread."""

    def acquire(self, blocking: bool = True, timeout: float | None = -1) -> bool:
        """Acquire the lock, waiting at most ``timeout`` seconds; -1 or None waits for ever."""
        acquired: bool = super().acquire(blocking, None if timeout == -1 else timeout)
        if acquired:
            self.holder = getcurrent()
            self.holder_hub = get_hub()
        return acquired

    def release(self) -> int:
        """Release the lock. Raises ``RuntimeError`` if it is not locked."""
        try:
            # The compiled base class insists on a number where threading returns None.
            return int(super().release())
        except ValueError:
            raise RuntimeError("release unlocked lock") from None


class RLock(gevent.lock.RLock):
    """A re-entrant lock with the signature of ``threading.RLock``."""

    def acquire(self, blocking: bool = True, timeout: float | None = -1) -> bool:
        """Acquire the lock, waiting at most ``timeout`` seconds; -1 or None waits for ever."""
        acquired: bool = super().acquire(blocking, None if timeout == -1 else timeout)
        return acquired


class SequentialGeventHandler(stock.SequentialGeventHandler):  # type: ignore[misc]
    """Gevent handler for sequentially executing callbacks.

    There is a queue for each type of event, and a worker greenlet that takes the callbacks
    off it and runs them one at a time, in the order in which the client saw the events. A
    watch callback that blocks delays other watch callbacks, but neither the completion of
    requests nor the re-establishment of the session.

    The semantics are those of kazoo's class of the same name, from which it is derived, and
    where kazoo's default handler promises more, those as well: ``timeout_exception`` is its
    ``KazooTimeoutError``, callbacks may block and may call any method of the client.

    A handler serves one client, in the thread that started it.
    """

    timeout_exception = KazooTimeoutError

    def __init__(self) -> None:
        # Not kazoo's: it makes a queue and a list of workers that would never be used.
        self.forget()

    def forget(self) -> None:
        """Be as new: stopped, with empty queues and no workers. For a forked child."""
        self._running = False
        self.hub: Hub | None = None
        """The hub of the thread that started the handler last."""
        self._queues: dict[str, CallbackQueue] = {}
        self._selector = Selector()
        self.select = self._selector.select
        self._requests: WakeReader | None = None
        """The reading end of the wake channel: a byte for each request that waits."""
        self._watched: WatchedClient | None = None
        self._unwatch: Callable[[], None] | None = None

    @property
    def callback_queue(self) -> CallbackQueue:
        """The queue of watch callbacks."""
        return self._queue("watch")

    @property
    def completion_queue(self) -> CallbackQueue:
        """The queue of callbacks that were linked to results."""
        return self._queue("completion")

    def _queue(self, event_type: str) -> CallbackQueue:
        queue = self._queues.get(event_type)
        if queue is None:
            queue = self._queues[event_type] = CallbackQueue()
            if self._running:
                queue.start()
        return queue

    def start(self) -> None:
        """Start the workers. Does nothing when they are started."""
        self._running = True
        self.hub = get_hub()
        for queue in self._queues.values():
            queue.start()

    def stop(self) -> None:
        """Run what is in the queues and stop the workers. Does nothing when they are stopped.

        Waits for the callbacks at most ``STOP_TIMEOUT`` seconds; then it logs a warning and
        drops those that have not begun. Called by a callback it does not wait, and the
        workers end after the last callback.
        """
        self._running = False
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        queues = list(self._queues.values())
        for queue in queues:
            queue.stop()
        if any(queue.is_current() for queue in queues):
            return
        deadline = monotonic() + STOP_TIMEOUT
        for queue in queues:
            if not queue.join(deadline - monotonic()):
                queue.clear()
                log.warning(
                    "A callback has not returned within %s seconds of stop(); "
                    "those queued behind it are dropped",
                    STOP_TIMEOUT,
                )

    def watch_for_stalls(self, client: Any, timeout: float) -> None:
        """Warn when the event loop stands still for long, until ``stop()``.

        :param client: the client that this handler serves; it has a session now.
        :param timeout: the session time-out that was negotiated, in seconds.
        """
        if self._running:
            if self._watched is None:
                self._watched = WatchedClient(client)
            self._unwatch = stalls.watch(self._watched, timeout)

    def dispatch_callback(self, callback: Callback) -> None:
        """Queue the callback with the others of its type."""
        self._queue(callback.type).put(partial(callback.func, *callback.args))

    def async_result(self) -> AsyncResult:
        """Return a result whose callbacks run on the completion worker."""
        # Every request begins with a result.
        if was_forked():
            after_fork_in_child()
        if self._requests is not None and self._requests.qsize() >= FLOOD:
            self._give_way()
        return AsyncResult(self)

    def _give_way(self) -> None:
        """Let the event loop run when a greenlet has issued requests for a whole time slice.

        Here and not where the request is queued: there kazoo would take an exception that
        comes while the greenlet waits (``kill``, ``gevent.Timeout``) for a closed connection
        (the bare ``except`` of ``KazooClient._call``), whereas here nothing has begun.
        """
        hub, selector = self.hub, self._selector
        if (
            selector.slice.is_over()
            and hub is not None
            and is_own_thread(hub)
            and getcurrent() not in (hub, selector.greenlet)
        ):
            selector.slice.give_way()

    def spawn(self, func: Callable[..., object], *args: Any, **kwargs: Any) -> HandlerGreenlet:
        """Run the function in a greenlet of its own, and return that."""
        greenlet: HandlerGreenlet = HandlerGreenlet.spawn(func, *args, **kwargs)
        return greenlet

    def lock_object(self) -> Lock:
        """Return a lock for greenlets, to be used as a ``threading.Lock``."""
        return Lock()

    def rlock_object(self) -> RLock:
        """Return a re-entrant lock for greenlets, to be used as a ``threading.RLock``."""
        return RLock()

    def create_connection(self, *args: Any, **kwargs: Any) -> Connection:
        """Connect to a server; the arguments and errors are those of kazoo's handlers."""
        return Connection(create_connection(*args, **kwargs), self._requests)

    def create_socket_pair(self) -> tuple[WakeReader, WakeWriter]:
        """Return the pair through which callers wake the connection greenlet."""
        self._requests, writer = wake_channel()
        return self._requests, writer

"""``SequentialGeventHandler``: what a ``KazooClient`` runs on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from socket import getdefaulttimeout
from time import monotonic
from typing import Any, Final

from gevent import getcurrent
from gevent.hub import Hub
from kazoo.handlers import gevent as stock
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.protocol.states import Callback

from kazoo_gevent_patch.handler import leaving
from kazoo_gevent_patch.handler.callbacks import CallbackQueue, log
from kazoo_gevent_patch.handler.continuations import JOB, SIGNAL, step_of
from kazoo_gevent_patch.handler.event import Event
from kazoo_gevent_patch.handler.greenlets import HandlerGreenlet
from kazoo_gevent_patch.handler.listeners import ListenerQueue
from kazoo_gevent_patch.handler.locks import Lock, RLock
from kazoo_gevent_patch.handler.looking import Watched
from kazoo_gevent_patch.handler.queues import Queue
from kazoo_gevent_patch.handler.result import AsyncResult
from kazoo_gevent_patch.heartbeats import visitors
from kazoo_gevent_patch.loop import daemons
from kazoo_gevent_patch.loop.forks import mark, notice_fork
from kazoo_gevent_patch.loop.hubs import hub_of_this_thread, is_own_thread, sleep
from kazoo_gevent_patch.loop.signals import guard
from kazoo_gevent_patch.loop.threads import NativeThread, hub_bound_to_thread, this_thread
from kazoo_gevent_patch.loop.waiting import TimeSlice
from kazoo_gevent_patch.wire.connection import Connection
from kazoo_gevent_patch.wire.selector import Ready, Selector
from kazoo_gevent_patch.wire.sockets import create_connection
from kazoo_gevent_patch.wire.wake_channel import WakeReader, WakeWriter, wake_channel

STOP_TIMEOUT: Final = 10.0
"""Seconds that ``stop()`` waits for callbacks that have begun or wait for their turn."""

FLOOD: Final = 256
"""So many requests may wait to be sent before code that issues more gives way in time."""

PING_TIMEOUT: Final = 2.0
"""Seconds for each step of asking a server whether it can write: connecting, and the answer."""


class SequentialGeventHandler(Watched, stock.SequentialGeventHandler):  # type: ignore[misc]
    """Gevent handler for sequentially executing callbacks.

    There is a queue for each type of event, and a worker greenlet that takes the callbacks
    off it and runs them one at a time, in the order in which the client saw the events. A
    watch callback that blocks delays other watch callbacks, but neither the completion of
    requests nor the re-establishment of the session.

    The semantics are those of kazoo's class of the same name, from which it is derived, and
    where kazoo's default handler promises more, those as well: ``timeout_exception`` is its
    ``KazooTimeoutError``, callbacks may block and may call any method of the client.

    A handler serves one client, in the event loop of the thread that started it. All else
    that it makes (results, events, locks) may be shared by greenlets of any event loop and
    by native threads.
    """

    timeout_exception = KazooTimeoutError
    queue_impl = Queue
    sleep_func = staticmethod(sleep)

    def __init__(self) -> None:
        # Not kazoo's: it makes a queue and a list of workers that would never be used.
        self.forget()

    def abandon(self) -> None:
        """Drop all that is queued, end the workers, and be as new. For a forked child."""
        self._running = False
        for queue in (*self._queues.values(), *filter(None, [self._deferred])):
            queue.abandon()  # a callback that goes on, having called fork, is the last
        self.listeners.abandon()
        visitors.end(self)
        self.forget()

    def forget(self) -> None:
        """Be as new: stopped, with empty queues and no workers."""
        self._running = False
        self.listeners = ListenerQueue()
        """Where the listeners of the client's states run."""
        self.hub: Hub | None = None
        """The hub of the thread that started the handler last."""
        self.home: Hub | None = None
        """The same while the handler is started."""
        self.thread: NativeThread | None = None
        """That thread."""
        self._queues: dict[str, CallbackQueue] = {}
        self.selector = Selector()
        if type(self).select is SequentialGeventHandler.select:
            # kazoo calls it twice a request; but a derived class may have one of its own.
            self.select = self.selector.select  # type: ignore[method-assign]
        self._requests: WakeReader | None = None
        """The reading end of the wake channel: a byte for each request that waits."""
        self.has_failed = False
        """Whether a result has failed since a greenlet last gave way to the event loop."""
        self._issuing = TimeSlice()
        """The time slice of the greenlets that issue requests."""
        self.know_no_session()
        self._deferred: CallbackQueue | None = None
        self.outcomes: set[AsyncResult] = set()
        """What other threads wait for while something runs for them in the client's loop."""

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
            # Two threads may find that there is none: setdefault keeps one for both.
            queue = self._queues.setdefault(event_type, CallbackQueue())
            if self._running:
                queue.start(self.hub)
        return queue

    def start(self) -> None:
        """Start the workers, in the caller's event loop. Does nothing when they are started."""
        notice_fork()
        if self._running:
            return
        guard()
        self.hub = self.home = hub_bound_to_thread()
        self.thread = this_thread()
        daemons.remember(self.thread, self.hub)
        self._running = True
        leaving.remember(self)
        visitors.begin(self)
        for queue in list(self._queues.values()):
            queue.start(self.hub)
        if self._deferred is not None:
            self._deferred.run(self.hub)

    def stop(self) -> None:
        """Run what is in the queues and stop the workers. Does nothing when they are stopped.

        Waits for the callbacks at most 10 seconds (``STOP_TIMEOUT``); then it logs a warning
        and drops those that have not begun. Called by a callback, or in the event loop
        itself, it does not wait, and the workers end after the last callback.
        """
        self._running = False
        self.home = None
        self.unwatch()
        visitors.end(self)
        queues = list(self._queues.values())
        for queue in queues:
            queue.stop()
        if getcurrent() is hub_of_this_thread() or any(queue.is_current() for queue in queues):
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

    def dispatch_callback(self, callback: Callback) -> None:
        """Queue the callback with the others of its type, a step of a recipe apart from those."""
        if (step := step_of(callback.func)) == SIGNAL:
            try:
                callback.func(*callback.args)
            except Exception:
                log.exception("Exception in a callback")
        elif step == JOB:
            self.spawn(callback.func, *callback.args)
        else:
            self._queue(step or callback.type).put(partial(callback.func, *callback.args))

    def async_result(self) -> AsyncResult:
        """Return a result whose callbacks run on the completion worker."""
        # Every request begins with a result.
        if not mark[0]:
            notice_fork()
        if (
            self.has_failed or (self._requests is not None and len(self._requests.bytes) >= FLOOD)
        ) and self._issuing.is_over():
            self._give_way()
        return AsyncResult(self)

    def _give_way(self) -> None:
        """Let the event loop run when a greenlet has issued requests for a whole time slice.

        A greenlet waits for the outcome of a request, but not if that fails at once: a closed
        client's do. Code that then tries again at once would keep the client from coming back.

        Here and not where the request is queued: there kazoo would take an exception that
        comes while the greenlet waits (``kill``, ``gevent.Timeout``) for a closed connection
        (the bare ``except`` of ``KazooClient._call``), whereas here nothing has begun.
        """
        hub = self.hub if self._running else hub_of_this_thread()
        greenlets = (hub, self.selector.greenlet)
        if hub is not None and is_own_thread(hub) and getcurrent() not in greenlets:
            self.has_failed = False
            self._issuing.give_way()

    def spawn(self, func: Callable[..., object], *args: Any, **kwargs: Any) -> HandlerGreenlet:
        """Run the function in a greenlet of its own, and return that.

        It runs in the event loop of the client; while there is none, in the caller's. For a
        native thread that has none either, it runs in a native thread of its own.
        """
        call = partial(func, *args, **kwargs)
        return self.spawn_in_loop(call) if self._running else HandlerGreenlet.spawn_here(call)

    def spawn_in_loop(self, func: Callable[[], object]) -> HandlerGreenlet:
        """Run the function in a greenlet of the event loop in which the handler was started."""
        assert self.hub is not None  # nosec B101 # for the type checker: it was started
        if not is_own_thread(self.hub):
            return HandlerGreenlet.spawn_in(self.hub, func)
        greenlet = HandlerGreenlet(func)
        greenlet.start()
        return greenlet

    def defer(self, func: Callable[[], object]) -> None:
        """Run the function soon, in turn with others that were deferred, when started once."""
        if self._deferred is None:
            self._deferred = CallbackQueue()
        self._deferred.put(func)
        self._deferred.run(self.hub)

    def has_deferred(self) -> bool:
        """Return whether something that was deferred has not ended."""
        deferred = self._deferred
        return deferred is not None and (not deferred.empty() or deferred.is_busy())

    def join_deferred(self, timeout: float) -> None:
        """Wait until all that was deferred has ended, at most ``timeout`` seconds."""
        if self._deferred is not None:
            ended = Event()
            self.defer(ended.set)
            ended.wait(timeout)

    def busy_queues(self) -> list[CallbackQueue]:
        """Return the queues of callbacks that have something to run and may still run it."""
        loop: Any = None if self.hub is None else self.hub.loop
        if loop is None or (self.thread is not None and self.thread.ended):
            return []
        return [queue for queue in list(self._queues.values()) if queue.is_busy()]

    def event_object(self) -> Event:
        """Return an event for greenlets, to be used as a ``threading.Event``."""
        return Event()

    def lock_object(self) -> Lock:
        """Return a lock for greenlets, to be used as a ``threading.Lock``."""
        return Lock()

    def rlock_object(self) -> RLock:
        """Return a re-entrant lock for greenlets, to be used as a ``threading.RLock``."""
        return RLock()

    def select(
        self,
        rlist: Sequence[Any],
        wlist: Sequence[Any],
        xlist: Sequence[Any],
        timeout: float | None = None,
    ) -> Ready:
        """Wait as ``select.select`` does, for what this handler made or for any descriptors."""
        return self.selector.select(rlist, wlist, xlist, timeout)

    def create_connection(self, *args: Any, **kwargs: Any) -> Connection:
        """Connect to a server; the arguments and errors are those of kazoo's handlers."""
        hub_bound_to_thread()  # client.command(), which comes here too, may be the first call
        if len(args) < 2 and kwargs.get("timeout") is None and getdefaulttimeout() is None:  # noqa: PLR2004
            # kazoo's search for a read/write server passes no time-out (RWPinger), and a server
            # that says nothing, or drops packets, would hold up the session for ever.
            kwargs["timeout"] = PING_TIMEOUT
        return Connection(create_connection(*args, **kwargs), self._requests)

    def create_socket_pair(self) -> tuple[WakeReader, WakeWriter]:
        """Return the pair through which callers wake the connection greenlet."""
        self._requests, writer = wake_channel()
        return self._requests, writer

"""A queue of callbacks and the greenlet that runs them, one at a time and in order."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from time import monotonic, perf_counter
from typing import Any, Protocol

import gevent
from gevent import get_hub, getcurrent
from gevent.hub import Hub

from kazoo_gevent_patch.handler.greenlets import HandlerGreenlet
from kazoo_gevent_patch.inspection.records import CallbackStatus
from kazoo_gevent_patch.loop.hubs import call_in_hub, has_loop, hub_of_this_thread, is_own_thread
from kazoo_gevent_patch.loop.signals import runs_callbacks
from kazoo_gevent_patch.loop.waiting import TimeSlice, WaitingList, resumed
from kazoo_gevent_patch.stalls import watch as stalls
from kazoo_gevent_patch.stalls.judge import describe
from kazoo_gevent_patch.wire.selector import Selector

# kazoo's own logger for this handler, so that existing logging settings apply.
log = logging.getLogger("kazoo.handlers.gevent")


class Runner:
    """What runs calls one at a time, in a greenlet of its own, and tells which one runs."""

    def __init__(self) -> None:
        self._callbacks: deque[Callable[[], object]] = deque()
        """The calls that wait for their turn."""
        self.worker: HandlerGreenlet | None = None
        """The greenlet that makes the calls, if there is one now."""
        self._running: Callable[[], object] | None = None
        """The call that is made now, or none."""
        self._began = 0.0
        """When the last one began, by ``perf_counter``."""

    def qsize(self) -> int:
        """Return how many calls wait for their turn."""
        return len(self._callbacks)

    def status(self) -> CallbackStatus:
        """Return what waits for its turn and what runs; safe in any native thread."""
        running, seconds = self._running, perf_counter() - self._began
        name = "" if running is None else describe(running)
        return CallbackStatus(self.qsize(), name, seconds if name else 0.0)


class CallbackQueue(Runner):
    """Runs the callbacks of one type of event, one at a time, in the order they were put.

    The worker greenlet is made when there is something to run. While the queue is started it
    stays and waits for more, so that what callbacks keep in a ``threading.local`` (a database
    connection) lasts, as in the worker thread of kazoo's default handler. Otherwise it ends
    when nothing is left. At most one worker lives, because only the thread that started the
    queue makes one, and only when the last has ended, without switching in between.

    A callback may block, and may stop the handler: the worker just goes on afterwards.
    """

    def __init__(self) -> None:
        super().__init__()
        self._waiting = WaitingList()
        """The worker, while it waits for callbacks."""
        self._joining = WaitingList()
        self._hub: Hub | None = None
        self._started = False

    def put(self, callback: Callable[[], object]) -> None:
        """Have ``callback`` run after all that was put before it, once the queue is started.

        Safe from any greenlet and any native thread; never blocks.
        """
        self._callbacks.append(callback)
        self.wake()

    def adding(self, callback: Callable[[], object]) -> Callable[[], object]:
        """Return what adds the callback, written in C; ``wake`` has to follow."""
        return partial(self._callbacks.append, callback)

    def wake(self) -> None:
        """Have the worker look for callbacks, if the queue is started."""
        if self._started:
            self._wake_worker()

    def empty(self) -> bool:
        """Return whether no callback waits for its turn."""
        return not self._callbacks

    def __repr__(self) -> str:
        state = "started" if self._started else "stopped"
        return f"<{type(self).__name__} {state}, {self.status()}>"

    def start(self, hub: Hub | None = None) -> None:
        """Run what is in the queue and what is put into it, in the hub, the caller's by default."""
        # Not "or": a hub that has not run yet is false.
        self._hub = get_hub() if hub is None else hub
        self._started = True
        self._wake_worker()

    def run(self, hub: Hub | None) -> None:
        """Run what is in the queue, though it is not started, in the hub."""
        self._hub = get_hub() if hub is None else hub
        self._start_worker()

    def stop(self) -> None:
        """Leave what is put into the queue from now on until the next start.

        The worker ends when it has run what was put before.
        """
        if self._started:
            self._started = False
            self._wake_worker()

    def is_busy(self) -> bool:
        """Return whether a callback runs or is about to; while stopped, whether a worker lives."""
        if self._living_worker() is None:
            return self._started and bool(self._callbacks)
        return not self._started or bool(self._callbacks) or not self._waiting

    def join(self, timeout: float) -> bool:
        """Wait until all has run, at most ``timeout`` seconds; return whether it has.

        Safe from any greenlet but the worker, and from any native thread.
        """
        deadline = monotonic() + timeout
        while self.is_busy():
            remaining = deadline - monotonic()
            if remaining <= 0:
                return False
            self._wait_for_worker(remaining)
        return True

    def clear(self) -> None:
        """Drop what has not begun."""
        self._callbacks.clear()

    def abandon(self) -> None:
        """Drop all, for ever: the event loop of the queue has ended, or is the parent process's.

        A worker that waits is ended: the garbage collector does not see what it refers to.
        """
        self._started = False
        self.clear()
        if self._waiting and self.worker is not None:
            self.worker.end()

    def flush(self) -> None:
        """Run what is in the queue, though it is stopped, as far as it runs without waiting.

        Called in the hub, or by a callback, it leaves that to the worker. A thread without gevent
        runs it all by itself, as with kazoo's default handler: an event loop of a worker there
        would never run again.
        """
        if hub_of_this_thread() is None and self._living_worker() is None:
            while self._callbacks:
                self._run_one()
            return
        self._start_worker()
        worker = self._living_worker()
        if worker is not None and getcurrent() not in (hub_of_this_thread(), worker):
            self._wait_for_worker(0)

    def is_current(self) -> bool:
        """Return whether the caller is a callback of this queue."""
        return getcurrent() is self.worker

    def _wait_for_worker(self, timeout: float) -> None:
        """Wait until the worker has nothing left to run, or ends."""
        self._joining.wait(lambda: not self.is_busy(), timeout)

    def _living_worker(self) -> HandlerGreenlet | None:
        # A worker that was killed before it ran has not said that it ended; the parent's never
        # runs in a forked child, nor does one whose event loop was destroyed. Nor may one whose
        # event loop is not the one in which the queue was started last.
        worker = self.worker
        if worker is None or not worker.may_go_on():
            return None
        return worker if self._hub in (None, worker.hub) else None

    def _wake_worker(self) -> None:
        if self._living_worker() is None:
            self._start_worker()
        elif self._waiting:  # else it will look for callbacks
            self._waiting.wake_all()

    def _start_worker(self) -> None:
        hub = self._hub
        if hub is not None and not has_loop(hub):
            hub = self._hub = None  # it has ended since the queue was stopped
        if hub is not None and not is_own_thread(hub):
            call_in_hub(hub, self._start_worker)
        elif self._callbacks and self._living_worker() is None:
            self._waiting.clear()  # the place of a worker that never goes on
            self.worker = HandlerGreenlet.spawn(self._run)

    def _run(self) -> None:
        worker: Any = getcurrent()
        try:
            self._run_callbacks(worker)
            # The queue may have been started again in another thread's hub.
            while self._started and worker.hub is self._hub:
                self._waiting.wait(self._has_news, None, self._hub)
                self._run_callbacks(worker)
        finally:
            if self.worker is worker:
                self.worker = None
            self._joining.wake_all()
            # A native thread may have put a callback after the last look and before the worker
            # was taken out, and have left it to this worker; a killed worker leaves some too.
            if self._callbacks:
                self._start_worker()

    def _has_news(self) -> bool:
        # Asked when the worker has joined the list: it is idle now.
        self._joining.wake_all()
        return bool(self._callbacks) or not self._started

    def _run_callbacks(self, worker: HandlerGreenlet) -> None:
        time_slice = TimeSlice()
        while self._callbacks and self.worker is worker:
            callback = self._run_one()
            if time_slice.is_over():
                stalls.note(callback, max(self._began, resumed.at))
                time_slice.give_way()

    def _run_one(self) -> Callable[[], object]:
        callback = self._callbacks.popleft()
        self._began = perf_counter()
        self._running = callback
        try:
            callback()
        except (Exception, gevent.Timeout):
            log.exception("Exception in a callback")
        finally:
            self._running = None
        return callback


runs_callbacks.add(CallbackQueue._run_one.__code__)


class Completions(Protocol):
    """What a result asks of the handler that made it."""

    home: Hub | None
    """The hub of the client's event loop, while the handler is started."""
    selector: Selector
    """Which knows the connection greenlet."""
    has_failed: bool
    """Whether a result has failed since a greenlet last gave way to the event loop."""

    @property
    def running(self) -> bool:
        """Whether the handler is started."""
        ...

    @property
    def completion_queue(self) -> CallbackQueue:
        """The queue of callbacks that were linked to results."""
        ...

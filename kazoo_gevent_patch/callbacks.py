"""A queue of callbacks and the greenlet that runs them, one at a time and in order."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from time import monotonic, perf_counter
from typing import Any

import gevent
from gevent import get_hub, getcurrent
from gevent.hub import Hub

from kazoo_gevent_patch import stalls
from kazoo_gevent_patch.greenlets import HandlerGreenlet
from kazoo_gevent_patch.waiting import TimeSlice, call_in_hub, hub_of_this_thread, is_own_thread

# kazoo's own logger for this handler, so that existing logging settings apply.
log = logging.getLogger("kazoo.handlers.gevent")


class Worker(HandlerGreenlet):
    """A greenlet that knows since when it runs without having let others run."""

    resumed = 0.0

    def switch(self, *args: Any) -> Any:
        """Resume the greenlet."""
        self.resumed = perf_counter()
        return super().switch(*args)

    def throw(self, *args: Any) -> Any:
        """Resume the greenlet with an exception."""
        self.resumed = perf_counter()
        return super().throw(*args)


class CallbackQueue:
    """Runs the callbacks of one type of event, one at a time, in the order they were put.

    The worker greenlet is made when there is something to run and ends when nothing is
    left: an idle client has none, and stopping needs no message to it. At most one worker
    lives, because only the thread that started the queue makes one, and only when the last
    has ended, without switching in between.

    A callback may block, and may stop the handler: the worker just goes on afterwards.
    """

    def __init__(self) -> None:
        self._callbacks: deque[Callable[[], object]] = deque()
        self._worker: Worker | None = None
        self._hub: Hub | None = None
        self._started = False

    def put(self, callback: Callable[[], object]) -> None:
        """Have ``callback`` run after all that was put before it, once the queue is started.

        Safe from any greenlet and any native thread; never blocks.
        """
        self._callbacks.append(callback)
        if self._started and self._living_worker() is None:
            self._start_worker()

    def empty(self) -> bool:
        """Return whether no callback waits for its turn."""
        return not self._callbacks

    def qsize(self) -> int:
        """Return how many callbacks wait for their turn."""
        return len(self._callbacks)

    def start(self, hub: Hub | None = None) -> None:
        """Run what is in the queue and what is put into it, in the hub, the caller's by default."""
        self._hub = hub or get_hub()
        self._started = True
        self._start_worker()

    def stop(self) -> None:
        """Leave what is put into the queue from now on until the next start."""
        self._started = False

    def join(self, timeout: float) -> bool:
        """Wait until all has run, at most ``timeout`` seconds; return whether it has."""
        deadline = monotonic() + timeout
        while worker := self._living_worker():
            remaining = deadline - monotonic()
            if remaining <= 0:
                return False
            worker.join(remaining)
        return True

    def clear(self) -> None:
        """Drop what has not begun."""
        self._callbacks.clear()

    def flush(self) -> None:
        """Run what is in the queue, though it is stopped, as far as it runs without waiting.

        Called in the hub, or by a callback, it leaves that to the worker.
        """
        self._start_worker()
        worker = self._living_worker()
        if worker is not None and getcurrent() not in (hub_of_this_thread(), worker):
            worker.join(0)

    def is_current(self) -> bool:
        """Return whether the caller is a callback of this queue."""
        return getcurrent() is self._worker

    def _living_worker(self) -> Worker | None:
        # A worker that was killed before it ran has not said that it ended.
        worker = self._worker
        return None if worker is None or worker.ready() else worker

    def _start_worker(self) -> None:
        if self._hub is not None and not is_own_thread(self._hub):
            call_in_hub(self._hub, self._start_worker)
        elif self._callbacks and self._living_worker() is None:
            self._worker = Worker.spawn(self._run)

    def _run(self) -> None:
        time_slice = TimeSlice()
        worker = getcurrent()
        assert isinstance(worker, Worker)
        try:
            while self._callbacks:
                callback = self._run_one()
                if time_slice.is_over():
                    stalls.note(callback, perf_counter() - worker.resumed)
                    time_slice.give_way()
        finally:
            self._worker = None
            # A native thread may have put a callback after the look above and before the
            # line above, and have left it to this worker; a killed worker leaves some too.
            self._start_worker()

    def _run_one(self) -> Callable[[], object]:
        callback = self._callbacks.popleft()
        try:
            callback()
        except (Exception, gevent.Timeout):
            log.exception("Exception in a callback")
        return callback

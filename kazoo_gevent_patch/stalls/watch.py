"""Notices an event loop that stood still, and says so.

A program that computes for long, or blocks, or is stopped by a signal starves its greenlets, and
endangers its sessions, and nothing tells it why (kazoo issues 285 and 286).

Each event loop with a session on it has one timer, however many clients there are, and how
late the timer comes is how long the loop stood still. A watcher that is called in each
iteration would be exact, and cost something in each of them; this costs a few calls a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from gevent import get_hub
from gevent.hub import Hub
from gevent.monkey import get_original

from kazoo_gevent_patch.loop import forks
from kazoo_gevent_patch.loop.hubs import call_in_hub, has_loop, is_own_thread
from kazoo_gevent_patch.loop.threads import this_thread
from kazoo_gevent_patch.settings.environment import STALLS
from kazoo_gevent_patch.stalls.judge import Judge, WatchedClient

clock: Callable[[], float] = time.monotonic
"""What stalls are measured with, in seconds."""

if hasattr(time, "CLOCK_BOOTTIME"):
    # On Linux the monotonic clock stands still while the machine is suspended; heartbeats are
    # missed all the same.
    clock = partial(time.clock_gettime, time.CLOCK_BOOTTIME)


class LoopWatch:
    """Has a ``Judge`` called by the event loop, as long as there is something to watch.

    The timer does not keep the loop running: gevent still finds out that nothing else would
    ever happen, and the program ends as it would without.
    """

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.thread = this_thread()
        self.judge = Judge(clock, warns=STALLS.is_on())
        self._timer: Any = None
        self._period = 0.0
        self.ran = 0.0
        """When the loop ran last, to the precision of the timer, by ``perf_counter``."""

    def add(self, client: WatchedClient) -> None:
        """Watch for stalls that endanger the client's session; in the hub's thread."""
        self.judge.add(client)
        if self._timer is None or self.judge.period < self._period:
            self._start()

    def remove(self, client: WatchedClient) -> None:
        """Watch no longer for the client; from any thread."""
        if is_own_thread(self.hub):
            self._remove(client)
        else:
            call_in_hub(self.hub, self._remove, client)

    def is_active(self) -> bool:
        """Return whether the timer runs."""
        return self._timer is not None

    def may_run(self) -> bool:
        """Return whether the event loop may run again; from any thread."""
        return not self.thread.ended and has_loop(self.hub)

    def _remove(self, client: WatchedClient) -> None:
        self.judge.remove(client)
        if not self.judge.is_used():
            self._stop()

    def _start(self) -> None:
        self._stop()
        self._period = self.judge.period
        loop: Any = self.hub.loop
        self._timer = loop.timer(self._period, self._period, ref=False)
        self._timer.start(self._tick)

    def _stop(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and has_loop(self.hub):  # one that is destroyed refuses it
            timer.close()

    def _tick(self) -> None:
        self.ran = time.perf_counter()
        if forks.was_forked():
            forks.notice_fork()
        if self is not getattr(_threads, "watch", None) or not self.judge.is_used():
            self._stop()  # the parent's, or of clients that are gone
        else:
            self.judge.tick()
            if self.judge.period == self._period:
                self._timer.again(self._tick)
            else:
                self._start()  # the session with the shortest time-out has ended


# One watch for each native thread, and none of gevent's: a hub belongs to a thread.
_threads = get_original("threading", "local")()


def watch(client: WatchedClient, timeout: float) -> LoopWatch:
    """Watch the calling thread's event loop for stalls that endanger the client's session.

    :param timeout: the session time-out that was negotiated, in seconds.
    :returns: what watches; its ``remove(client)`` ends that.
    """
    hub = get_hub()
    loop_watch = getattr(_threads, "watch", None)
    if loop_watch is None or loop_watch.hub is not hub:
        loop_watch = _threads.watch = LoopWatch(hub)
    client.begin(timeout)
    loop_watch.add(client)
    return loop_watch


def note(callback: Callable[..., object], began: float) -> None:
    """Say that a callback of this thread, which began then by ``perf_counter``, has just ended.

    It may have waited in between; it has run without a pause since the loop last ran.
    """
    loop_watch = getattr(_threads, "watch", None)
    if loop_watch is not None:
        loop_watch.judge.note(callback, time.perf_counter() - max(began, loop_watch.ran))


def _forget(_: object) -> None:
    """Drop the parent's watch in a forked child; its timer ends when it next comes."""
    _threads.watch = None


forks.hooks.append(_forget)

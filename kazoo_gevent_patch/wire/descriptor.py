"""Waiting in the event loop for a descriptor, with a deadline: cheap to do over and over."""

from __future__ import annotations

from math import inf
from time import perf_counter
from typing import Any, Final

from gevent import get_hub, getcurrent
from gevent.exceptions import ConcurrentObjectUseError
from gevent.hub import Hub

from kazoo_gevent_patch.loop.waiting import Place
from kazoo_gevent_patch.wire.wake_channel import WakeReader

READ: Final = 1  # the event loop's numbers for what an io watcher waits for
WRITE: Final = 2


class DescriptorEvents:
    """Where one greenlet at a time waits for a descriptor.

    The place and the loop's watchers are kept from one wait to the next, and so is the timer: it
    stays set when a wait ends before its deadline, for the next deadline is mostly a later one.
    Where it rings too early for the greenlet that waits then, that is a false alarm; and so is
    a wake-up for an earlier wait.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._watchers: dict[int, Any] = {}
        self._timer: Any = None
        self._rings = inf
        """When the timer rings; ``inf`` if it is not known to be active."""
        self._wait_in(get_hub())
        self._is_used = False
        """Whether a greenlet waits in the place."""

    def wait(self, events: int, deadline: float, channel: WakeReader) -> int:
        """Return the events that ended the wait, 0 for anything else.

        That is the deadline (by ``perf_counter``; ``inf`` is never), a byte in the
        channel, or a false alarm.
        """
        if self._is_used:
            raise ConcurrentObjectUseError("Another greenlet already waits for this connection")
        place = self._place
        hub: Any = place.hub
        # The parent mostly answers it; to ask for the hub takes longer. One that was destroyed has
        # no loop, and may have children that go on.
        if (hub.loop is None or getcurrent().parent is not hub) and get_hub() is not hub:
            self.close()
            place = self._wait_in(get_hub())
        elif place.ready():
            place.clear()  # woken when nobody waited
            self._rings = inf  # it may have been the timer
        watcher = self._watchers.get(events)
        if watcher is None:
            watcher = self._watchers[events] = place.hub.loop.io(self._fd, events)
        happened: Any = 0
        self._is_used = True
        try:
            watcher.start(self._go_on, pass_events=True)
            if deadline < self._rings:
                self._set_timer(deadline)
            happened = channel.waiting.wait(channel.size, None, None, place)
        finally:
            self._is_used = False
            if not happened:
                self._rings = inf  # it may have been the timer
            watcher.stop()
        return happened if type(happened) is int else 0

    def close(self) -> None:
        """Close the watchers and the timer."""
        for watcher in self._watchers.values():
            watcher.close()
        self._watchers.clear()
        self._rings = inf
        if self._timer is not None:
            self._timer.close()
            self._timer = None

    def end_wait(self) -> None:
        """Have the greenlet that waits, if there is one, go on as if it could read."""
        if self._is_used:
            self._place.wake(READ)

    def _wait_in(self, hub: Hub) -> Place:
        place = self._place = Place(hub)
        place.thread = None
        self._go_on = place.switch
        return place

    def _set_timer(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.close()
        self._timer = self._place.hub.loop.timer(max(deadline - perf_counter(), 0))
        self._timer.start(self._go_on, 0, update=True)
        self._rings = deadline

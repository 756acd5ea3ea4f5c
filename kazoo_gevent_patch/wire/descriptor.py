"""Waiting in the event loop for a descriptor, with a deadline: cheap to do over and over."""

from __future__ import annotations

from math import inf
from time import monotonic
from typing import Any, Final

from gevent.exceptions import ConcurrentObjectUseError

from kazoo_gevent_patch.loop.waiting import Place, WaitingList
from kazoo_gevent_patch.wire.wake_channel import WakeReader

READ: Final = 1  # the event loop's numbers for what an io watcher waits for
WRITE: Final = 2

_NO_CHANNEL: Final = WaitingList(), bool  # nothing wakes a place there; it is never over


class DescriptorEvents:
    """Where one greenlet at a time waits for a descriptor.

    The loop's watchers are kept from one wait to the next, and so is the timer: it stays set
    when a wait ends before its deadline, for the next deadline is mostly a later one. Where it
    rings too early for the greenlet that waits then, that is a false alarm.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._loop: Any = None
        """The loop of the watchers and the timer. Those of libuv do not say it themselves."""
        self._watchers: dict[int, Any] = {}
        self._timer: Any = None
        self._rings = inf
        """When the timer rings, if it is active."""
        self._place: Place | None = None
        """The place of the greenlet that waits."""

    def wait(self, events: int, deadline: float, channel: WakeReader | None) -> int:
        """Return the events that ended the wait, 0 for anything else.

        That is the deadline (by the monotonic clock; ``inf`` is never), a byte in the
        channel, or a false alarm.
        """
        if self._place is not None:
            raise ConcurrentObjectUseError("Another greenlet already waits for this connection")
        place = Place()
        watcher = self._watchers.get(events)
        if watcher is None or self._loop is not place.hub.loop:
            watcher = self._make_watcher(events, place.hub.loop)
        waiting, is_over = (
            _NO_CHANNEL if channel is None else (channel.waiting, channel.bytes.__len__)
        )
        self._place = place
        try:
            watcher.start(place.switch, pass_events=True)
            timer = self._timer
            if timer is not None and timer.active and self._rings <= deadline:
                timer.callback = place.switch
            elif deadline < inf:
                self._set_timer(deadline, place)
            happened = waiting.wait(is_over, home=place.hub, place=place)
        finally:
            self._place = None
            watcher.stop()
        return happened if type(happened) is int else 0

    def close(self) -> None:
        """Close the watchers and the timer."""
        for watcher in self._watchers.values():
            watcher.close()
        self._watchers.clear()
        if self._timer is not None:
            self._timer.close()
            self._timer = None

    def end_wait(self) -> None:
        """Have the greenlet that waits, if there is one, go on as if it could read."""
        if self._place is not None:
            self._place.wake(READ)

    def _make_watcher(self, events: int, loop: Any) -> Any:
        if self._loop is not loop:
            self.close()
            self._loop = loop
        watcher = self._watchers[events] = loop.io(self._fd, events)
        return watcher

    def _set_timer(self, deadline: float, place: Place) -> None:
        """Have the timer ring for the place, at the deadline."""
        if self._timer is not None:
            self._timer.close()
        self._timer = self._loop.timer(max(deadline - monotonic(), 0))
        self._timer.start(place.switch, 0, update=True)
        self._rings = deadline

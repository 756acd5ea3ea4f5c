"""Waiting in the event loop for a descriptor, with a deadline: cheap to do over and over."""

from __future__ import annotations

from math import inf
from time import monotonic
from typing import Any, Final

from gevent.exceptions import ConcurrentObjectUseError

from kazoo_gevent_patch.loop.waiting import Waiter, call_in_hub
from kazoo_gevent_patch.wire.wake_channel import WakeReader

READ: Final = 1  # the event loop's numbers for what an io watcher waits for
WRITE: Final = 2


class DescriptorEvents:
    """Where one greenlet at a time waits for a descriptor.

    The loop's watchers are kept from one wait to the next, and so is the timer: it stays set
    when a wait ends before its deadline, for the next deadline is mostly a later one. When
    it rings too early for whoever waits then, it is set once more.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._loop: Any = None
        """Whose the watchers and the timer are. Those of libuv do not say it themselves."""
        self._watchers: dict[int, Any] = {}
        self._timer: Any = None
        self._rings = inf
        """When the timer rings; ``inf`` if it is not set."""
        self._deadline = inf
        self.waiter: Waiter[int] | None = None
        """Of the greenlet that waits."""

    def wait(self, events: int, deadline: float, channel: WakeReader | None) -> int:
        """Return the events that ended the wait, 0 for anything else.

        That is the deadline (by the monotonic clock; ``inf`` is never), a byte in the
        channel, or a false alarm.
        """
        if self.waiter is not None:
            raise ConcurrentObjectUseError("Another greenlet already waits for this connection")
        waiter: Waiter[int] = Waiter()
        watcher = self._watchers.get(events)
        if watcher is None or self._loop is not waiter.hub.loop:
            watcher = self._make_watcher(events, waiter.hub.loop)
        self.waiter = waiter
        try:
            watcher.start(waiter.switch, pass_events=True)
            self._deadline = deadline
            if deadline < self._rings:
                self._set_timer()
            if channel is None:
                return waiter.get()
            channel.waiters.append(waiter)
            # A byte that came before the registration woke nobody: look once more.
            return 0 if channel.bytes else waiter.get() or 0
        finally:
            self.waiter = None
            self._deadline = inf
            watcher.stop()
            if channel is not None:
                channel.waiters.clear()

    def close(self) -> None:
        """Close the watchers and the timer."""
        for watcher in self._watchers.values():
            watcher.close()
        self._watchers.clear()
        self._close_timer()

    def end_wait(self) -> None:
        """Have the greenlet that waits, if there is one, go on as if it could read."""
        if self.waiter is not None:
            call_in_hub(self.waiter.hub, self.waiter.switch, READ)

    def _make_watcher(self, events: int, loop: Any) -> Any:
        if self._loop is not loop:
            self.close()
            self._loop = loop
        watcher = self._watchers[events] = loop.io(self._fd, events)
        return watcher

    def _set_timer(self) -> None:
        """Set the timer to ring at the deadline."""
        self._close_timer()
        self._timer = self._loop.timer(max(self._deadline - monotonic(), 0))
        self._timer.start(self._ring, update=True)
        self._rings = self._deadline

    def _close_timer(self) -> None:
        if self._timer is not None:
            self._timer.close()
            self._timer = None
            self._rings = inf

    def _ring(self) -> None:
        waiter = self.waiter
        self._close_timer()
        if waiter is None or self._deadline == inf:
            return
        if monotonic() < self._deadline:
            self._set_timer()
        else:
            waiter.switch(0)

"""``Event``: gevent's, for greenlets of any event loop and for native threads at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import gevent.event

from kazoo_gevent_patch.loop.waiting import Link, Place, WaitingList

_set: Final = gevent.event.Event.set


class Event(gevent.event.Event):
    """An event with the interface of ``threading.Event``, and with gevent's.

    May be shared by greenlets of any event loop and by native threads.
    """

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        super().__init__()
        self._waiting = WaitingList()

    def __repr__(self) -> str:
        state = "set" if self.is_set() else "clear"
        return f"<{type(self).__name__} {state}, {len(self._waiting)} waiting>"

    __str__ = __repr__

    def waiters(self) -> list[Place]:
        """Return the places of the greenlets that wait; safe in any native thread."""
        return self._waiting.greenlets()

    def set(self) -> None:
        """Set the flag and wake up all that wait now, in the order in which they came."""
        _set(self)
        self._waiting.wake_all(self)

    def wait(self, timeout: float | None = None) -> bool:  # type: ignore[override]
        """Wait for the flag to be set, at most ``timeout`` seconds; None waits for ever.

        Returns False on time-out; True if the flag is set, or a ``set()`` was under way since
        this began to wait, though it may be cleared again.
        """
        # Not "or self.is_set()" alone: woken, it is true though the flag was cleared since.
        return self.is_set() or bool(self._waiting.wait(self.is_set, timeout)) or self.is_set()

    def rawlink(self, callback: Callable[[Event], object]) -> None:
        """Have ``callback`` called once with this event when it is set, now if it is.

        It is called in the event loop of the calling thread, and must not block.
        """
        link = Link(callback)
        self._waiting.append(link)
        if self.is_set():
            self._waiting.wake(link, self)

    def unlink(self, callback: Callable[[Event], object]) -> None:
        """Take back ``rawlink``, unless the callback has been called or is about to be."""
        for link in self._waiting.links_of(callback)[:1]:
            self._waiting.leave(link)

    def linkcount(self) -> int:
        """Return how many wait, or were linked."""
        return len(self._waiting)

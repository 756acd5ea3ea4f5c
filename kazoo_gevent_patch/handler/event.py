"""``Event``: gevent's, for greenlets of any event loop and for native threads at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import gevent.event

from kazoo_gevent_patch.loop.waiters import Line, Place, waiting_place

_set: Final = gevent.event.Event.set


class Event(gevent.event.Event):
    """An event with the interface of ``threading.Event``, and with gevent's.

    May be shared by greenlets of any event loop and by native threads. No wake-up is lost:
    who sets stores the flag first and looks at the line second, who waits joins the line
    first and looks at the flag second.
    """

    __slots__ = ("_line",)

    def __init__(self) -> None:
        super().__init__()
        self._line = Line()

    def set(self) -> None:
        """Set the flag and wake up all that wait now, in the order in which they came."""
        _set(self)
        # Counted, so that one that is woken and waits again at once does not keep this busy.
        for _ in range(len(self._line)):
            place = self._line.take_first()
            if place is not None:
                place.wake(self)

    def wait(self, timeout: float | None = None) -> bool:  # type: ignore[override]
        """Wait for the flag to be set, at most ``timeout`` seconds; None waits for ever.

        Returns False on time-out; True if the flag is set, or a ``set()`` was under way since
        this began to wait, though it may be cleared again.
        """
        if self.is_set():
            return True
        place = waiting_place()
        self._line.join(place)
        try:
            if not self.is_set():
                place.wait(timeout)
        finally:
            woken = not self._line.leave(place)
        return woken or self.is_set()

    def rawlink(self, callback: Callable[[Event], object]) -> None:
        """Have ``callback`` called once with this event when it is set, now if it is.

        It is called in the event loop of the calling thread, and must not block.
        """
        self._line.join(Place(callback))
        if self.is_set():
            self.set()

    def unlink(self, callback: Callable[[Event], object]) -> None:
        """Take back ``rawlink``, unless the callback has been called or is about to be."""
        self._line.remove(callback)

    def linkcount(self) -> int:
        """Return how many wait, or were linked."""
        return len(self._line)

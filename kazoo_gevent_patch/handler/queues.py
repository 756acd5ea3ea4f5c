"""``Queue``: for greenlets of any event loop and for native threads at once."""

from __future__ import annotations

from collections import deque
from queue import Empty
from time import monotonic
from typing import Any

from kazoo_gevent_patch.loop.waiters import Line, waiting_place


class Queue:
    """An unbounded first-in, first-out queue: what kazoo and its users ask of ``queue.Queue``.

    It is never full, and does not count tasks: there is no ``full()``, ``task_done()`` or
    ``join()``.

    May be shared by greenlets of any event loop and by native threads. No item is left while
    somebody waits: who puts stores the item first and looks at the line second, who gets
    joins the line first and looks for an item second; and who was woken, and leaves without
    looking, wakes the next.
    """

    __slots__ = ("__weakref__", "_items", "_line")

    def __init__(self) -> None:
        self._items: deque[Any] = deque()
        self._line = Line()

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Add an item; never waits, whatever the other arguments say."""
        self._items.append(item)
        self._wake_first()

    put_nowait = put

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Remove and return the first item, waiting at most ``timeout`` seconds for one.

        None waits for ever. Raises ``queue.Empty`` if there is none in time or, with
        ``block`` false, at once; ``ValueError`` if it should wait less than no time.
        """
        if block and timeout is not None and timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")
        deadline = None if timeout is None else monotonic() + timeout
        while True:
            try:
                return self._items.popleft()
            except IndexError:
                remaining = None if deadline is None else deadline - monotonic()
                if not block or (remaining is not None and remaining <= 0):
                    raise Empty from None
            self._wait(remaining)

    def get_nowait(self) -> Any:
        """Remove and return the first item; raise ``queue.Empty`` if there is none."""
        return self.get(block=False)

    def empty(self) -> bool:
        """Return whether there is no item."""
        return not self._items

    def qsize(self) -> int:
        """Return the number of items."""
        return len(self._items)

    def _wait(self, timeout: float | None) -> None:
        place = waiting_place()
        self._line.join(place)
        try:
            if not self._items:
                place.wait(timeout)
        except BaseException:
            if not self._line.leave(place):
                self._wake_first()
            raise
        self._line.leave(place)

    def _wake_first(self) -> None:
        while self._items and (place := self._line.take_first()) is not None:
            if place.wake(None):
                return

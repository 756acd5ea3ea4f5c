"""``Queue``: for greenlets of any event loop and for native threads at once."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from queue import Empty
from time import monotonic
from typing import Any

from gevent import getcurrent

from kazoo_gevent_patch.loop.hubs import hub_of_this_thread
from kazoo_gevent_patch.loop.waiting import SLICE, TimeSlice, WaitingList


class Queue:
    """An unbounded first-in, first-out queue: what kazoo and its users ask of ``queue.Queue``.

    It is never full, and counts no tasks: it has no ``full()``, ``task_done()`` or ``join()``.

    May be shared by greenlets of any event loop and by native threads. No item is left while
    code waits for one: ``put`` wakes one place, and code that leaves ``get`` while there are items
    wakes the next. Nor does a greenlet that takes one item after the other keep the event loop from
    running: ``get`` lets it run, at most once in a time slice.
    """

    __slots__ = ("__weakref__", "_items", "_slice", "_taker", "_waiting")

    def __init__(self) -> None:
        self._items: deque[Any] = deque()
        self._waiting = WaitingList()
        self._slice = TimeSlice()
        self._taker = 0
        """The ``id`` of the greenlet that took the last item."""

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Add an item; never waits, whatever the other arguments say."""
        self._items.append(item)
        self._waiting.wake_first()

    put_nowait = put

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Remove and return the first item, waiting at most ``timeout`` seconds for one.

        None waits for ever. Raises ``queue.Empty`` if there is none in time or, with
        ``block`` false, at once; ``ValueError`` if it should wait less than no time.
        """
        if block and timeout is not None and timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")
        deadline = None if timeout is None else monotonic() + timeout
        if block and (timeout is None or timeout > SLICE) and self._items:
            self._give_way()
        try:
            while True:
                with suppress(IndexError):
                    return self._items.popleft()
                remaining = None if deadline is None else deadline - monotonic()
                if not block or (remaining is not None and remaining <= 0):
                    raise Empty
                self._waiting.wait(self._items.__len__, remaining)
        finally:
            if self._items and self._waiting:
                self._waiting.wake_first()

    def _give_way(self) -> None:
        # Before an item is taken: an exception that comes meanwhile takes none with it. Another
        # greenlet, such as one that a signal's handler has interrupted, is not made to wait.
        greenlet, hub = getcurrent(), hub_of_this_thread()
        last, self._taker = self._taker, id(greenlet)
        if last == self._taker and self._slice.is_over() and hub not in (None, greenlet):
            self._slice.give_way()

    def get_nowait(self) -> Any:
        """Remove and return the first item; raise ``queue.Empty`` if there is none."""
        return self.get(block=False)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._items)}, {len(self._waiting)} waiting>"

    def empty(self) -> bool:
        """Return whether there is no item."""
        return not self._items

    def qsize(self) -> int:
        """Return the number of items."""
        return len(self._items)

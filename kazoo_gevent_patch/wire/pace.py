"""How many greenlets the connection greenlet wakes in one turn of the event loop.

All greenlets that have got a reply go on in the same turn. If each of them works for a while,
everybody else waits for the work of all of them: 49 ms, if there are 50 and each works for 1 ms.
So the connection greenlet wakes fewer of them in a turn while they work for long.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any, Final

from gevent import get_hub
from gevent.hub import Hub

from kazoo_gevent_patch.loop.hubs import call_in_hub, hub_of_this_thread
from kazoo_gevent_patch.loop.waiting import TimeSlice

WORK: Final = 0.002
"""Seconds that the greenlets may work in one turn."""

FEWEST: Final = 2
"""Greenlets that are woken in a turn in any case, and no more as long as nothing is known."""

GROWTH: Final = 1.05
"""How many times as many are woken in the next turn at most: they may do other work by then."""


class _Note:
    """Remembers when the event loop made a call, which is one of functions written in C."""

    __slots__ = ("_call", "_times")

    def __init__(self) -> None:
        self._times: list[float] = []
        self._call: Any = map(self._times.append, iter(perf_counter, None))

    def ask(self, hub: Hub) -> None:
        """Have the loop make the call, and forget the last one."""
        self._times.clear()
        call_in_hub(hub, next, self._call)

    def time(self, otherwise: float) -> float:
        """Return when the loop made the call."""
        return self._times[-1] if self._times else otherwise


class Pace(TimeSlice):
    """The time slice of one connection greenlet. It also ends when enough greenlets are woken.

    The event loop makes the calls that it is asked for in their order. So the time between one that
    was asked for before the second greenlet was woken, and one at the end of the slice, is the work
    of all of them but the first, and of nothing else that waits for its turn.
    """

    __slots__ = ("_began", "_ended", "_most", "woken")

    def __init__(self) -> None:
        super().__init__()
        self._began, self._ended = _Note(), _Note()
        self._most: float = FEWEST
        self.woken = 0
        """How many greenlets were woken in this slice."""

    def wakes(self) -> None:
        """Say that a greenlet is about to be woken because it has got its reply."""
        self.woken += 1
        if self.woken == FEWEST and (hub := hub_of_this_thread()) is not None:
            self._began.ask(hub)
        if self.woken >= self._most:
            self.ends = 0.0

    def give_way(self) -> None:
        """Let the event loop run once, whole. For the connection greenlet only."""
        woken, self.woken = self.woken, 0
        if woken >= FEWEST:
            self._ended.ask(get_hub())
        super().give_way()
        now = perf_counter()
        # gevent leaves some of the calls for the next turn if they take long.
        if woken >= FEWEST and (began := self._began.time(now)) < now:
            work = max(self._ended.time(now) - began, 1e-9)
            self._most = max(min(self._most * GROWTH, WORK * (woken - 1) / work), FEWEST)

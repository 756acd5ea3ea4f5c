"""How many replies the connection greenlet hands out in one turn of the event loop.

All greenlets that have got a reply go on in the same turn. If each of them works for a while,
everybody else waits for the work of all of them: 49 ms, if there are 50 and each works for 1 ms.
So the time slice of the connection greenlet gets shorter while their work is long.
"""

from __future__ import annotations

from math import nan
from time import perf_counter
from typing import Any, Final

from gevent import get_hub
from gevent.hub import Hub

from kazoo_gevent_patch.loop.waiting import SLICE, Place, TimeSlice

SHORT: Final = 0.00005
"""Seconds of a slice, as long as nothing is known of the work."""

FIRST: Final = 0.0002
"""Seconds of the first slice after a wait, at most: the work may be another one by then."""

WORK: Final = 0.002
"""Seconds of work in one turn. After more of it the next slice is shorter."""

GROWTH: Final = 1.1
"""How many times as long the next slice is after less work."""


class _Note:
    """Notes when the event loop makes a call. Python code is not involved then."""

    __slots__ = ("_call", "times")

    def __init__(self) -> None:
        self.times: list[float] = []
        self._call: Any = map(self.times.append, iter(perf_counter, None))

    def ask(self, hub: Hub) -> None:
        """Have the loop make the call, and forget the last one."""
        loop: Any = hub.loop
        self.times.clear()
        loop.run_callback(next, self._call)


class Pace(TimeSlice):
    """The time slice of one connection greenlet.

    The event loop makes the calls that it is asked for in their order. So the time between one that
    was asked for at the beginning of a slice and one at its end is the work of all that the
    connection greenlet has woken in that slice, and of nothing else.
    """

    __slots__ = ("_began", "_ended", "_length", "_measured", "first")

    def __init__(self) -> None:
        self._began, self._ended = _Note(), _Note()
        self._measured = nan
        """The end of the slice at whose beginning a call was asked for."""
        self._set_length(SHORT)
        super().__init__()

    def _set_length(self, seconds: float) -> None:
        self._length = seconds
        self.first = min(seconds, FIRST)
        """Seconds of the next slice after a wait."""

    def let_others_run(self, has_more: bool) -> None:
        """Let the event loop run until all that was woken in this slice has gone on.

        ``has_more`` tells whether there are replies left; if not, this slice says little of how
        long one may be. For the connection greenlet only.
        """
        hub = get_hub()
        is_measured, self._measured = self.ends == self._measured, nan
        self._ended.ask(hub)
        # gevent leaves some of the calls for the next turn if they take long.
        while True:
            Place(hub).wait(0)
            if self._ended.times:
                break
        if is_measured and self._began.times:
            self._adapt(self._ended.times[0] - self._began.times[0], has_more)
        self._began.ask(hub)
        self.ends = self._measured = perf_counter() + self._length

    def _adapt(self, work: float, has_more: bool) -> None:
        if work > WORK:
            self._set_length(self._length * WORK / work)
        elif has_more:
            self._set_length(min(self._length * GROWTH, SLICE))

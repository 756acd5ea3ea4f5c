"""Waiting in line: greenlets of any native thread that wait for the same thing.

gevent's events and locks belong to the one event loop in which they were first waited for.
Code for kazoo's default handler shares a client, and what its recipes are made of, among
native threads. What is built on this line can be shared by greenlets of any event loop and
by native threads; a thread that has no event loop waits without one.

No wake-up is lost: who wakes stores the news first and looks at the line second, who waits
joins the line first and looks for the news second.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from gevent import get_hub

from kazoo_gevent_patch.loop.threads import this_thread
from kazoo_gevent_patch.loop.waiting import (
    ThreadWaiter,
    Waiter,
    call_in_hub,
    hub_of_this_thread,
    hub_to_wait_in,
)

FAR_OFF: Final = 10 * 365 * 86400.0
"""Seconds that nobody waits."""


class Place:
    """A place in a line, and what is called in the event loop of who joined it.

    Or of who wakes it, if gevent has never been used in the thread of who joined: a loop that
    was made there would never run.
    """

    __slots__ = ("_hub", "_thread", "resume", "taken")

    def __init__(self, resume: Callable[[Any], object]) -> None:
        self._thread = this_thread()
        self._hub = hub_of_this_thread()
        if self._hub is None and threading.get_ident() == threading.main_thread().ident:
            self._hub = get_hub()  # which the main thread may still run
        self.resume = resume
        self.taken = False

    def wake(self, news: object) -> bool:
        """Have the event loop call ``resume``; return False if it never runs again."""
        self.taken = True
        hub: Any = self._hub
        if hub is None:
            hub = get_hub()
        elif self._thread.ended or hub.loop is None:
            return False
        call_in_hub(hub, self.resume, news)
        return True


class GreenletPlace(Place):
    """The place of a greenlet that waits."""

    __slots__ = ("_waiter",)

    def __init__(self) -> None:
        self._waiter: Waiter[Any] = Waiter()
        super().__init__(self._waiter.switch)

    def wait(self, timeout: float | None) -> None:
        """Wait until the place is woken, at most ``timeout`` seconds; None waits for ever."""
        # Without a timer gevent takes it for a wait that never ends (LoopExit) where the
        # thread's event loop has nothing else to wait for: the news may come from another.
        timer = self._waiter.hub.loop.timer(FAR_OFF if timeout is None else max(timeout, 0))
        try:
            timer.start(self._waiter.switch, None, update=True)
            self._waiter.get()
        finally:
            timer.close()


class ThreadPlace:
    """The place of a native thread that waits, without an event loop."""

    __slots__ = ("_thread", "_waiter", "resume", "taken")

    def __init__(self) -> None:
        self._thread = this_thread()
        self._waiter = ThreadWaiter()
        self.resume = None
        self.taken = False

    def wake(self, news: object) -> bool:
        """End the wait; return False if the thread has ended."""
        self.taken = True
        self._waiter.wake()
        return not self._thread.ended

    def wait(self, timeout: float | None) -> None:
        """Wait until the place is woken, at most ``timeout`` seconds; None waits for ever."""
        self._waiter.wait(timeout)


AnyPlace: TypeAlias = "Place | ThreadPlace"


def waiting_place() -> GreenletPlace | ThreadPlace:
    """Return a place for the caller. Raises ``CannotWaitError`` in the event loop itself."""
    return ThreadPlace() if hub_to_wait_in() is None else GreenletPlace()


class Line:
    """The places, first come, first served. Safe from any greenlet and any native thread.

    ``list.append``, ``remove`` and ``pop`` are atomic, so each place is taken out once: by
    the one who wakes it, or by the one who gives it up.
    """

    __slots__ = ("_places",)

    def __init__(self) -> None:
        self._places: list[AnyPlace] = []

    def __len__(self) -> int:
        return len(self._places)

    def join(self, place: AnyPlace) -> None:
        """Add a place at the end."""
        self._places.append(place)

    def leave(self, place: AnyPlace) -> bool:
        """Give the place up; return False if somebody has taken it out to wake it."""
        if place.taken:
            return False
        try:
            self._places.remove(place)
        except ValueError:
            return False
        return True

    def remove(self, resume: Callable[[Any], object]) -> None:
        """Give up the first place that calls ``resume``, if there is one."""
        for place in list(self._places):
            if place.resume == resume:
                self.leave(place)
                return

    def take_first(self) -> AnyPlace | None:
        """Take the first place out, for the caller to wake; None when there is none."""
        try:
            return self._places.pop(0)
        except IndexError:
            return None

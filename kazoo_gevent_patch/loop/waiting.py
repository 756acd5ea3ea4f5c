"""The one way of waiting, for greenlets of any event loop and for native threads.

gevent's own primitives belong to the event loop in which somebody first waited for them, and
gevent has no public way to wait for two things at once. Code for kazoo's default handler shares
a client, and what its recipes are made of, among native threads. So everything here that waits
(results, events, locks, queues, callback workers, the connection) waits in a ``WaitingList``:

* A greenlet waits in its event loop. A thread in which gevent was never used waits without one.
* Code that waits joins the list first, and then looks at the state. Code that changes the state
  does that first, and then looks at the list. In whichever way the two interleave, in one thread
  or in two, either the waker sees the place in the list or the waiter sees the new state: **no
  wake-up is lost**.
* A waker wakes a place first, and then takes it out of the list. A signal handler's exception may
  come between the two; then the place is woken once more, which does nothing.
* A callback must be called only once: calling it and taking its ticket are one step, which nothing
  can interrupt (``atomically``).
* In a child whose fork ran no hook (uWSGI) a wait that ends notices the fork.

Each method is safe in any greenlet and in any native thread: ``list.append``, ``remove`` and
``pop`` are atomic.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter
from typing import Any, Final, TypeAlias

from gevent import get_hub, getcurrent
from gevent.hub import Hub, Waiter
from gevent.monkey import get_original

from kazoo_gevent_patch.loop.atomic import atomically
from kazoo_gevent_patch.loop.forks import mark, notice_fork
from kazoo_gevent_patch.loop.hubs import (
    call_in_hub,
    current_thread,
    has_loop,
    hub_of_this_thread,
    hub_to_wait_in,
    waker,
)
from kazoo_gevent_patch.loop.threads import NativeThread, this_thread

FAR_OFF: Final = 10 * 365 * 86400.0
"""Seconds that nothing here waits."""

SLICE: Final = 0.001
"""Seconds that a greenlet may go on without letting the event loop run."""

_native_lock = get_original("_thread", "allocate_lock")
_native_local: type[object] = get_original("threading", "local")


class _Resumed(_native_local):  # type: ignore[misc, valid-type]
    """When a greenlet of this thread last went on after a wait in a list, by ``perf_counter``."""

    at = 0.0


resumed: Final = _Resumed()


class Place(Waiter):  # type: ignore[type-arg]
    """The place of a greenlet in a waiting list."""

    __slots__ = ("thread",)

    # gevent's stub has it as a slot and as a property, too much for pyright.
    hub: Hub  # pyright: ignore[reportIncompatibleMethodOverride]

    thread: NativeThread | None
    """The thread of the event loop; None if that goes on as long as the greenlet waits."""

    def wake(self, news: object = True) -> None:
        """Have the greenlet go on, if its event loop ever runs again."""
        hub = self.hub
        if current_thread() == hub.thread_ident:
            hub.loop.run_callback(self.switch, news)
        else:
            call_in_hub(hub, self.switch, news)

    def is_living(self) -> bool:
        """Return whether the greenlet's event loop may still run."""
        return has_loop(self.hub) and (self.thread is None or not self.thread.ended)

    def wait(self, timeout: float | None) -> Any:
        """Wait until the place is woken, at most ``timeout`` seconds, and return the news.

        Returns False on time-out. None waits for ever, with a timer all the same: without one
        gevent takes it for a wait that never ends (``LoopExit``) where the loop has nothing else to
        wait for, and the news may come from another thread.
        """
        timer = self.hub.loop.timer(FAR_OFF if timeout is None else max(timeout, 0))
        try:
            timer.start(self.switch, False, update=True)
            return self.get()
        finally:
            timer.close()


class ThreadPlace:
    """The place of a native thread that waits without an event loop."""

    __slots__ = ("_lock", "thread")

    thread: NativeThread

    def __init__(self) -> None:
        self.thread = this_thread()
        self._lock = _native_lock()
        self._lock.acquire()

    def wake(self, news: object = True) -> None:
        """Have the thread go on."""
        with suppress(RuntimeError):  # it was woken before
            self._lock.release()

    def is_living(self) -> bool:
        """Return whether the thread has not ended."""
        return not self.thread.ended

    def clear(self) -> None:
        """Do nothing: a wait that is over forgets that it was woken."""

    def wait(self, timeout: float | None) -> Any:
        """Wait until the place is woken, at most ``timeout`` seconds; None waits for ever."""
        seconds = -1.0 if timeout is None else min(max(timeout, 0), threading.TIMEOUT_MAX)
        return self._lock.acquire(timeout=seconds)


class Link:
    """The place of a callback: it is called once, in the event loop of the code that linked it.

    Where that thread has no event loop, it is called in the one of the waker: one that was made
    for the link would never run.
    """

    __slots__ = ("_hub", "_ticket", "callback")

    def __init__(self, callback: Callable[[Any], object]) -> None:
        self._hub = hub_of_this_thread()
        if self._hub is None and threading.get_ident() == threading.main_thread().ident:
            self._hub = get_hub()  # which the main thread may still run
        self._ticket = [True]
        self.callback = callback

    def wake(self, news: object = True) -> None:
        """Have the callback called with the news, if it was not yet."""
        hub = get_hub() if self._hub is None else self._hub
        with suppress(IndexError, ValueError):  # the latter if the loop was destroyed meanwhile
            atomically(self._ticket.pop, waker(hub, self.callback, news))


AnyPlace: TypeAlias = "Place | ThreadPlace | Link"


def new_place(home: Hub | None = None) -> Place | ThreadPlace:
    """Return a place for the caller. Raises ``CannotWaitError`` in the event loop itself.

    ``home`` is the hub whose event loop goes on, if there is one.
    """
    hub = hub_to_wait_in()
    if hub is None:
        return ThreadPlace()
    place = Place(hub)
    place.thread = None if hub is home else this_thread()
    return place


class WaitingList(list[Any]):
    """The places of all that wait for one thing, in the order in which they came."""

    __slots__ = ()

    def wait(
        self,
        is_over: Callable[[], object],
        timeout: float | None = None,
        home: Hub | None = None,
        kept: Place | None = None,
    ) -> Any:
        """Wait until the caller is woken, and return the news; False if nothing woke it.

        ``is_over`` says whether there is nothing to wait for any more; it is asked once, after the
        caller joined the list. ``timeout`` is in seconds, None is for ever. In the ``home`` hub
        that needs no timer: the loop has something else to wait for. ``kept`` is a place that the
        caller keeps for its waits, which others may wake as well. Raises ``CannotWaitError``
        in the event loop itself, unless the time-out is zero or less: that waits for nothing.
        """
        if kept is not None:
            place: Place | ThreadPlace = kept
        elif timeout is not None and timeout <= 0 and getcurrent() is hub_of_this_thread():
            return False
        else:
            place = new_place(home)
        try:
            self.append(place)
            if is_over():
                return False
            # Without a timer only where the event loop goes on in any case.
            news = place.get() if timeout is None and place.thread is None else place.wait(timeout)
        finally:
            if self:
                try:
                    self.remove(place)
                except ValueError:
                    pass
        if not mark[0]:
            notice_fork()
        if kept is None:
            resumed.at = perf_counter()
        return news

    def leave(self, place: AnyPlace) -> None:
        """Take the place out, if nothing else has done so."""
        try:
            self.remove(place)
        except ValueError:
            pass

    def wake(self, place: AnyPlace, news: object = True) -> None:
        """Wake the place and take it out."""
        place.wake(news)
        self.leave(place)

    def wake_all(self, news: object = True) -> None:
        """Wake each place that is in the list now."""
        # A copy, so that a place that is woken and joins again at once does not keep this busy.
        for place in tuple(self):
            place.wake(news)
            try:
                self.remove(place)
            except ValueError:
                pass  # it has left by itself

    def wake_first(self) -> None:
        """Wake the first place whose greenlet or thread may still go on."""
        for place in tuple(self):
            is_living = place.is_living()
            self.wake(place)
            if is_living:
                return

    def greenlets(self) -> list[Place]:
        """Return the places of the greenlets that wait now; safe in any native thread."""
        return [place for place in tuple(self) if type(place) is Place]

    def links_of(self, callback: object) -> list[Any]:
        """Return the links of the callback that are in the list now, or the callback itself."""
        links = (link for link in tuple(self) if type(link) not in (Place, ThreadPlace))
        return [
            link for link in links if (link.callback if type(link) is Link else link) == callback
        ]


class TimeSlice:
    """Reminds a loop that always finds something to do to let the event loop run.

    ``gevent.sleep(0)`` is not enough: it resumes the greenlet in the same run of callbacks,
    before the event loop has looked at its timers and descriptors. Waiting for a timer of
    no length takes one whole iteration of the loop.
    """

    __slots__ = ("ends",)

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Say that the event loop has just run."""
        self.ends = perf_counter() + SLICE

    def is_over(self) -> bool:
        """Return whether this slice has ended, and no greenlet of this thread has waited in a list
        within the last millisecond."""
        now = perf_counter()
        return now >= self.ends and now >= resumed.at + SLICE

    def give_way(self) -> None:
        """Let the event loop run once, whole."""
        Place(get_hub()).wait(0)
        self.restart()

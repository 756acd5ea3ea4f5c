"""Waking a waiting greenlet from wherever the news comes, and giving way to the others."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

import gevent
import gevent.hub
from gevent import get_hub, getcurrent

# Nothing public asks for the hub without making one, and one that is made in a native thread
# keeps its descriptors open when the thread ends.
from gevent._hub_local import get_hub_if_exists
from gevent.hub import Hub
from gevent.monkey import get_original

from kazoo_gevent_patch.errors import CannotWaitError

if TYPE_CHECKING:
    _T = TypeVar("_T")

    class Waiter(gevent.hub.Waiter[_T]):
        """gevent's. Its stub has ``hub`` as a slot and as a property, too much for pyright."""

        hub: Hub  # pyright: ignore[reportIncompatibleMethodOverride]
else:
    Waiter = gevent.hub.Waiter

_current_thread = get_original("_thread", "get_ident")
_native_lock = get_original("_thread", "allocate_lock")
_native_sleep = get_original("time", "sleep")

SLICE = 0.001
"""Seconds that a greenlet may go on without letting the event loop run."""


def is_own_thread(hub: Hub) -> bool:
    """Return whether the caller runs in the thread of ``hub``."""
    return bool(_current_thread() == hub.thread_ident)


def call_in_hub(hub: Hub, function: Callable[..., object], *args: object) -> None:
    """Have ``hub`` call the function soon, from whatever thread this is called."""
    loop: Any = hub.loop
    if loop is None:
        return  # the hub was destroyed, and with it whatever waited there
    if _current_thread() == hub.thread_ident:
        loop.run_callback(function, *args)
    else:
        # Destroyed since, in its own thread: gevent's loop in C tells so, those in Python have
        # lost the attribute by then.
        with suppress(ValueError, AttributeError):
            loop.run_callback_threadsafe(function, *args)


def hub_of_this_thread() -> Hub | None:
    """Return the calling thread's hub; None if gevent has never been used in this thread."""
    hub: Hub | None = get_hub_if_exists()
    return hub


def hub_to_wait_in() -> Hub | None:
    """Return the hub whose event loop runs while the caller waits; None if there is none.

    Raises ``CannotWaitError`` in that event loop itself. For who is about to wait.
    """
    hub: Hub | None = get_hub_if_exists()
    if hub is not None and getcurrent() is hub:
        raise CannotWaitError(
            "This call waits, and was made in the event loop (a signal handler of an idle "
            "program, a gevent callback), where nothing can wait; use "
            "client.handler.spawn(function) or, for a signal, gevent.signal_handler"
        )
    return hub


def sleep(seconds: float = 0, ref: bool = True) -> None:
    """Sleep, and let the other greenlets of the thread run meanwhile: the handler's sleep_func.

    ``seconds`` may be a fraction; ``ref`` is as in ``gevent.sleep``. May be called in any
    greenlet and in any native thread; raises ``CannotWaitError`` in the event loop itself.
    """
    # Greenlets, timers and watchers all make the hub of their thread. So where there is no
    # hub there is nobody to let run, in the main thread either; gevent.sleep would make one.
    if hub_to_wait_in() is None:
        _native_sleep(max(seconds, 0))
    else:
        gevent.sleep(seconds, ref)


class ThreadWaiter:
    """Waits in a native thread in which gevent has never been used: as plain threads do."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = _native_lock()
        self._lock.acquire()

    def wake(self) -> None:
        """End the wait, or the one to come. May be called from anywhere, more than once."""
        with suppress(RuntimeError):  # somebody else has ended it
            self._lock.release()

    def wait(self, timeout: float | None) -> None:
        """Wait until somebody calls ``wake``, at most ``timeout`` seconds; None is for ever."""
        self._lock.acquire(timeout=-1 if timeout is None else max(timeout, 0))


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
        """Return whether this slice is used up."""
        return perf_counter() >= self.ends

    def give_way(self) -> None:
        """Let the event loop run once, whole."""
        hub = get_hub()
        timer = hub.loop.timer(0)
        try:
            hub.wait(timer)
        finally:
            timer.close()
        self.restart()

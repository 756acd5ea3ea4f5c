"""gevent's hubs: the one of the calling thread, and calls into the one of another thread."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import gevent
from gevent import getcurrent

# Nothing public asks for the hub without making one, and one that is made in a native thread
# keeps its descriptors open when the thread ends.
from gevent._hub_local import get_hub_if_exists
from gevent.hub import Hub
from gevent.monkey import get_original

from kazoo_gevent_patch.errors import CannotWaitError

hub_of_this_thread: Callable[[], Hub | None] = get_hub_if_exists
"""Returns the calling thread's hub; None if gevent has never been used in this thread."""

current_thread: Callable[[], int] = get_original("_thread", "get_ident")
_native_sleep = get_original("time", "sleep")


def is_own_thread(hub: Hub) -> bool:
    """Return whether the caller runs in the thread of ``hub``."""
    return current_thread() == hub.thread_ident


def has_loop(hub: Hub) -> bool:
    """Return whether the hub's event loop was not destroyed, so that it may still run."""
    loop: Any = hub.loop
    return loop is not None


def call_in_hub(hub: Hub, function: Callable[..., object], *args: object) -> None:
    """Have ``hub`` call the function soon, from whatever thread this is called."""
    loop: Any = hub.loop
    if loop is None:
        return  # the hub was destroyed, and with it whatever waited there
    if current_thread() == hub.thread_ident:
        loop.run_callback(function, *args)
    else:
        # The hub's own thread may destroy it at this moment: gevent's loop in C then raises a
        # ValueError, and those in Python have lost the attribute.
        with suppress(ValueError, AttributeError):
            loop.run_callback_threadsafe(function, *args)


def waker(hub: Hub, function: Callable[..., object], *args: object) -> Callable[[], object]:
    """Return what has ``hub`` call the function soon: a callable that is written in C.

    It may be called from the calling thread only; it does nothing if the hub was destroyed.
    """
    loop: Any = hub.loop
    try:
        schedule = loop.run_callback if is_own_thread(hub) else loop.run_callback_threadsafe
    except AttributeError:
        return bool  # which does nothing
    return partial(schedule, function, *args)


def hub_to_wait_in() -> Hub | None:
    """Return the hub whose event loop runs while the caller waits; None if there is none.

    Raises ``CannotWaitError`` in that event loop itself.
    """
    hub = hub_of_this_thread()
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
    # Greenlets, timers and watchers all make the hub of their thread. So a thread without a hub
    # has nothing else to run, in the main thread either; gevent.sleep would make a hub.
    if hub_to_wait_in() is None:
        _native_sleep(max(seconds, 0))
    else:
        gevent.sleep(seconds, ref)

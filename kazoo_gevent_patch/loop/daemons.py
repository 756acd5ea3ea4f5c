"""Keeps the event loops of daemon threads out of the interpreter's end.

When the interpreter ends it kills each daemon thread that asks for the lock of the interpreter
(``PyThread_exit_thread``). That unwinds the thread's C stack, and greenlet's frames on it do not
stand that: now and then the process ends in SIGSEGV, with any gevent loop in a daemon thread. So
the loops that clients live in are stopped before: each waits in C, without the interpreter's lock,
for something that never comes.

Exit handlers of the program may still use a client, and one may be older than this module. So the
loops are stopped when Python drops its exit handlers, which is after the last of them has run.
"""

from __future__ import annotations

import atexit
import os
from _thread import get_native_id
from typing import Any, Final
from weakref import WeakKeyDictionary

from gevent.monkey import get_original

from kazoo_gevent_patch.loop.threads import NativeThread

_native_lock = get_original("_thread", "allocate_lock")

PARK_TIMEOUT: Final = 1.0
"""Seconds that the interpreter's exit waits, in total, for the loops of daemon threads."""


_hubs: WeakKeyDictionary[NativeThread, Any] = WeakKeyDictionary()


def is_main_thread() -> bool:
    """Return whether the calling native thread is the main one, whichever greenlet runs in it.

    After monkey patching ``threading`` tells greenlets apart, and not native threads.
    """
    return get_native_id() == os.getpid()


def remember(thread: NativeThread, hub: Any) -> None:
    """Have the exit stop the event loop of the calling thread, unless that is the main thread."""
    if not is_main_thread():
        _hubs[thread] = hub


def park() -> None:
    """Stop the event loops, and wait until they stand, at most ``PARK_TIMEOUT`` seconds."""
    loops = [hub.loop for thread, hub in list(_hubs.items()) if not thread.ended]
    never = _native_lock()
    never.acquire()
    for loop in filter(None, loops):
        stands = _native_lock()
        stands.acquire()

        def stand_still(stands: Any = stands) -> None:
            stands.release()
            never.acquire()

        loop.run_callback_threadsafe(stand_still)
        stands.acquire(timeout=PARK_TIMEOUT / len(loops))


class _Last:
    """An exit handler that parks the loops when Python drops it."""

    ending = False

    def __call__(self) -> None:
        self.ending = True

    def __del__(self) -> None:
        if self.ending:
            park()


atexit.register(_Last())

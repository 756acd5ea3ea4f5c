"""The helper thread: one in a process, native, there while there is something to attend to.

gevent knows nothing of it, monkey patched or not, and it uses nothing of gevent: it does its work
when gevent's loops stand still. It holds no lock that another thread waits for, and it is not there
at a fork: CPython 3.12 and newer warn of a fork in a process with threads.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from math import inf
from time import monotonic
from typing import Any, Final, Protocol
from weakref import ref

from gevent.monkey import get_original

from kazoo_gevent_patch.loop.daemons import is_main_thread

log = logging.getLogger("kazoo_gevent_patch")

LONGEST_WAIT: Final = 3600.0
"""Seconds that the thread sleeps at most."""

PATIENCE: Final = 1.0
"""Seconds that a fork, and the interpreter's exit, wait at most for the thread to end. It never
waits for anything but its alarm, and a thread needs some 50 us to end."""

_LOOK: Final = 0.0001
"""Seconds between two looks at whether it has ended."""

# gevent replaces these when it patches.
_start_new_thread = get_original("_thread", "start_new_thread")
_native_id = get_original("_thread", "get_native_id")
_native_lock = get_original("_thread", "allocate_lock")
_native_sleep = get_original("time", "sleep")

# What ``signal.pthread_sigmask`` calls. That makes an enumeration's member of each signal besides,
# which takes longer than to connect a client.
_signal: Final[Any] = import_module("_signal")

_OF_A_FAULT: Final = {
    signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT
}  # fmt: skip
"""The signals of a fault in the thread itself, which it cannot leave to another one."""

_BLOCKED: Final = frozenset(map(int, signal.valid_signals() - _OF_A_FAULT))


class Attended(Protocol):
    """What the thread attends to."""

    def attend(self) -> float:
        """Do what is due; return in how many seconds to call again."""
        ...


class Helper:
    """Calls what was added whenever that asks for it, in a thread of its own.

    All methods may be called in any native thread, and none of them waits, except ``pause``.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self, _: object = None) -> None:
        """Be as new, without a thread. In a forked child, which has not inherited it."""
        self._attended: set[ref[Attended]] = set()
        """Weak references, so that a client that nobody stopped can go."""
        self._seen: frozenset[ref[Attended]] = frozenset()
        """What the thread knows of: that of ``_attended`` when it last looked."""
        self._pauses: list[None] = []
        """One for each fork under way; and one at the interpreter's exit, for good."""
        self._free: list[tuple[()]] = [()]
        """The arguments of the thread, which are here unless there is one. The caller that takes
        them out starts it, and it puts them back as the last thing it does."""
        self._thread_id = 0
        """The kernel's id of the last thread."""
        self._wakes_at = inf
        """When the thread wakes up, by the monotonic clock; ``inf`` while it is at work."""
        self._alarm = _native_lock()
        """Released to wake the thread."""
        self._alarm.acquire()

    def add(self, thing: Attended, seconds: float) -> None:
        """Attend to ``thing``, in so many seconds for the first time, for as long as it lives.

        What the thread knows of keeps its time: the thread sleeps on.
        """
        reference = ref(thing, self._attended.discard)
        self._attended.add(reference)
        # Stored first, looked at second; the thread does it the other way round.
        if reference not in self._seen and monotonic() + seconds < self._wakes_at:
            self._ring()
        self._start()

    def remove(self, thing: Attended) -> None:
        """Attend to it no longer; the thread ends after the last one."""
        self._attended.discard(ref(thing))
        if not self._attended:
            self._ring()

    def pause(self) -> None:
        """End the thread, wait for that, and have none until ``resume`` is called."""
        self._pauses.append(None)
        self._ring()
        deadline = monotonic() + PATIENCE
        while (not self._free or self._is_there()) and monotonic() < deadline:
            _native_sleep(_LOOK)

    def resume(self) -> None:
        """Have the thread again, if there is something to attend to."""
        with suppress(IndexError):
            self._pauses.pop()
        self._start()

    def _is_there(self) -> bool:
        # Python cannot tell when a thread that it did not start as a Thread has ended. The kernel
        # can, and what CPython counts at a fork are the kernel's threads.
        if self._thread_id and not os.path.exists(f"/proc/self/task/{self._thread_id}"):
            self._thread_id = 0
        return self._thread_id != 0

    def _ring(self) -> None:
        with suppress(RuntimeError):  # it rings already
            self._alarm.release()

    def _start(self) -> None:
        if not self._attended or self._pauses or not self._free:
            return  # the last of these: there is a thread, and when it ends it calls this
        # A thread begins with the mask of the one that starts it. The system gives a signal to any
        # thread that does not block it; a program may block one in a section that it must not cut.
        mask = _signal.pthread_sigmask(signal.SIG_BLOCK, ())
        try:
            _signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
            # One call in C takes the arguments and starts the thread: what a signal's handler
            # raises cannot come in between, and leave neither.
            next(map(_start_new_thread, (self._run,), map(self._free.pop, (0,))))
        except IndexError:
            pass  # there is a thread
        except RuntimeError as error:
            self._free.append(())
            log.warning(
                "No thread can be started (%s): sessions expire while the event loop stands still",
                error,
            )
        finally:
            _signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _run(self) -> None:
        self._thread_id = _native_id()
        try:
            while self._attended and not self._pauses:
                self._alarm.acquire(True, self._attend())
                self._wakes_at = inf
        finally:
            self._free.append(())
        self._start()  # for what was added since, while there still was a thread

    def _attend(self) -> float:
        """Call everything that was added; return for how many seconds to sleep."""
        seconds = LONGEST_WAIT
        self._seen = frozenset(self._attended)
        for reference in self._seen:
            thing = reference()
            if thing is not None:
                seconds = min(seconds, thing.attend())
        self._wakes_at = monotonic() + seconds
        return seconds


helper: Final = Helper()


def _resume(_: object = None) -> int:
    helper.resume()
    return 0


_resume_soon: Callable[[], object] | None = None
if sys.version_info[:2] == (3, 13):
    # It counts the threads, to warn of them, only when the parent's hooks have run. What is pending
    # is run next by the main thread, which is after the call of fork.
    with suppress(ImportError):  # CPython was built without libffi
        import ctypes

        _pending: Final = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(_resume)
        _resume_soon = partial(ctypes.pythonapi.Py_AddPendingCall, _pending, None)


def _after_fork_in_parent() -> None:
    if _resume_soon is None or not is_main_thread() or _resume_soon():
        _resume()


os.register_at_fork(before=helper.pause, after_in_parent=_after_fork_in_parent)
atexit.register(helper.pause)

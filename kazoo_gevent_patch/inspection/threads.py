"""What another thread says of itself, and where it is if it says nothing.

A greenlet that goes on while another thread walks its frames crashes the interpreter (seen on
CPython 3.11). So its own thread walks them, between two of its instructions.
"""

from __future__ import annotations

import faulthandler
import os
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

from gevent.hub import Hub
from gevent.monkey import get_original

from kazoo_gevent_patch.loop.hubs import call_in_hub, is_own_thread

T = TypeVar("T")

PATIENCE: Final = 0.5
"""Seconds in which a thread has to answer."""

_native_lock = get_original("_thread", "allocate_lock")
_THREAD: Final = re.compile(r"(?:Current thread|Thread) 0x([0-9a-f]+)")
_FRAME: Final = re.compile(r'  (File ".*", line \S+) (in .*)')

_asked: list[Callable[[], None]] = []
"""What the main thread has yet to call."""


def ask(hub: Hub, function: Callable[[], T]) -> T | None:
    """Have the thread of a hub call the function, which must not switch; None if it does not.

    Its event loop does, if that runs. The main thread does also where the program computes.
    Signal handlers that raise meanwhile are held back, as in any code of this package.
    """
    if is_own_thread(hub):
        return function()
    answers: list[T] = []
    begun: list[bool] = []
    answered = _native_lock()
    answered.acquire()

    def answer() -> None:
        # The main thread may be asked in the middle of this, when its event loop has called it.
        if is_own_thread(hub) and not begun:
            begun.append(True)
            try:
                answers.append(function())
            finally:
                answered.release()

    call_in_hub(hub, answer)
    _asked.append(answer)
    _have_main_thread_answer()
    answered.acquire(True, PATIENCE)
    with suppress(ValueError):
        _asked.remove(answer)
    return answers[0] if answers else None


def _answer(_: object) -> int:
    """Call what is asked; the interpreter calls this in the main thread."""
    while _asked:
        _asked.pop()()
    return 0


def _no_way() -> None:
    pass


_have_main_thread_answer: Callable[[], Any] = _no_way
with suppress(ImportError):  # CPython was built without libffi
    import ctypes
    from functools import partial

    _pending: Final = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(_answer)
    _have_main_thread_answer = partial(ctypes.pythonapi.Py_AddPendingCall, _pending, None)


def stack_of_thread(hub: Hub, deepest: int) -> tuple[str, ...]:
    """Return where the thread of a hub is, the innermost frame last; nothing if it has ended.

    The interpreter writes that in one call of C, in which no thread goes on.
    """
    written = os.memfd_create("stacks")
    try:
        faulthandler.dump_traceback(written, all_threads=True)
        text = os.pread(written, 1 << 20, 0).decode(errors="replace")
    finally:
        os.close(written)
    frames: list[str] = []
    is_it = False
    for line in text.splitlines():
        if thread := _THREAD.match(line):
            is_it = int(thread[1], 16) == hub.thread_ident
        elif is_it and (frame := _FRAME.match(line)):
            frames.append(", ".join(frame.groups()))
    return tuple(reversed(frames[:deepest]))

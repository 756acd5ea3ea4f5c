"""What another thread says of itself, and where it is if it says nothing.

A greenlet that goes on while another thread walks its frames crashes the interpreter (seen on
CPython 3.11). So its own thread walks them, between two of its instructions.
"""

from __future__ import annotations

import faulthandler
import os
import re
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import IO, Any, Final, Generic, TypeVar

from gevent.hub import Hub

from kazoo_gevent_patch.loop.hubs import call_in_hub, is_own_thread

T = TypeVar("T")

_THREAD: Final = re.compile(r"(?:Current thread|Thread) 0x([0-9a-f]+)")
_FRAME: Final = re.compile(r'  (File ".*", line \S+) (in .*)')


class Question(Generic[T]):
    """A function that the thread of a hub is asked to call, and that must not switch.

    Its event loop calls it, if that runs. The main thread does also where the program computes.
    """

    def __init__(self, hub: Hub, function: Callable[[], T]) -> None:
        self.hub = hub
        self.answers: list[T] = []
        """What the function has returned; nothing before that."""
        self._function = function
        self._tickets = [None]
        if is_own_thread(hub):
            self.answer()
            return
        call_in_hub(hub, self.answer)
        if hub.main_hub:
            _bells.add(_Bell(self))
            _ring()

    def answer(self) -> None:
        """Call the function, unless that has begun, or the hub is of another thread."""
        # The main thread may be asked in the middle of this, when its event loop has called it.
        with suppress(Exception):  # such as that of the list, which is empty then
            if is_own_thread(self.hub):
                self._tickets.pop()
                self.answers.append(self._function())


class _Bell:
    """Has the main thread answer a question when the bell is dropped."""

    def __init__(self, question: Question[Any]) -> None:
        self._question = question

    def __del__(self) -> None:
        self._question.answer()


_bells: Final[set[object]] = set()
_ring: Callable[[], object] = bool
"""Has the main thread drop all bells."""

with suppress(ImportError):  # CPython was built without libffi
    import ctypes

    # What is pending must not raise. A function of Python could, such as a RecursionError. This one
    # is of C, and drops what is in the set; what comes out of a __del__ goes no further.
    _clear: Final = ctypes.cast(ctypes.pythonapi.PySet_Clear, ctypes.c_void_p)
    _prototype: Final = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.py_object)
    _ring = partial(_prototype(("Py_AddPendingCall", ctypes.pythonapi)), _clear, _bells)


def stack_of_thread(hub: Hub, deepest: int) -> tuple[str, ...]:
    """Return where the thread of a hub is, the innermost frame last; nothing if it is not known.

    The interpreter writes that in one call of C, in which no thread goes on.
    """
    try:
        with _scratch() as file:
            faulthandler.dump_traceback(file, all_threads=True)
            file.seek(0)
            text = file.read().decode(errors="replace")
    except OSError:
        return ()
    frames: list[str] = []
    is_it = False
    for line in text.splitlines():
        if thread := _THREAD.match(line):
            is_it = int(thread[1], 16) == hub.thread_ident
        elif is_it and (frame := _FRAME.match(line)):
            frames.append(", ".join(frame.groups()))
    return tuple(reversed(frames[:deepest]))


def _scratch() -> IO[bytes]:
    # Builds of Python against an old C library lack it.
    make = getattr(os, "memfd_create", None)
    return tempfile.TemporaryFile() if make is None else open(make("stacks"), "w+b")

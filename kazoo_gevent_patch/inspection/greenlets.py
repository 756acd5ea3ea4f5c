"""Where greenlets are, seen from any native thread while the program runs on.

A greenlet that goes on while another thread walks its frames crashes the interpreter (seen on
CPython 3.11). So its own thread walks them, between two of its instructions.
"""

from __future__ import annotations

import faulthandler
import os
import re
import sys
import tempfile
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from functools import partial
from itertools import chain
from time import monotonic
from types import FrameType
from typing import IO, Any, Final, Generic, NamedTuple, TypeVar

from gevent import getcurrent
from gevent.hub import Hub

from kazoo_gevent_patch.inspection.records import GreenletStatus
from kazoo_gevent_patch.loop.hubs import call_in_hub, has_loop, is_own_thread

T = TypeVar("T")

DEEPEST: Final = 40
"""Frames that are told of a stack at most: the innermost."""

PATIENCE: Final = 0.5
"""Seconds in which the threads have to answer."""

PAUSE: Final = 0.01
"""Seconds between two looks whether they have."""

_SILENT: Final = "the thread of the event loop, which does not answer"
_THREAD: Final = re.compile(r"(?:Current thread|Thread) 0x([0-9a-f]+)")
_FRAME: Final = re.compile(r'  (File ".*", line \S+) (in .*)')


class Named(NamedTuple):
    """A greenlet and what it is for."""

    name: str
    greenlet: Any
    hub: Hub | None
    """The hub of its event loop."""


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


def stack_of_thread(hub: Hub) -> tuple[str, ...]:
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
    return tuple(reversed(frames[:DEEPEST]))


def _scratch() -> IO[bytes]:
    # Builds of Python against an old C library lack it.
    make = getattr(os, "memfd_create", None)
    return tempfile.TemporaryFile() if make is None else open(make("stacks"), "w+b")


def look_at(
    greenlets: Iterable[Named], hubs: Iterable[Hub]
) -> Generator[float, None, tuple[GreenletStatus, ...]]:
    """Tell of the living greenlets, and of what else runs in the threads of the hubs.

    The thread of each hub tells of its own greenlets. If it does not answer, because a call of C
    keeps it, the interpreter tells from outside what runs in it, and of no greenlet that waits.

    Each step yields the seconds until the next one; the caller may do something else meanwhile.
    """
    by_hub: dict[Hub, list[Named]] = {hub: [] for hub in hubs}
    for named in greenlets:
        if named.hub is not None and named.greenlet is not None:
            by_hub.setdefault(named.hub, []).append(named)
    # A thread that ends destroys its hub, and another thread may get its number.
    living = filter(has_loop, by_hub)
    questions = [Question(hub, partial(_look, hub, by_hub[hub])) for hub in living]
    deadline = monotonic() + PATIENCE
    while not all(question.answers for question in questions) and monotonic() < deadline:
        yield PAUSE
    return tuple(chain.from_iterable(map(_told, questions)))


def _told(question: Question[list[GreenletStatus]]) -> list[GreenletStatus]:
    if question.answers:
        return question.answers[0]
    stack = stack_of_thread(question.hub)
    return [GreenletStatus(_SILENT, "runs", stack)] if stack else []


def _look(hub: Hub, greenlets: Iterable[Named]) -> list[GreenletStatus]:
    """Look at the greenlets of the calling thread, of which one runs, or the hub does."""
    current = getcurrent()
    found: list[GreenletStatus] = []
    told = {id(hub)}
    for name, greenlet, _ in greenlets:
        if greenlet.dead or id(greenlet) in told:
            continue
        told.add(id(greenlet))
        frame = greenlet.gr_frame
        if greenlet is current:
            found.append(GreenletStatus(name, "runs", stack_of(sys._getframe())))
        elif frame is not None:
            found.append(GreenletStatus(name, "waits", stack_of(frame)))
        else:
            found.append(GreenletStatus(name, "has not begun", ()))
    if id(current) not in told:
        stack = stack_of(sys._getframe())
        found.append(GreenletStatus("other code of the event loop's thread", "runs", stack))
    return found


def stack_of(frame: FrameType | None) -> tuple[str, ...]:
    """Return the frames that lead to this one, the innermost last."""
    lines: list[str] = []
    while frame is not None and frame.f_globals.get("__name__") == __name__:
        frame = frame.f_back  # what looks
    while frame is not None and len(lines) < DEEPEST:
        code = frame.f_code
        name = getattr(code, "co_qualname", code.co_name)  # since Python 3.11
        lines.append(f'File "{code.co_filename}", line {frame.f_lineno}, in {name}')
        frame = frame.f_back
    return tuple(reversed(lines))

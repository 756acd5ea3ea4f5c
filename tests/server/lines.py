"""A signal at every line of this package and of kazoo, one after the other."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

import kazoo

import kazoo_gevent_patch
from kazoo_gevent_patch.loop import signals

NUMBER: Final = signal.SIGUSR2
_PLACES: Final = tuple(
    str(Path(str(module.__file__)).parent) + "/" for module in (kazoo_gevent_patch, kazoo)
)
_LEFT_OUT: Final = ("/loop/signals.py", "/kazoo/tests/")


class Interrupt(Exception):
    """An ordinary exception, as a time-out by SIGALRM raises it."""


class Lines:
    """Counts the lines that run in all greenlets, and has a signal come at one of them."""

    def __init__(self, at: int, error: type[BaseException]) -> None:
        self.count = 0
        self.where = ""
        self._at = at
        self._error = error
        self._active = False

    def _handle(self, *_: object) -> None:
        raise self._error

    @contextmanager
    def traced(self) -> Iterator[None]:
        """Trace the lines of the block, and of what runs meanwhile in other greenlets."""
        previous = signal.signal(NUMBER, self._handle)
        self._active = True
        self.trace_here()
        try:
            yield
        finally:
            self._active = False
            sys.settrace(None)
            signal.signal(NUMBER, previous)

    def trace_here(self) -> None:
        """Trace the calling greenlet: the interpreter asks each greenlet by itself."""
        if not self._active:
            return
        sys.settrace(self._trace)
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if _is_of_interest(frame):
                frame.f_trace = self._trace
            frame = frame.f_back

    def in_greenlet_of(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function; the greenlet that calls it is traced from then on."""

        def call(*args: Any, **kwargs: Any) -> Any:
            self.trace_here()
            return function(*args, **kwargs)

        return call

    def _trace(self, frame: FrameType, event: str, _: object) -> Any:
        if not _is_of_interest(frame):
            return None
        if event == "line" and self._active:
            self.count += 1
            if self.count == self._at:
                self.where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                # What the interpreter does between two lines when a signal has come.
                signals._get(NUMBER)(NUMBER, frame)
        return self._trace


def _is_of_interest(frame: FrameType) -> bool:
    name = frame.f_code.co_filename
    return name.startswith(_PLACES) and not any(part in name for part in _LEFT_OUT)

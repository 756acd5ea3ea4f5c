"""Keeps what the handler of a signal raises out of code that must not be cut off.

Python calls the handler of a signal in whatever runs in the main thread: with threads that is the
main thread's code, with greenlets any greenlet, or the hub. An exception of the handler would then
be raised at any line of the connection greenlet or of a callback worker, and lose what that line
had in its hands: a request, a wake-up, the client. To mend that line by line cannot be shown
right. So it does not come there:

**What a handler raises is raised in the main greenlet, and never in the hub, in a greenlet that a
kazoo handler started, or in a line of this package.** (A child that such a greenlet has forked is
that greenlet's: what is said here of the main greenlet holds for it there.)

The handler itself runs at once, as ever; only the exception goes another way, as gevent's hub
sends a ``KeyboardInterrupt`` to the main greenlet. If it comes in code of the program, such as a
callback, a watch or a leader's function, the main greenlet has it at once, and that code goes on
afterwards, as a thread would. If it comes in code of this package or of kazoo, or of gevent or the
standard library below these, the main greenlet has it when the hub runs next.

For that ``_signal.signal`` and ``_signal.getsignal``, which those of ``signal`` call, put a guard
round each handler and take it off again: a program sees its own handlers. (trio does it for
``SIGINT``, whose handler it owns. The ways not taken are repairing after the fact, which needs
to know each list and each order of steps in kazoo, and masking signals, which costs two system
calls a request.)
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from importlib import import_module
from types import FrameType
from typing import Any, Final

from gevent import getcurrent
from gevent.hub import Hub

from kazoo_gevent_patch.loop import forks
from kazoo_gevent_patch.loop.daemons import is_main_thread
from kazoo_gevent_patch.loop.hubs import hub_of_this_thread

_ctypes: Any
try:
    # Now, and not when a client starts: a daemon may have changed its root folder by then.
    import ctypes as _ctypes
except ImportError:  # CPython was built without libffi
    _ctypes = None

_PACKAGE: Final = __name__.partition(".")[0]
_LIBRARIES: Final = (_PACKAGE, "kazoo")
_CALLED_BY_ALL: Final = sys.stdlib_module_names | {"gevent"}

runs_callbacks: set[Any] = set()
"""The code objects of the functions of this package that call the program's code."""

_forked_by: list[Any] = []
"""In a child that a sheltered greenlet has forked, that greenlet: the child's program is its."""


class Sheltered:
    """A base for greenlets in which no exception of a signal's handler is raised."""

    __slots__ = ()


class _Guarded:
    """A signal's handler, and where its exceptions go."""

    __slots__ = ("handler",)

    def __init__(self, handler: Callable[[int, FrameType | None], Any]) -> None:
        self.handler = handler

    def __call__(self, number: int, frame: FrameType | None) -> Any:
        hub = hub_of_this_thread()
        if hub is None or not _is_sheltered(hub, frame):
            return self.handler(number, frame)
        try:
            return self.handler(number, frame)
        except BaseException as error:
            _raise_in_main_greenlet(hub, error, at_once=_is_the_programs(hub, frame))


def _is_sheltered(hub: Hub, frame: FrameType | None) -> bool:
    current = getcurrent()
    is_sheltered = isinstance(current, Sheltered) and current not in _forked_by
    return current is hub or is_sheltered or top_package(frame) == _PACKAGE


def _is_the_programs(hub: Hub, frame: FrameType | None) -> bool:
    """Return whether the signal came in code of the program that a greenlet of ours runs."""
    if getcurrent() is hub:
        return False
    while frame is not None and top_package(frame) in _CALLED_BY_ALL:
        frame = frame.f_back
    if frame is None or top_package(frame) not in _LIBRARIES:
        return True
    return frame.f_code in runs_callbacks


def top_package(frame: FrameType | None) -> str:
    """Return the name of the package whose code runs in the frame."""
    return "" if frame is None else str(frame.f_globals.get("__name__")).partition(".")[0]


def _raise_in_main_greenlet(hub: Hub, error: BaseException, *, at_once: bool) -> None:
    main: Any = next((greenlet for greenlet in _forked_by if not greenlet.dead), hub.parent)
    if at_once and main is hub.parent:
        hub.handle_system_error(type(error), error, error.__traceback__)
    else:
        loop: Any = hub.loop
        loop.run_callback(main.throw, type(error), error, error.__traceback__)


def _after_fork_in_child(called_fork: object) -> None:
    _forked_by[:] = [called_fork] if isinstance(called_fork, Sheltered) else []


forks.hooks.append(_after_fork_in_child)


def _guarded(handler: Any) -> Any:
    return _Guarded(handler) if callable(handler) else handler


def _bare(handler: Any) -> Any:
    return handler.handler if isinstance(handler, _Guarded) else handler


_signal: Any = import_module("_signal")
_set, _get = _signal.signal, _signal.getsignal


def _set_guarded(number: int, handler: Any, /) -> Any:
    return _bare(_set(number, _guarded(handler)))


def _get_bare(number: int, /) -> Any:
    return _bare(_get(number))


def guard() -> None:
    """Put a guard round the handlers of signals, those that are installed and those to come.

    On a Python without ``ctypes``, only round those to come.

    Does nothing where it is done, or outside the main thread, in which Python runs them all.
    """
    if _signal.signal is _set_guarded or not is_main_thread():
        return
    _signal.signal, _signal.getsignal = _set_guarded, _get_bare
    if _ctypes is None:
        return
    sigaction = _ctypes.CDLL(None).sigaction
    for number in map(int, signal.valid_signals()):
        handler = _get(number)
        if callable(handler) and not isinstance(handler, _Guarded):
            # Setting Python's handler sets the system's too. That may be another one by now
            # (gevent.signal_handler, faulthandler), or have other flags (siginterrupt).
            kept = _ctypes.create_string_buffer(1024)  # more than any struct sigaction
            sigaction(number, None, kept)
            _set(number, _guarded(handler))
            sigaction(number, kept, None)

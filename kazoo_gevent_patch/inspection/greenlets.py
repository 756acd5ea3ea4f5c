"""Where greenlets are, seen from any native thread while the program runs on."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable
from functools import partial
from itertools import chain
from time import monotonic
from types import FrameType
from typing import Any, Final, NamedTuple

from gevent import getcurrent
from gevent.hub import Hub

from kazoo_gevent_patch.inspection.records import GreenletStatus
from kazoo_gevent_patch.inspection.threads import Question, stack_of_thread
from kazoo_gevent_patch.loop.hubs import has_loop

DEEPEST: Final = 40
"""Frames that are told of a stack at most: the innermost."""

PATIENCE: Final = 0.5
"""Seconds in which the threads have to answer."""

PAUSE: Final = 0.01
"""Seconds between two looks whether they have."""

_SILENT: Final = "the thread of the event loop, which does not answer"
_ASKING: Final = (__name__, Question.__module__)


class Named(NamedTuple):
    """A greenlet and what it is for."""

    name: str
    greenlet: Any
    hub: Hub | None
    """The hub of its event loop."""


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
    stack = stack_of_thread(question.hub, DEEPEST)
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
    while frame is not None and frame.f_globals.get("__name__") in _ASKING:
        frame = frame.f_back  # what looks
    while frame is not None and len(lines) < DEEPEST:
        code = frame.f_code
        name = getattr(code, "co_qualname", code.co_name)  # since Python 3.11
        lines.append(f'File "{code.co_filename}", line {frame.f_lineno}, in {name}')
        frame = frame.f_back
    return tuple(reversed(lines))

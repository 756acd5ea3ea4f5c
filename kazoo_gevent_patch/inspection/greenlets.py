"""Where greenlets are, seen from any native thread while the program runs on."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from functools import partial
from types import FrameType
from typing import Any, Final, NamedTuple

from gevent import getcurrent
from gevent.hub import Hub

from kazoo_gevent_patch.inspection.records import GreenletStatus
from kazoo_gevent_patch.inspection.threads import ask, stack_of_thread

DEEPEST: Final = 40
"""Frames that are told of a stack at most: the innermost."""

_ASKING: Final = (__name__, ask.__module__)


class Named(NamedTuple):
    """A greenlet and what it is for."""

    name: str
    greenlet: Any
    hub: Hub | None
    """The hub of its event loop."""


def look_at(greenlets: Iterable[Named], hubs: Iterable[Hub]) -> Iterator[GreenletStatus]:
    """Tell of the living greenlets, and of what else runs in the threads of the hubs.

    The thread of each hub tells of its own greenlets. If it does not answer, because a call of C
    keeps it, the interpreter tells from outside what runs in it, and of no greenlet that waits.
    """
    known = {id(hub): hub for hub in hubs}
    by_hub: dict[int, list[Named]] = {}
    for named in greenlets:
        if named.hub is not None and named.greenlet is not None:
            known.setdefault(id(named.hub), named.hub)
            by_hub.setdefault(id(named.hub), []).append(named)
    for key, hub in known.items():
        found = ask(hub, partial(_look, hub, by_hub.get(key, [])))
        if found is not None:
            yield from found
        elif stack := stack_of_thread(hub, DEEPEST):
            yield GreenletStatus(
                "the thread of the event loop, which does not answer", "runs", stack
            )


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

"""Where greenlets are, seen from any native thread while the program runs on."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any, Final, NamedTuple

from gevent.hub import Hub
from greenlet import greenlet as RawGreenlet

from kazoo_gevent_patch.inspection.records import GreenletStatus

DEEPEST: Final = 40
"""Frames that are told of a stack at most: the innermost."""


class Named(NamedTuple):
    """A greenlet and what it is for."""

    name: str
    greenlet: Any
    hub: Hub | None
    """The hub of its event loop."""


def look_at(greenlets: Iterable[Named], hubs: Iterable[Hub]) -> Iterator[GreenletStatus]:
    """Tell of the living greenlets, and of what else runs in the threads of the hubs.

    Python does not tell which greenlet runs in another thread: it is the one that has begun and
    has no frame of its own. The program may switch meanwhile; each step here, such as from a
    frame to its caller, is atomic.
    """
    running = dict(sys._current_frames())
    told: set[int] = set()
    for name, greenlet, hub in greenlets:
        if greenlet is None or greenlet.dead or id(greenlet) in told:
            continue
        told.add(id(greenlet))
        frame = greenlet.gr_frame
        if frame is not None:
            yield GreenletStatus(name, "waits", stack_of(frame))
        elif not RawGreenlet.__bool__(greenlet):
            yield GreenletStatus(name, "has not begun", ())
        else:
            frame = None if hub is None else running.pop(hub.thread_ident, None)
            yield GreenletStatus(name, "runs", stack_of(frame))
    for hub in hubs:
        frame = running.pop(hub.thread_ident, None)
        if frame is not None and frame.f_code is not Hub.run.__code__:
            yield GreenletStatus("other code of the event loop's thread", "runs", stack_of(frame))


def stack_of(frame: FrameType | None) -> tuple[str, ...]:
    """Return the frames that lead to this one, the innermost last."""
    lines: list[str] = []
    while frame is not None and len(lines) < DEEPEST:
        code = frame.f_code
        name = getattr(code, "co_qualname", code.co_name)  # since Python 3.11
        lines.append(f'File "{code.co_filename}", line {frame.f_lineno}, in {name}')
        frame = frame.f_back
    return tuple(reversed(lines))

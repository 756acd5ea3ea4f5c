"""Runs a call in a greenlet and ends it with an exception at the k-th place where it waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gevent
import greenlet
from gevent import get_hub


@dataclass(frozen=True)
class Cancellation:
    """Where a call is to end, and of what."""

    at: int
    """Which of the places where it waits, counted from 1."""

    error: type[BaseException]
    late: bool
    """What it waited for has come: the exception is there when the greenlet resumes. Else it
    comes as soon as the greenlet waits."""


@dataclass
class Outcome:
    """How a call ended."""

    delivered: bool = False
    """The call waited often enough for the exception to be delivered."""
    error: BaseException | None = None
    value: object = None


def cancelled(call: Callable[[], object], cancellation: Cancellation) -> Outcome:
    """Run the call in a greenlet, end it as told, and return how it ended."""
    outcome = Outcome()

    def run() -> None:
        try:
            outcome.value = call()
        except BaseException as error:  # KeyboardInterrupt would go on to the main greenlet
            outcome.error = error

    victim = gevent.Greenlet(run)
    with _traced(victim, cancellation, outcome):
        victim.start()
        victim.join(60)
    if not victim.ready():
        victim.kill(block=False)
        raise AssertionError(f"the call hangs, {cancellation}")
    return outcome


@contextmanager
def _traced(victim: Any, cancellation: Cancellation, outcome: Outcome) -> Iterator[None]:
    hub, waits = get_hub(), 0
    early_at, late_at = (0, cancellation.at) if cancellation.late else (cancellation.at, 0)

    def throw() -> None:
        if not victim.dead and not outcome.delivered:
            outcome.delivered = True
            victim.throw(cancellation.error())

    def trace(event: str, switch: tuple[Any, Any]) -> None:
        nonlocal waits
        origin, target = switch
        if origin is victim and target is hub and not victim.dead:
            waits += 1
            if waits == early_at:
                hub.loop.run_callback(throw)
        elif target is victim and waits == late_at and waits and not outcome.delivered:
            # Raised by the tracer, it is raised in the greenlet that is switched to; the
            # tracer has done its work then, and greenlet removes it.
            outcome.delivered = True
            raise cancellation.error

    before = greenlet.settrace(trace)
    try:
        yield
    finally:
        greenlet.settrace(before)

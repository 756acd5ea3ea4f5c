"""The live check: the steps in order, each bounded in time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import gevent

from kazoo_gevent_patch.commands.doctor import network, session
from kazoo_gevent_patch.commands.doctor.arguments import Target
from kazoo_gevent_patch.commands.doctor.findings import Finding, Level
from kazoo_gevent_patch.commands.doctor.visit import Visit

_GRACE: Final = 2.0
"""Seconds after which a step is ended that does not itself keep to its time."""


@dataclass(frozen=True)
class Step:
    """A step, and what it cannot do without."""

    name: str
    function: Callable[[Visit], Finding | None]
    """Returns None where there is nothing to check."""

    needs: str = ""
    """The attribute of the visit that an earlier step must have filled."""


STEPS: Final = (
    Step("resolve", network.resolve),
    Step("connect", network.connect, "resolved"),
    Step("TLS", network.handshake, "reachable"),
    Step("session", session.session, "secure"),
    Step("path", session.parent, "session_id"),
    Step("round trips", session.round_trips, "parent"),
    Step("temporary node", session.temporary_node, "parent"),
    Step("watch", session.watch, "node"),
    Step("lock", session.lock, "node"),
    Step("heartbeat", session.heartbeat, "session_id"),
    Step("clean-up", session.clean_up),
)


def examine(target: Target, begin: Callable[[str], None]) -> Iterator[Finding]:
    """Make the steps in order; ``begin`` is told the name of each.

    Those that lack what an earlier one could not get are named in one finding at the end.
    """
    visit = Visit(target)
    left_out: list[str] = []
    try:
        for step in _steps(target):
            if step.needs and not getattr(visit, step.needs):
                left_out.append(step.name)
                continue
            begin(step.name)
            finding = _make(step, visit)
            if finding is not None:
                yield finding
    finally:
        visit.close()
    if left_out:
        advice = "first do what is said above"
        yield Finding(Level.warning, "not checked", ", ".join(left_out), advice)


def _steps(target: Target) -> list[Step]:
    return [step for step in STEPS if target.tls or step.function is not network.handshake]


def _make(step: Step, visit: Visit) -> Finding | None:
    limit = visit.target.timeout + _GRACE
    try:
        with gevent.Timeout(limit):
            return step.function(visit)
    except gevent.Timeout:
        text = f"not done in {limit:g} s"
        advice = "look at the server's log and load, or give more time with --timeout"
        return Finding(Level.problem, step.name, text, advice)
    except Exception as error:
        text = f"{type(error).__name__}: {error}".rstrip(": ")
        return Finding(Level.problem, step.name, text, "look at the server's log")

"""The live check: the steps in order, each bounded in time."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Final

import gevent
from kazoo.exceptions import NoAuthError

from kazoo_gevent_patch.commands.doctor import ensemble, network, session
from kazoo_gevent_patch.commands.doctor.arguments import Target
from kazoo_gevent_patch.commands.doctor.findings import Finding, Level
from kazoo_gevent_patch.commands.doctor.visit import Visit

_GRACE: Final = 2.0
"""Seconds after which a step is ended that does not itself keep to its time."""


@dataclass(frozen=True)
class Step:
    """A step, and what it cannot do without."""

    name: str
    function: Callable[[Visit], Finding | list[Finding]]
    needs: str = ""
    """The attribute of the visit that an earlier step must have filled."""

    applies: Callable[[Visit], bool] = lambda visit: True
    """Whether there is anything to check."""


STEPS: Final = (
    Step("resolve", network.resolve),
    Step("connect", network.connect, "resolved"),
    Step("TLS", network.handshake, "endpoints", lambda visit: bool(visit.target.tls)),
    Step("server", network.servers, applies=lambda visit: visit.secure),
    Step("session", session.session, "secure"),
    Step("path", session.parent, "session_id"),
    Step("round trips", session.round_trips, "parent"),
    Step("temporary node", session.temporary_node, "parent"),
    Step("credentials", session.credentials, "node", lambda visit: bool(visit.target.user)),
    Step("member", ensemble.members, "session_id", ensemble.has_members),
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
    with _interrupts_in_turn(), closing(visit):
        for step in STEPS:
            if not step.applies(visit):
                continue
            if step.needs and not getattr(visit, step.needs):
                left_out.append(step.name)
                continue
            begin(step.name)
            yield from _make(step, visit)
    if left_out:
        advice = "first do what is said above"
        values: dict[str, object] = {"checks": left_out}
        yield Finding(Level.warning, "not checked", ", ".join(left_out), advice, values)


@contextmanager
def _interrupts_in_turn() -> Iterator[None]:
    """Have Ctrl-C end the step, in the way of a time-out, and nothing that the client needs.

    Python raises it in whatever greenlet runs. In that of the connection it would end the session,
    and the temporary node could not be removed.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # it is ignored, or the program's own
        return
    call = gevent.get_hub().loop.run_callback_threadsafe
    throw = gevent.getcurrent().throw
    signal.signal(signal.SIGINT, lambda *_: call(throw, KeyboardInterrupt))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _make(step: Step, visit: Visit) -> list[Finding]:
    limit = visit.target.timeout + _GRACE
    visit.step_ends = monotonic() + limit
    try:
        with gevent.Timeout(limit):
            found = step.function(visit)
    except gevent.Timeout:
        text = f"not done in {limit:g} s"
        advice = "look at the server's log and load, or give more time with --timeout"
        found = Finding(Level.problem, step.name, text, advice, {"limit": limit})
    except NoAuthError:
        text, advice = "the ACL forbids it", session.OTHER_CREDENTIALS
        found = Finding(Level.problem, step.name, text, advice, {"error": "NoAuthError"})
    except Exception as error:
        text = f"{type(error).__name__}: {error}".rstrip(": ")
        values: dict[str, object] = {"error": type(error).__name__}
        found = Finding(Level.problem, step.name, text, "look at the server's log", values)
    return found if isinstance(found, list) else [found]

"""Judges what it means for sessions that the event loop stood still.

A session lives as long as its heartbeats. How long the loop stood still comes from
``kazoo_gevent_patch.stalls.watch``; what becomes of a session is seen on its client.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from weakref import WeakSet

from kazoo.protocol.states import KazooState

from kazoo_gevent_patch import inventory

log = logging.getLogger("kazoo_gevent_patch")

TOLERATED: Final = 1 / 3
"""The part of the session time-out that the loop may stand still without a warning. That is
also how often kazoo sends a heartbeat."""

SHORTEST_STALL: Final = 0.05
"""Seconds that the loop may stand still without a warning, however short a session time-out is."""

PRECISION: Final = 1 / 30
"""The part of the shortest session time-out that lies between two looks at the clock. A stall
is found to be shorter than it was by up to this."""

SHORTEST_PERIOD: Final = 0.01
"""Seconds between two looks at the clock at least."""

SILENCE: Final = 60.0
"""Seconds after a warning in which there is no other one for the same client."""

KEPT_AFTER: Final = 1.0
"""Seconds after a stall when a client that is connected is taken to have kept its session:
the connection greenlet finds a closed connection as soon as the loop runs."""

LONGEST_HOLD: Final = 5.0
"""Seconds that a warning is held at most, to tell whether a session was lost."""


def tolerated(timeout: float) -> float:
    """Return for how many seconds the loop may stand still, by a session's time-out in seconds."""
    return max(timeout * TOLERATED, SHORTEST_STALL)


class WatchedClient:
    """What a watch knows of a client: its session, and when it was last warned of."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.timeout = 0.0
        self.session: object = None
        self.silent_until = 0.0
        self.stalls = 0
        """How often the event loop stood still for a third of the time-out, or for longer."""
        self.heartbeats = 0
        """How many heartbeats were sent for the session since the event loop last ran."""

    def __str__(self) -> str:
        return inventory.describe(self._client)

    def begin(self, timeout: float) -> None:
        """Say that a session was established, or found again, with this time-out in seconds."""
        self.timeout = timeout
        self.session = self._session()

    def _session(self) -> object:
        client_id = self._client.client_id
        return None if client_id is None else client_id[0]

    def is_running(self) -> bool:
        """Return whether the client was not stopped."""
        return inventory.is_running(self._client)

    def is_connected(self) -> bool:
        """Return whether the client has a session now."""
        return bool(self._client.connected)

    def has_lost(self, session: object) -> bool:
        """Return whether the session is known to be lost: expired, or replaced by another."""
        if not self.is_running():
            return False  # closed, by the program
        if self._client.state == KazooState.LOST:
            return True
        return self.is_connected() and self._session() not in (None, session)


@dataclass(frozen=True)
class Stall:
    """A stall that is to be reported, and the sessions that were in danger."""

    seconds: float
    ended: float
    culprit: str
    sessions: list[tuple[WatchedClient, object]]
    helped: int
    """For how many of them the helper thread sent heartbeats."""

    def is_settled(self, now: float) -> bool:
        """Return whether it is known what became of the sessions, or time to report anyway."""
        age = now - self.ended
        return age >= LONGEST_HOLD or all(
            not client.is_running()
            or client.has_lost(session)
            or (client.is_connected() and age >= KEPT_AFTER)
            for client, session in self.sessions
        )

    def report(self, now: float) -> None:
        """Log the warning."""
        log.warning(
            "The event loop stood still for %.2f s, and %s (session time-out %g s). %s%s",
            self.seconds,
            self._heartbeats(),
            min(client.timeout for client, _ in self.sessions),
            self.culprit,
            self._outcome(now),
        )

    def _heartbeats(self) -> str:
        total = len(self.sessions)
        named = str(self.sessions[0][0])
        if total > 1:
            named += f" and {total - 1} more"
        if not self.helped:
            return f"no heartbeat was sent for {named}"
        share = "" if self.helped == total else f"{self.helped} of {total} clients: "
        return f"the helper thread sent heartbeats for {share}{named}"

    def _outcome(self, now: float) -> str:
        total = len(self.sessions)
        running = [client for client, _ in self.sessions if client.is_running()]
        lost = sum(client.has_lost(session) for client, session in self.sessions)
        away = sum(not client.is_connected() for client in running)
        if lost:
            return f". Sessions lost: {lost} of {total}"
        if away:
            return f". Not connected again yet: {away} of {total}"
        # Sooner than that, a client may not know yet that it is disconnected.
        is_known = running and now - self.ended >= KEPT_AFTER
        return f". Sessions kept: {len(running)} of {total}" if is_known else ""


_UNKNOWN: Final = (
    "Which greenlet ran is not known here; gevent reports those that block, "
    "with GEVENT_MONITOR_THREAD_ENABLE=1 in the environment"
)


class Judge:
    """Judges how late it is called.

    Used in one thread only, but for ``due``, and knows nothing of event loops.
    """

    def __init__(self, clock: Callable[[], float], *, warns: bool = True) -> None:
        self._clock = clock
        self._warns = warns
        self._clients: WeakSet[WatchedClient] = WeakSet()
        self._shortest = float("inf")
        self._has_left = False
        """Whether the client with the shortest time-out may have left."""
        self.due = float("inf")
        """When, by the clock, it has to be called again."""
        self._held: list[Stall] = []
        self._blocked: tuple[str, float] | None = None

    @property
    def period(self) -> float:
        """The seconds in which ``tick`` wants to be called again."""
        return max(self._shortest * PRECISION, SHORTEST_PERIOD)

    def is_used(self) -> bool:
        """Return whether there is a client to watch."""
        return bool(self._clients)

    def add(self, client: WatchedClient) -> None:
        """Watch for stalls that endanger the client's session."""
        self._look()
        self._has_left = self._has_left or client in self._clients  # on an earlier session
        self._clients.add(client)
        self._shortest = min(self._shortest, client.timeout)
        self.due = self._clock() + self.period

    def remove(self, client: WatchedClient) -> None:
        """Watch no longer for the client; report what is held before it is stopped."""
        self._clients.discard(client)
        self._has_left = True
        self._report(at_once=True)

    def note(self, callback: Callable[..., object], seconds: float) -> None:
        """Say that a callback has just run for so long without letting the loop run."""
        if seconds > tolerated(self._shortest):
            self._blocked = describe(callback), seconds

    def tick(self) -> None:
        """Look at the clock: warn of a stall, and say when the next look is due."""
        if self._has_left:  # found out here, once a while: there may be thousands of clients
            self._has_left = False
            self._shortest = min((c.timeout for c in self._clients), default=float("inf"))
        self._look()

    def _look(self) -> None:
        now = self._clock()
        late = now - self.due
        if late > tolerated(self._shortest):
            self._hold(late, now)
        self._blocked = None
        if self._held:
            self._report()
        self.due = now + self.period

    def _hold(self, late: float, now: float) -> None:
        starved = [client for client in self._clients if late > tolerated(client.timeout)]
        for client in starved:
            client.stalls += 1
        endangered = [client for client in starved if now >= client.silent_until]
        helped = sum(client.heartbeats > 0 for client in endangered)
        for client in self._clients:
            client.heartbeats = 0
        for client in endangered:
            client.silent_until = now + LONGEST_HOLD + SILENCE
        if endangered and self._warns:
            sessions = [(client, client.session) for client in endangered]
            self._held.append(Stall(late, now, self._culprit(late), sessions, helped))

    def _culprit(self, late: float) -> str:
        # Anything may have run besides a short one.
        if self._blocked is None or self._blocked[1] < late / 2:
            return _UNKNOWN
        name, seconds = self._blocked
        return f"The callback {name} ran for {seconds:.2f} s without a pause"

    def _report(self, *, at_once: bool = False) -> None:
        held, self._held = self._held, []
        now = self._clock()
        for stall in held:
            if at_once or stall.is_settled(now):
                stall.report(now)
            else:
                self._held.append(stall)


def describe(callback: Any) -> str:
    """Return the name of the function that a callback is for."""
    while isinstance(callback, partial):
        callback = callback.func
    try:
        callback = getattr(callback, "__wrapped__", callback)
        # kazoo's DataWatch and ChildrenWatch pass a method of theirs that calls the function.
        function = getattr(getattr(callback, "__self__", None), "_func", callback)
        name = getattr(function, "__qualname__", type(function).__qualname__)
        return f"{getattr(function, '__module__', None)}.{name}"
    except Exception:  # a proxy, which asks for something that is not there
        return f"{type(callback).__module__}.{type(callback).__qualname__}"

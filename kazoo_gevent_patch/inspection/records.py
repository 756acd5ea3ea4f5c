"""What is found in a running program, as plain data. No field holds a secret.

The credentials, the session's password, the data of nodes and the variables of functions are not
read for any of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class CallbackStatus:
    """The callbacks of one type of event."""

    queued: int
    """How many wait for their turn."""

    running: str
    """The name of the function that runs now; empty while none does."""

    seconds: float
    """For how long it has been running, waits included; 0 while none does."""

    def __str__(self) -> str:
        runs = f"{self.running} runs for {self.seconds:.1f} s, " if self.running else ""
        return f"{runs}{self.queued} queued"


@dataclass(frozen=True)
class HandlerStatus:
    """What a handler knows of its client. ``ClientStatus`` has fields of the same names."""

    callbacks: dict[str, CallbackStatus]
    timeout: float | None
    """The session time-out in seconds that was negotiated last; None before the first session."""
    stalls: int
    lost_sessions: int


@dataclass(frozen=True)
class ClientStatus:
    """A client. Its parts are looked at one after the other, while the program runs on."""

    name: str
    """The name of its class."""

    built: str
    """The file and the line of the program that built it; empty for one from before the patch."""

    handler: str
    """The full name of its handler's class."""

    hosts: str = ""
    """The servers that it may connect to."""

    running: bool = False
    """Whether it was started and not stopped."""

    state: str = ""
    """kazoo's state of the session: ``CONNECTED``, ``SUSPENDED`` or ``LOST``."""

    session: str = ""
    """The number of its session, as the server writes it; empty while there is none."""

    server: str = ""
    """The address and the port of the server that it is connected to; empty while it is not."""

    timeout: float = 0.0
    """The session time-out in seconds: the negotiated one, or else the one that is asked for."""

    in_flight: int = 0
    """How many requests were sent, and wait for a reply."""

    waiting: int = 0
    """How many requests wait to be sent."""

    watches: int = 0
    """How many watch callbacks wait for an event."""

    locks_held: tuple[str, ...] = ()
    """The paths of the locks and semaphores that are acquired."""

    locks_awaited: tuple[str, ...] = ()
    """The paths of the locks whose ``acquire()`` is under way."""

    callbacks: dict[str, CallbackStatus] = field(default_factory=dict)
    """By the type of event: ``watch``, ``completion``, ``listener``; those that have been used."""

    stalls: int = 0
    """How often the event loop stood still for a third of the time-out, or longer, if watched."""

    lost_sessions: int = 0
    """How many sessions expired."""

    def __str__(self) -> str:
        where = self.built or "built before the patch"
        state = self.state if self.running else f"{self.state}, not running"
        session = f" {self.session} at {self.server}," if self.server else f" {self.hosts},"
        lines = [f"{self.name} ({where}) {state}{session} time-out {self.timeout:g} s"]
        counts = f"{self.in_flight} requests in flight, {self.waiting} waiting"
        counts += f", {self.watches} watches"
        counts += f", {self.stalls} stalls" if self.stalls else ""
        counts += f", {self.lost_sessions} sessions lost" if self.lost_sessions else ""
        lines.append(counts)
        for kind, callbacks in self.callbacks.items():
            if callbacks.running or callbacks.queued:
                lines.append(f"{kind} callbacks: {callbacks}")
        if self.locks_held:
            lines.append("holds " + ", ".join(self.locks_held))
        if self.locks_awaited:
            lines.append("waits for " + ", ".join(self.locks_awaited))
        return "\n    ".join(lines)


@dataclass(frozen=True)
class GreenletStatus:
    """A greenlet, or what runs now in the thread of an event loop."""

    name: str
    """What it is for."""

    state: str
    """``runs``, ``waits``, or ``has not begun``."""

    stack: tuple[str, ...]
    """Where it is: file, line and function, the innermost last. No source and no variables."""

    def __str__(self) -> str:
        return "\n".join((f"{self.name}: {self.state}", *(f"    {line}" for line in self.stack)))

"""The steps of the live check that use a session."""

from __future__ import annotations

import statistics
import warnings
from contextlib import suppress
from time import perf_counter
from typing import Any, Final

import gevent
from gevent.event import Event
from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionLoss, NoAuthError, NoNodeError, SessionExpiredError
from kazoo.handlers.threading import KazooTimeoutError

from kazoo_gevent_patch.commands.doctor.findings import Finding, Level
from kazoo_gevent_patch.commands.doctor.visit import Visit

ROUND_TRIPS: Final = 100

SLICE: Final = 0.02
"""Seconds that the busy loop computes before it gives way."""

_SESSION_TIMEOUT: Final = 4.0  # seconds; the least that a server grants by default
# Of the step's time, so that half of the session timeout again is less than the busy share.
_SESSION_SHARE: Final = 0.4
_BUSY_SHARE: Final = 0.8
_POLL_INTERVAL: Final = 0.01
_PAUSE: Final = 0.0001


def session(visit: Visit) -> Finding:
    """Start a client."""
    # Short, so that the heartbeat step can outlast it; the server may grant a longer one.
    asked = min(_SESSION_TIMEOUT, _SESSION_SHARE * visit.target.timeout)
    client = KazooClient(visit.target.hosts, timeout=asked, logger=visit.log, **visit.target.tls)
    begin = perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # kazoo's, of a missing chroot: that has its own step
            client.start(timeout=visit.target.timeout)
    except KazooTimeoutError:
        reason = visit.log.last_warning or "the server does not answer"
        return Finding(
            Level.problem,
            "session",
            f"none in {visit.target.timeout:g} s: {reason}",
            "look at the server's log and load; a port that speaks TLS needs --tls",
        )
    finally:
        visit.client = client
    visit.session_id = client.client_id[0]
    took = perf_counter() - begin
    handler = type(client.handler)
    text = f"0x{visit.session_id:x} in {_ms(took)}, timeout {visit.log.session_timeout:g} s"
    values: dict[str, object] = {
        "seconds": took,
        "session_timeout": visit.log.session_timeout,
        "handler": f"{handler.__module__}.{handler.__qualname__}",
    }
    return Finding(Level.ok, "session", text, values=values)


def parent(visit: Visit) -> Finding | None:
    """Look whether the chroot, and the node named by ``--path``, exist."""
    chroot, path = visit.target.chroot, visit.target.parent
    if chroot and not visit.client.exists("/"):
        text = f"the chroot {chroot} does not exist"
        return Finding(Level.problem, "path", text, "create it, or correct it in --hosts")
    if path != "/" and not visit.client.exists(path):
        return Finding(
            Level.problem, "path", f"{path} does not exist", "create it, or name another"
        )
    visit.parent = path
    return Finding(Level.ok, "path", f"{chroot + path.rstrip('/') or '/'} exists")


def round_trips(visit: Visit) -> Finding:
    """Measure how long a request takes."""
    times = []
    for _ in range(ROUND_TRIPS):
        begin = perf_counter()
        visit.client.exists(visit.parent)
        times.append(perf_counter() - begin)
    median, p99 = statistics.median(times), statistics.quantiles(times, n=100)[98]
    return Finding(
        Level.ok,
        "round trips",
        f"{ROUND_TRIPS}, median {_ms(median)}, p99 {_ms(p99)}",
        values={"count": ROUND_TRIPS, "median": median, "p99": p99},
    )


def temporary_node(visit: Visit) -> Finding:
    """Create the node that the next steps use."""
    path = visit.new_node()
    try:
        visit.client.create(path)
    except NoAuthError:
        visit.to_remove = ""
        return Finding(
            Level.warning,
            "temporary node",
            f"the ACL of {visit.parent} forbids creating nodes",
            "name a node under which you may, with --path",
        )
    visit.node = path
    return Finding(Level.ok, "temporary node", path)


def watch(visit: Visit) -> Finding:
    """Set a watch, and have it fire."""
    fired = Event()
    visit.client.get(visit.node, watch=lambda event: fired.set())
    begin = perf_counter()
    visit.client.set(visit.node, b"changed")
    fired.wait()
    took = perf_counter() - begin
    text = f"fired {_ms(took)} after the change was sent"
    return Finding(Level.ok, "watch", text, values={"seconds": took})


def lock(visit: Visit) -> Finding:
    """Take a lock, have a second contender wait for it, and hand it over."""
    path = f"{visit.node}/lock"
    first, second = visit.client.Lock(path, "first"), visit.client.Lock(path, "second")
    first.acquire()
    waiting = gevent.spawn(second.acquire)
    while len(visit.client.get_children(path)) < 2 and not waiting.ready():  # noqa: PLR2004
        gevent.sleep(_POLL_INTERVAL)
    begin = perf_counter()
    first.release()
    waiting.get()
    took = perf_counter() - begin
    second.release()
    text = f"handed over in {_ms(took)}"
    return Finding(Level.ok, "lock", text, values={"seconds": took})


def heartbeat(visit: Visit) -> Finding:
    """Keep the session while a greenlet computes for longer than its timeout."""
    states: list[Any] = []
    visit.client.add_listener(states.append)
    timeout = visit.log.session_timeout
    duration = min(1.5 * timeout, _BUSY_SHARE * visit.target.timeout)
    longest = gevent.spawn(_compute, duration).get()
    with suppress(ConnectionLoss, SessionExpiredError):  # the listener has heard of it
        visit.client.exists("/")
    visit.client.remove_listener(states.append)
    text = f"{duration:g} s of computing, a session timeout of {timeout:g} s"
    values: dict[str, object] = {"seconds": duration, "longest_gap": longest}
    if states or visit.client.client_id[0] != visit.session_id:
        seen = ", ".join(states) or "a new session"
        advice = f"the machine is overloaded (the loop was away for {_ms(longest)}), or the network"
        return Finding(Level.problem, "heartbeat", f"{seen} in {text}", advice, values)
    if duration <= timeout:
        needed = 1.5 * timeout / _BUSY_SHARE
        advice = f"--timeout {needed:.0f} gives the time to outlast the session timeout"
        return Finding(Level.warning, "heartbeat", f"kept, but only {text}", advice, values)
    return Finding(Level.ok, "heartbeat", f"kept through {text}", values=values)


def _compute(seconds: float) -> float:
    """Compute in slices; return how long the loop was away at most."""
    end = perf_counter() + seconds
    longest = 0.0
    while (begin := perf_counter()) < end:
        while perf_counter() < begin + SLICE:
            sum(range(1000))
        longest = max(longest, perf_counter() - begin)
        # After sleep(0) gevent may resume this 50 times before it looks at its descriptors.
        gevent.sleep(_PAUSE)
    return longest


def clean_up(visit: Visit) -> Finding | None:
    """Remove the temporary node."""
    if not visit.to_remove:
        return None
    try:
        visit.client.delete(visit.to_remove, recursive=True)
    except NoNodeError:
        pass
    except Exception as error:
        text = f"{visit.to_remove} is still there: {type(error).__name__}"
        return Finding(Level.warning, "clean-up", text, "delete it by hand")
    path, visit.to_remove = visit.to_remove, ""
    return Finding(Level.ok, "clean-up", f"{path} is removed")


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"

"""The steps of the live check that use a session."""

from __future__ import annotations

import statistics
import warnings
from contextlib import suppress
from time import perf_counter
from typing import Any, Final

import gevent
from gevent.event import Event
from kazoo.exceptions import (
    AuthFailedError,
    ConnectionClosedError,
    ConnectionLoss,
    NoAuthError,
    NoNodeError,
    SessionExpiredError,
)
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.security import CREATOR_ALL_ACL

from kazoo_gevent_patch.commands.doctor.findings import Finding, Level, ms
from kazoo_gevent_patch.commands.doctor.visit import Visit

ROUND_TRIPS: Final = 100

SLICE: Final = 0.02
"""Seconds that the busy loop computes before it gives way."""

_BUSY_SHARE: Final = 0.8  # of the step's time
_POLL_INTERVAL: Final = 0.01
_PAUSE: Final = 0.0001


OTHER_CREDENTIALS: Final = "give the credentials of another user, with --digest or --sasl"


def session(visit: Visit) -> Finding:
    """Start a client."""
    if not visit.fit:
        text = "no server can give one"
        return Finding(Level.problem, "session", text, visit.cure, {"servers": 0})
    client = visit.new_client(visit.target.hosts, visit.log)
    begin = perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # kazoo's, of a missing chroot: that has its own step
            client.start(timeout=visit.target.timeout)
        if visit.target.user:
            client.exists("/")  # start() may return before a wrong password ends the session
    except KazooTimeoutError:
        return _no_session(visit)
    except (AuthFailedError, ConnectionClosedError) as error:
        if not visit.target.user:
            raise
        advice = "correct user or password; the server's log and its jaas.conf tell more"
        values: dict[str, object] = {"user": visit.target.user, "error": type(error).__name__}
        text = f"the server refuses {visit.target.user}"
        return Finding(Level.problem, "session", text, advice, values)
    finally:
        visit.client = client
    visit.session_id = client.client_id[0]
    took = perf_counter() - begin
    handler = type(client.handler)
    text = f"0x{visit.session_id:x} in {ms(took)}, timeout {visit.log.session_timeout:g} s"
    values = {
        "seconds": took,
        "session_timeout": visit.log.session_timeout,
        "handler": f"{handler.__module__}.{handler.__qualname__}",
    }
    return Finding(Level.ok, "session", text, values=values)


def _no_session(visit: Visit) -> Finding:
    reason = visit.log.last_warning or "the server does not answer"
    advice = "look at the server's log and load"
    if not visit.target.tls:
        advice += "; a port that speaks TLS needs --tls"
    text = f"none in {visit.target.timeout:g} s: {reason}"
    return Finding(Level.problem, "session", text, advice, {"seconds": visit.target.timeout})


def parent(visit: Visit) -> Finding:
    """Look whether the chroot, and the node named by ``--path``, exist."""
    chroot, path = visit.target.chroot, visit.target.parent
    values: dict[str, object] = {"path": chroot + path.rstrip("/") or "/"}
    if chroot and not visit.client.exists("/"):
        text = f"the chroot {chroot} does not exist"
        return Finding(Level.problem, "path", text, "create it, or correct it in --hosts", values)
    if path != "/" and not visit.client.exists(path):
        text = f"{path} does not exist"
        return Finding(Level.problem, "path", text, "create it, or name another", values)
    visit.parent = path
    return Finding(Level.ok, "path", f"{values['path']} exists", values=values)


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
        f"{ROUND_TRIPS}, median {ms(median)}, p99 {ms(p99)}",
        values={"count": ROUND_TRIPS, "median": median, "p99": p99},
    )


def temporary_node(visit: Visit) -> Finding:
    """Create the node that the next steps use."""
    path = visit.new_node()
    values: dict[str, object] = {"path": path}
    try:
        visit.client.create(path)
    except NoAuthError:
        visit.to_remove = ""
        text = f"the ACL of {visit.parent} forbids creating nodes"
        advice = f"name a node under which you may, with --path, or {OTHER_CREDENTIALS}"
        return Finding(Level.warning, "temporary node", text, advice, values)
    visit.node = path
    return Finding(Level.ok, "temporary node", path, values=values)


def credentials(visit: Visit) -> Finding:
    """Ask which user the server takes this client for: the ACL of a node of its own says so."""
    path = f"{visit.node}/own"
    visit.client.create(path, acl=CREATOR_ALL_ACL)
    acls, _ = visit.client.get_acls(path)
    # Behind the colon of a digest is what was made of the password.
    users = [f"{acl.id.scheme} user {acl.id.id.partition(':')[0]}" for acl in acls]
    text = f"the server takes this client for {' and '.join(users)}"
    return Finding(Level.ok, "credentials", text, values={"users": users})


def watch(visit: Visit) -> Finding:
    """Set a watch, and have it fire."""
    fired = Event()
    visit.client.get(visit.node, watch=lambda event: fired.set())
    begin = perf_counter()
    visit.client.set(visit.node, b"changed")
    fired.wait()
    took = perf_counter() - begin
    text = f"fired {ms(took)} after the change was sent"
    return Finding(Level.ok, "watch", text, values={"seconds": took})


def lock(visit: Visit) -> Finding:
    """Take a lock, have a second contender wait for it, and hand it over."""
    path = f"{visit.node}/lock"
    first, second = visit.client.Lock(path, "first"), visit.client.Lock(path, "second")
    first.acquire()
    waiting = gevent.spawn(second.acquire)
    try:
        while len(visit.client.get_children(path)) < 2 and not waiting.ready():  # noqa: PLR2004
            gevent.sleep(_POLL_INTERVAL)
        begin = perf_counter()
        first.release()
        waiting.get()
        took = perf_counter() - begin
    finally:
        waiting.kill(block=False)  # when Ctrl-C or the time-out has ended the step
    second.release()
    text = f"handed over in {ms(took)}"
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
        advice = f"the machine is overloaded (the loop was away for {ms(longest)}), or the network"
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


def clean_up(visit: Visit) -> Finding | list[Finding]:
    """Remove the temporary node."""
    if not visit.to_remove:
        return []
    values: dict[str, object] = {"path": visit.to_remove}
    try:
        visit.client.delete(visit.to_remove, recursive=True)
    except NoNodeError:
        pass
    except Exception as error:
        text = f"{visit.to_remove} is still there: {type(error).__name__}"
        return Finding(Level.warning, "clean-up", text, "delete it by hand", values)
    path, visit.to_remove = visit.to_remove, ""
    return Finding(Level.ok, "clean-up", f"{path} is removed", values=values)

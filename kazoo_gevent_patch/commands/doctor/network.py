"""The steps of the live check that come before a session: names, connections, TLS."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable
from typing import Any

import gevent
from gevent import socket

from kazoo_gevent_patch.commands.doctor.findings import Finding, Level
from kazoo_gevent_patch.commands.doctor.visit import Visit
from kazoo_gevent_patch.handler.sequential import SequentialGeventHandler
from kazoo_gevent_patch.patching.versions import compares_host_names

_Server = tuple[str, int]
_Outcome = Any  # what a function returned, or the exception that it raised


def resolve(visit: Visit) -> Finding:
    """Look up the name of every server."""

    def look_up(server: _Server) -> list[str]:
        found = socket.getaddrinfo(*server, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(info[4][0]) for info in found))

    outcomes = _for_each(look_up, visit.target.addresses, visit.target.timeout)
    visit.resolved = _successes(outcomes)
    text = ", ".join(
        host if ips == [host] else f"{host} is {' and '.join(ips)}"
        for (host, _), ips in visit.resolved.items()
    )
    return _judge("resolve", outcomes, text, "correct the name in --hosts, or the name service")


def connect(visit: Visit) -> Finding:
    """Open a connection to every server, and close it."""

    def open_one(server: _Server) -> str:
        error: Exception = OSError("no address")
        for ip in visit.resolved[server]:
            try:
                _open(visit, server, ip, use_tls=False).close()
            except OSError as why:
                error = why
            else:
                return ip
        raise error

    outcomes = _for_each(open_one, visit.resolved, visit.target.timeout)
    visit.reachable = _successes(outcomes)
    visit.secure = bool(visit.reachable) and not visit.target.tls
    names = ", ".join(f"{ip} port {port}" for (_, port), ip in visit.reachable.items())
    return _judge("connect", outcomes, names, "start the server, or correct host, port or firewall")


def handshake(visit: Visit) -> Finding:
    """Make a TLS handshake with every server, with kazoo's own settings."""

    def shake(server: _Server) -> str:
        connection = _open(visit, server, visit.reachable[server], use_tls=True)
        try:
            return f"{connection.version()} {connection.cipher()[0]}"
        finally:
            connection.close()

    outcomes = _for_each(shake, visit.reachable, visit.target.timeout)
    visit.secure = bool(_successes(outcomes))
    text = ", ".join(sorted(set(_successes(outcomes).values())))
    return _judge("TLS", outcomes, text, _tls_advice(outcomes.values()))


def _open(visit: Visit, server: _Server, ip: str, *, use_tls: bool) -> Any:
    host, port = server
    options: dict[str, object] = {"hostname": host} if compares_host_names() else {}
    if use_tls:
        options.update(visit.target.tls)
    # In the way that the client's connection is opened, so that what fails there fails here.
    return SequentialGeventHandler().create_connection(
        address=(ip, port), timeout=visit.target.timeout, **options
    )


def _tls_advice(outcomes: Iterable[_Outcome]) -> str:
    for outcome in outcomes:
        if isinstance(outcome, ssl.SSLCertVerificationError):
            return "name the authority's certificate with --ca, or compare host and certificate"
        if isinstance(outcome, ssl.SSLError) and outcome.reason == "WRONG_VERSION_NUMBER":
            return "this port does not speak TLS: use the server's secureClientPort"
    return "see the server's log; it may want a client certificate: --cert and --key"


def _for_each(
    function: Callable[[_Server], object], servers: Iterable[_Server], timeout: float
) -> dict[_Server, _Outcome]:
    """Call a function for all servers at once."""

    def attempt(server: _Server) -> object:
        try:
            return function(server)
        except Exception as error:
            return error

    greenlets = {server: gevent.spawn(attempt, server) for server in servers}
    gevent.joinall(list(greenlets.values()), timeout=timeout)
    late = TimeoutError(f"no answer in {timeout:g} s")
    outcomes = {
        server: greenlet.value if greenlet.ready() else late
        for server, greenlet in greenlets.items()
    }
    gevent.killall(list(greenlets.values()), block=False)
    return outcomes


def _successes(outcomes: dict[_Server, _Outcome]) -> dict[_Server, Any]:
    return {
        server: outcome
        for server, outcome in outcomes.items()
        if not isinstance(outcome, Exception)
    }


def _judge(check: str, outcomes: dict[_Server, _Outcome], text: str, advice: str) -> Finding:
    failures = [
        f"{host}:{port}: {outcome}"
        for (host, port), outcome in outcomes.items()
        if isinstance(outcome, Exception)
    ]
    if not failures:
        return Finding(Level.ok, check, text)
    level = Level.problem if len(failures) == len(outcomes) else Level.warning
    return Finding(level, check, "; ".join(filter(None, [text, *failures])), advice)

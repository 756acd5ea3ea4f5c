"""The steps of the live check that come before a session: names, connections, TLS, servers."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final, TypeVar

import gevent
from gevent import socket

from kazoo_gevent_patch.commands.doctor.findings import Finding, Level
from kazoo_gevent_patch.commands.doctor.identity import (
    QUESTIONS,
    WANTS_CERTIFICATE,
    Identity,
    identify,
    is_alert,
)
from kazoo_gevent_patch.commands.doctor.visit import Endpoint, Visit, address
from kazoo_gevent_patch.handler.sequential import SequentialGeventHandler
from kazoo_gevent_patch.patching.versions import compares_host_names

ONE_ENSEMBLE: Final = "name the members of one ensemble only: others do not know each other's locks"

_Place = TypeVar("_Place")
_Outcome = Any  # what a function returned, or the exception that it raised

_MOST_FOR_AN_ANSWER: Final = 3.0  # seconds
_SHARE: Final = 0.9  # of what is left of the step's time, for all questions
_ANY_CERTIFICATE: Final[dict[str, object]] = {"use_ssl": True, "verify_certs": False}


def resolve(visit: Visit) -> Finding:
    """Look up the name of every server."""

    def look_up(server: tuple[str, int]) -> list[str]:
        found = socket.getaddrinfo(*server, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(info[4][0]) for info in found))

    outcomes = for_each(look_up, visit.target.addresses, visit.target.timeout)
    visit.resolved = _successes(outcomes)
    text = ", ".join(
        host if ips == [host] else f"{host} is {' and '.join(ips)}"
        for (host, _), ips in visit.resolved.items()
    )
    advice = "correct the name in --hosts, or the name service"
    return _judge("resolve", _by_name(outcomes), text, advice)


def connect(visit: Visit) -> Finding:
    """Open a connection to every server, at each of its addresses, and close it."""

    def open_one(server: tuple[str, int]) -> list[str]:
        error: Exception = OSError("no address")
        taken = []
        for ip in visit.resolved[server]:
            try:
                _open(visit, server[0], (ip, server[1]), {}).close()
            except OSError as why:
                error = why
            else:
                taken.append(ip)
        if not taken:
            raise error
        return taken

    outcomes = for_each(open_one, visit.resolved, visit.target.timeout)
    visit.endpoints = [
        Endpoint(*server, ip, is_one_of_several=len(ips) > 1)
        for server, ips in _successes(outcomes).items()
        for ip in ips
    ]
    visit.fit = [] if visit.target.tls else visit.endpoints
    visit.secure = bool(visit.fit)
    names = ", ".join(f"{endpoint.ip} port {endpoint.port}" for endpoint in visit.endpoints)
    advice = "start the server, or correct host, port or firewall"
    return _judge("connect", _by_name(outcomes), names, advice)


def handshake(visit: Visit) -> Finding:
    """Make a TLS handshake with every server, with kazoo's own settings."""

    def shake(endpoint: Endpoint) -> str:
        connection = _open(visit, endpoint.host, (endpoint.ip, endpoint.port), visit.target.tls)
        try:
            return f"{connection.version()} {connection.cipher()[0]}"
        finally:
            connection.close()

    outcomes = for_each(shake, visit.endpoints, visit.target.timeout)
    visit.fit = list(_successes(outcomes))
    visit.secure = bool(visit.fit)
    text = ", ".join(sorted(set(_successes(outcomes).values())))
    advice = _tls_advice(visit, outcomes)
    return _judge("TLS", {str(place): outcome for place, outcome in outcomes.items()}, text, advice)


def servers(visit: Visit) -> list[Finding]:
    """Ask every server what it is, and whether it serves."""
    outcomes = for_each(
        lambda endpoint: _identify(visit, endpoint, visit.target.tls), visit.fit, visit.time_left()
    )
    identities = {place: _judged(visit, outcome) for place, outcome in outcomes.items()}
    visit.fit = [place for place, identity in identities.items() if identity.is_fit]
    visit.cure = next(filter(None, (identity.advice for identity in identities.values())), "")
    return [
        Finding(
            # As elsewhere: if another one is fit, a client works all the same.
            min(identity.level, Level.warning) if visit.fit else identity.level,
            "server",
            f"{place}: {identity.text}",
            identity.advice,
            {"server": str(place), **identity.values},
        )
        for place, identity in identities.items()
    ]


def _judged(visit: Visit, outcome: _Outcome) -> Identity:
    if isinstance(outcome, Exception):
        return Identity(Level.warning, str(outcome), "look at its log and load")
    identity: Identity = outcome
    count = len(visit.target.addresses)
    if identity.values.get("mode") != "standalone" or count == 1:
        return identity
    text = f"{identity.text}, though --hosts names {count} servers"
    return replace(identity, level=Level.warning, text=text, advice=ONE_ENSEMBLE)


def _identify(visit: Visit, endpoint: Endpoint, tls: dict[str, object]) -> Identity:
    def connect(with_tls: bool) -> Any:
        options = (tls or _ANY_CERTIFICATE) if with_tls else {}
        return _open(visit, endpoint.host, (endpoint.ip, endpoint.port), options)

    limit = min(_MOST_FOR_AN_ANSWER, _SHARE * visit.time_left() / QUESTIONS)
    return identify(connect, tls=bool(visit.target.tls), limit=limit)


def _open(visit: Visit, host: str, place: tuple[str, int], options: dict[str, object]) -> Any:
    names: dict[str, object] = {"hostname": host} if compares_host_names() else {}
    # In the way that the client's connection is opened, so that what fails there fails here.
    return SequentialGeventHandler().create_connection(
        address=place, timeout=visit.target.timeout, **names, **options
    )


def _tls_advice(visit: Visit, outcomes: dict[Endpoint, _Outcome]) -> str:
    failures = {place: why for place, why in outcomes.items() if isinstance(why, Exception)}
    for why in failures.values():
        if isinstance(why, ssl.SSLCertVerificationError):
            return "name the authority's certificate with --ca, or compare host and certificate"
        if is_alert(why):
            return WANTS_CERTIFICATE
    for place in failures:
        identity = _identify(visit, place, _ANY_CERTIFICATE)
        if identity.advice and not identity.is_fit:
            return f"{identity.text}: {identity.advice}"
    return "look at the server's log and load; its TLS may have another port"


def for_each(
    function: Callable[[_Place], object], places: Iterable[_Place], timeout: float
) -> dict[_Place, _Outcome]:
    """Call a function for all places at once; an outcome may be the exception that it raised."""

    def attempt(place: _Place) -> object:
        try:
            return function(place)
        except Exception as error:
            return error

    greenlets = {place: gevent.spawn(attempt, place) for place in places}
    gevent.joinall(list(greenlets.values()), timeout=timeout)
    late = TimeoutError(f"no answer in {timeout:g} s")
    outcomes = {
        place: greenlet.value if greenlet.ready() else late for place, greenlet in greenlets.items()
    }
    gevent.killall(list(greenlets.values()), block=False)
    return outcomes


def _successes(outcomes: dict[_Place, _Outcome]) -> dict[_Place, Any]:
    return {
        place: outcome for place, outcome in outcomes.items() if not isinstance(outcome, Exception)
    }


def _by_name(outcomes: dict[tuple[str, int], _Outcome]) -> dict[str, _Outcome]:
    return {address(*server): outcome for server, outcome in outcomes.items()}


def _judge(check: str, outcomes: dict[str, _Outcome], text: str, advice: str) -> Finding:
    failures = {name: str(why) for name, why in outcomes.items() if isinstance(why, Exception)}
    values: dict[str, object] = {"servers": _successes(outcomes), "failures": failures}
    if not failures:
        return Finding(Level.ok, check, text, values=values)
    level = Level.problem if len(failures) == len(outcomes) else Level.warning
    texts = filter(None, [text, *(f"{name}: {why}" for name, why in failures.items())])
    return Finding(level, check, "; ".join(texts), advice, values)

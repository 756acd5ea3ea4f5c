"""The step of the live check that looks at each member of an ensemble on its own."""

from __future__ import annotations

import warnings
from functools import partial
from time import perf_counter
from typing import Any

from kazoo.handlers.threading import KazooTimeoutError

from kazoo_gevent_patch.commands.doctor.findings import Finding, Level, ms
from kazoo_gevent_patch.commands.doctor.network import ONE_ENSEMBLE, for_each
from kazoo_gevent_patch.commands.doctor.visit import ClientLog, Endpoint, Visit
from kazoo_gevent_patch.patching.versions import compares_host_names


def has_members(visit: Visit) -> bool:
    """Return whether there are several servers, by their names or by their addresses."""
    return len(visit.target.addresses) > 1 or len(visit.endpoints) > 1


def members(visit: Visit) -> list[Finding]:
    """Have each server give a session, and see what was written through another one."""
    outcomes = for_each(partial(_ask_member, visit), visit.fit, visit.target.timeout)
    return [_member(str(place), outcome) for place, outcome in outcomes.items()]


def _ask_member(visit: Visit, endpoint: Endpoint) -> float:
    """Return how many seconds a session with this server alone took."""
    log = ClientLog()
    # Its certificate has been compared with the name, which may stand for other addresses.
    names = (
        {"check_hostname": False} if endpoint.is_one_of_several and compares_host_names() else {}
    )
    client = visit.new_client(endpoint.hosts + visit.target.chroot, log, **names)
    visit.members.append(client)
    begin = perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            client.start(timeout=visit.target.timeout)
    except KazooTimeoutError as error:
        raise TimeoutError(log.last_warning or "it does not answer") from error
    took = perf_counter() - begin
    if visit.node:
        client.sync(visit.node)
        if not client.exists(visit.node):
            raise LookupError("it lacks the temporary node: it belongs to another ensemble")
    return took


def _member(name: str, outcome: Any) -> Finding:
    values: dict[str, object] = {"server": name}
    if isinstance(outcome, LookupError):
        return Finding(Level.problem, "member", f"{name}: {outcome}", ONE_ENSEMBLE, values)
    if isinstance(outcome, Exception):
        text = f"{name}: no session: {str(outcome) or type(outcome).__name__}"
        advice = "look at its log and load: clients that choose it wait for another"
        return Finding(Level.warning, "member", text, advice, values)
    text = f"{name}: a session in {ms(outcome)}"
    return Finding(Level.ok, "member", text, values={**values, "seconds": outcome})

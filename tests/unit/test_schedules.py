"""Replies split, delayed, merged and cut in any way: every request ends, and rightly."""

from __future__ import annotations

import os
from dataclasses import replace

import gevent
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionLoss

from kazoo_gevent_patch import patched
from tests.unit.wire.scripted_peer import Schedule, ScriptedPeer

EXAMPLES = int(os.environ.get("SCHEDULES", "200"))
"""How many schedules are tried; set SCHEDULES in the environment for more."""

schedules = st.builds(
    Schedule,
    pieces=st.lists(
        st.sampled_from([1, 2, 3, 4, 5, 19, 20, 100, 4096, 70_000]), min_size=1, max_size=6
    ).map(tuple),
    hold=st.sampled_from([1, 1, 2, 3]),
    delays=st.lists(st.sampled_from([0, 0, 0, 0.0005]), min_size=1, max_size=4).map(tuple),
    cuts=st.lists(st.integers(0, 30), max_size=3).map(tuple),
)


def outcomes(client: KazooClient, name: str, requests: int) -> list[object]:
    """Have that many requests in flight; return what became of each."""
    results = {
        path: client.get_async(path) for path in (f"/{name}-{number}" for number in range(requests))
    }
    return [outcome(path, result) for path, result in results.items()]


def outcome(path: str, result: object) -> object:
    """Return True for the right answer, and otherwise what came instead."""
    try:
        data, _ = result.get(timeout=20)  # type: ignore[attr-defined]
    except ConnectionLoss:
        return ConnectionLoss
    return True if data == path.encode() else data


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(schedule=schedules, greenlets=st.integers(1, 6), requests=st.integers(1, 30))
def test_every_request_ends_rightly(schedule: Schedule, greenlets: int, requests: int) -> None:
    """The right answer, or ConnectionLoss where a connection was cut; nothing hangs."""
    # Answers that are held for company must not wait for company that never comes.
    schedule = replace(schedule, hold=1) if schedule.cuts else schedule
    requests -= requests % schedule.hold
    with patched(), ScriptedPeer(schedule) as peer:
        client = KazooClient(
            peer.hosts, connection_retry={"max_tries": -1, "delay": 0.001, "max_delay": 0.01}
        )
        client.start(timeout=10)
        try:
            workers = [
                gevent.spawn(outcomes, client, str(number), requests) for number in range(greenlets)
            ]
            seen = [result for worker in workers for result in worker.get(timeout=30)]
            assert set(seen) <= ({True, ConnectionLoss} if schedule.cuts else {True})
            assert len(seen) == greenlets * requests
        finally:
            client.stop()
            client.close()

"""A peer that answers with anything at all: every request ends, and the client goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator

import gevent.pool
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kazoo.client import KazooClient
from kazoo.exceptions import EXCEPTIONS, ConnectionClosedError, KazooException
from kazoo.protocol.states import KeeperState

from kazoo_gevent_patch import patched
from tests.support import wait_until
from tests.unit.attacks import (
    AFTERWARDS,
    ERRORS,
    KINDS,
    LENGTHS,
    NUMBERS,
    XIDS,
    Attack,
    framed,
    from_seed,
)
from tests.unit.hostile_sessions import our_tracebacks, play
from tests.unit.scripted_peer import AT_ONCE, ScriptedPeer

CASES = int(os.environ.get("HOSTILE_CASES", "10000"))
"""How many seeds the long test tries; set HOSTILE_CASES in the environment for more."""

FEW_CASES = 300
AT_A_TIME = 50
MOST_MEMORY = 64 << 20
"""Bytes that hostile peers may add to the process."""

attacks = st.builds(
    Attack,
    at=st.integers(0, 8),
    kind=st.sampled_from(KINDS),
    number=st.sampled_from(NUMBERS) | st.integers(-(2**31), 2**31 - 1),
    noise=st.binary(min_size=1, max_size=200),
    then=st.sampled_from(AFTERWARDS),
)


# What the first reply of a connection may be, where the outcome does not depend on timing.
FIRST_REPLIES = [
    *(Attack(1, kind, noise=bytes(20), then=then) for kind in KINDS for then in AFTERWARDS),
    *(Attack(1, "length", number) for number in LENGTHS),
    *(Attack(1, "xid", number) for number in XIDS),
    *(Attack(1, "error", number) for number in ERRORS if number in EXCEPTIONS),
]


@pytest.fixture(autouse=True)
def _no_traceback_of_ours() -> Iterator[None]:
    with our_tracebacks() as seen:
        yield
    assert seen == []


def play_seeds(cases: int) -> None:
    """Play that many sessions, many at a time: most of a session is waiting."""
    pool = gevent.pool.Pool(AT_A_TIME)
    before = psutil.Process().memory_info().rss
    with patched():
        failures = [failure for failure in pool.imap_unordered(failure_of, range(cases)) if failure]
    assert failures == []
    assert psutil.Process().memory_info().rss - before < MOST_MEMORY


def failure_of(seed: int) -> str | None:
    """Return what went wrong in the session of that seed, if anything did."""
    try:
        play(from_seed(seed))
    except Exception as error:
        return f"seed {seed}, {from_seed(seed)}: {error!r}"
    return None


def test_sessions_from_seeds_end_and_go_on() -> None:
    """Every request ends, the client is connected again or says it is closed, and starts again."""
    play_seeds(FEW_CASES)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_many_sessions_from_seeds_end_and_go_on() -> None:
    """The same for 10,000 seeds."""
    play_seeds(CASES)


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.lists(attacks, min_size=1, max_size=3))
def test_any_session_ends_and_goes_on(attacks: list[Attack]) -> None:
    """The same for whatever attacks are found, and made small where one does harm."""
    with patched():
        play(attacks)


def test_requests_end_as_on_kazoos_default_handler() -> None:
    """The attacked request comes to the same end, and kazoo gives up in the same cases."""

    def fates(on_threads: bool) -> list[tuple[object, bool]]:
        pool = gevent.pool.Pool(10)
        outcomes = pool.map(lambda attack: play([attack], on_threads=on_threads), FIRST_REPLIES)
        return [(outcome.results[0], outcome.closed) for outcome in outcomes]

    expected = fates(on_threads=True)
    with patched():
        seen = fates(on_threads=False)
    assert [
        (attack, fate, other)
        for attack, fate, other in zip(FIRST_REPLIES, seen, expected, strict=True)
        if fate != other
    ] == []

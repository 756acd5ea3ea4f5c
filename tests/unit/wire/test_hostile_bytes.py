"""A peer that answers with anything at all: every request ends, and the client goes on."""

from __future__ import annotations

import gc
import logging
import os
import pickle
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import gevent.pool
import gevent.socket
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kazoo.client import KazooClient
from kazoo.exceptions import EXCEPTIONS, ConnectionClosedError, ConnectionLoss, ZookeeperError
from kazoo.protocol.states import KazooState, KeeperState

from kazoo_gevent_patch import patched
from kazoo_gevent_patch.wire.connection import Connection
from tests.support import wait_until
from tests.unit.wire.attacks import (
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
from tests.unit.wire.hostile_sessions import SESSION_TIMEOUT, our_tracebacks, play
from tests.unit.wire.scripted_peer import AT_ONCE

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
    # A peer that hangs up resets the connection, which may overtake the reply before it.
    *(Attack(1, kind, noise=bytes(20)) for kind in KINDS),
    Attack(1, "as it is", then="silence"),
    Attack(1, "truncated", 7, then="silence"),
    # 17 makes of what follows a frame that a heartbeat's answer completes, in time or not
    *(Attack(1, "length", number) for number in LENGTHS if number != 17),
    *(Attack(1, "xid", number) for number in XIDS),
    *(Attack(1, "error", number) for number in ERRORS if number in EXCEPTIONS),
]


@pytest.fixture(autouse=True)
def _no_traceback_of_ours() -> Iterator[None]:
    with our_tracebacks() as seen:
        yield
    assert seen == []


def play_seeds(cases: int, caplog: pytest.LogCaptureFixture) -> None:
    """Play that many sessions, many at a time: most of a session is waiting."""
    pool = gevent.pool.Pool(AT_A_TIME)
    before = psutil.Process().memory_info().rss
    with patched():
        for first in range(0, cases, FEW_CASES):
            seeds = range(first, min(first + FEW_CASES, cases))
            assert [failure for failure in pool.imap_unordered(failure_of, seeds) if failure] == []
            caplog.clear()  # the records hold tracebacks, and those the clients
            gc.collect()  # kazoo's clients are cycles, of which a program does not make thousands
            assert psutil.Process().memory_info().rss - before < MOST_MEMORY


def failure_of(seed: int) -> str | None:
    """Return what went wrong in the session of that seed, if anything did."""
    try:
        play(from_seed(seed))
    except Exception as error:
        return f"seed {seed}, {from_seed(seed)}: {error!r}"
    return None


def test_sessions_from_seeds_end_and_go_on(caplog: pytest.LogCaptureFixture) -> None:
    """Every request ends, the client is connected again or says it is closed, and starts again."""
    play_seeds(FEW_CASES, caplog)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_sessions_from_seeds_end_and_go_on(caplog: pytest.LogCaptureFixture) -> None:
    """The same for 10,000 seeds."""
    play_seeds(CASES, caplog)


@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.lists(attacks, min_size=1, max_size=3))
def test_any_session_ends_and_goes_on(attacks: list[Attack]) -> None:
    """The same for whatever attacks are found, and made small where one does harm."""
    with patched():
        play(attacks)


# kazoo's connection thread ends so, and says so.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_requests_end_as_on_kazoos_default_handler() -> None:
    """The attacked request comes to the same end, and kazoo gives up in the same cases."""

    def fates(on_threads: bool) -> list[tuple[object, bool]]:
        pool = gevent.pool.Pool(10)
        # A time-out of a busy machine's making would be another end.
        outcomes = pool.map(lambda attack: play([attack], on_threads, 3.0), FIRST_REPLIES)
        return [(outcome.results[0], outcome.closed) for outcome in outcomes]

    expected = fates(on_threads=True)
    with patched():
        seen = fates(on_threads=False)
    assert [
        (attack, fate, other)
        for attack, fate, other in zip(FIRST_REPLIES, seen, expected, strict=True)
        if fate != other
    ] == []


def test_an_error_code_that_kazoo_does_not_know_ends_its_request_only(
    hostile_client: Callable[..., KazooClient],
) -> None:
    """The request is refused with the code; on the default handler it never ends."""
    client = hostile_client(Attack(1, "error", -999))
    with pytest.raises(ZookeeperError, match="Error code -999") as raised:
        client.get("/refused")
    assert raised.value.code == -999
    assert pickle.loads(pickle.dumps(raised.value)).code == -999
    assert client.get("/next")[0] == b"/next"
    assert client.connected


def test_who_has_his_reply_goes_on_before_others_hear_that_the_connection_is_lost(
    hostile_client: Callable[..., KazooClient],
) -> None:
    """A request that cannot be sent, right behind the reply, does not overtake its reader."""
    client = hostile_client(Attack(1, "as it is", then="reset"))
    heard: list[str] = []
    client.add_listener(heard.append)

    def send_another(record: logging.LogRecord) -> bool:
        if record.getMessage().startswith("Received response"):  # in the connection greenlet
            client.get_async("/another")
        return False  # what takes its time to be written gives others theirs

    client._connection.logger = logging.getLogger("of this test")
    client._connection.logger.setLevel(logging.DEBUG)
    client._connection.logger.addFilter(send_another)
    client.get("/first")
    heard.append("the reply")
    wait_until(lambda: len(heard) > 1, sleep=gevent.sleep)
    assert heard[:2] == ["the reply", KazooState.SUSPENDED]


@pytest.mark.parametrize("start", ["start", "restart"])
def test_a_client_starts_again_after_kazoo_gave_up(
    hostile_client: Callable[..., KazooClient], start: str
) -> None:
    """Once what the peer said has ended the connection loop, a new start is a new session."""
    client = hostile_client(Attack(1, "length", -1))
    with pytest.raises(ConnectionLoss):
        client.get("/lost")
    with pytest.raises(ConnectionClosedError):
        client.get("/refused")
    getattr(client, start)()
    assert client.get("/next")[0] == b"/next"
    gevent.sleep(0.05)  # a Close left over would be sent by now
    assert client.connected


def test_requests_may_follow_a_second_start_at_once(
    hostile_client: Callable[..., KazooClient],
) -> None:
    """start_async() takes requests from when it returns, however often it was called."""
    client = hostile_client()
    for number in range(3):
        client.stop()
        client.start_async()
        assert client.get_async(f"/{number}").get(timeout=10)[0] == f"/{number}".encode()


def test_a_silent_server_does_not_hold_up_a_read_only_session(
    hostile_client: Callable[..., KazooClient],
) -> None:
    """The search for a server that can write gives up, and the requests that waited go on."""
    client = hostile_client(
        Attack(0, "read only"), schedule=replace(AT_ONCE, session_timeout=SESSION_TIMEOUT)
    )
    assert client.client_state == KeeperState.CONNECTED_RO
    client.get("/first")  # the peer is honest from here on
    peer_address = client._connection._socket.getpeername()
    silent = gevent.socket.socket()
    silent.bind(("127.0.0.1", 0))
    silent.listen()
    client.hosts[:] = [silent.getsockname()]  # the search goes through this very list
    pinged, _ = silent.accept()
    assert pinged.recv(4) == b"isro"
    client.hosts[:] = [peer_address]
    assert client.get_async("/held-up").get(timeout=20)[0] == b"/held-up"
    pinged.close()
    silent.close()


PROMISED = struct.pack("!i", 2**31 - 1)


def test_memory_grows_with_what_was_received_and_not_with_what_was_promised(
    hostile_client: Callable[..., KazooClient],
) -> None:
    """A reply of 2 GiB is announced, and 4 MiB of it are sent."""
    before = psutil.Process().memory_info().rss
    client = hostile_client(
        Attack(1, "noise before", noise=PROMISED + bytes(4 << 20), then="silence")
    )
    result = client.get_async("/never")
    wait_until(lambda: client.peer.fell_silent, 60, gevent.sleep)
    gevent.sleep(0.2)  # for what is in the socket's buffers
    assert psutil.Process().memory_info().rss - before < MOST_MEMORY
    assert not result.ready()


def test_small_pieces_of_a_large_reply_take_little_memory() -> None:
    """kazoo keeps the pieces of a reply until the last; each takes not much more than its size."""
    ours, peers = socket.socketpair()
    connection = Connection(ours)
    before = psutil.Process().memory_info().rss
    pieces = []
    for _ in range(10_000):
        peers.send(b"xy")
        pieces.append(connection.recv(2**31 - 1))
    grown = psutil.Process().memory_info().rss - before
    connection.close()
    peers.close()
    assert len(pieces) == 10_000
    assert grown < 10_000 * 400


@pytest.mark.parametrize(
    "attack",
    [
        Attack(1, "noise instead", noise=noise, then="silence")
        for noise in (b"\0", PROMISED, PROMISED + bytes(1000), framed(bytes(20))[:-1])
    ]
    + [Attack(1, "late"), Attack(1, "never", then="silence")],
    ids=lambda attack: f"{attack.kind}-{attack.noise[:5].hex()}",
)
def test_a_client_that_waits_for_a_silent_peer_is_idle(
    hostile_client: Callable[..., KazooClient], attack: Attack
) -> None:
    """Whatever was left unsaid, waiting for the rest of it takes no processor time."""
    client = hostile_client(attack)
    result = client.get_async("/never")
    gevent.sleep(0.05)  # for the attack to have arrived
    began = time.process_time()
    gevent.sleep(0.5)
    assert time.process_time() - began < 0.2 * 0.5
    assert not result.ready()

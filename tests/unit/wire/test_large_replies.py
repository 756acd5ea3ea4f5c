"""Replies with very many children: others run while kazoo's names are read."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionLoss
from kazoo.protocol.serialization import GetACL, GetChildren

from kazoo_gevent_patch.changes.replies import AT_ONCE, _read_names
from tests.support import wait_until
from tests.unit.wire.attacks import Attack

HEADER = struct.pack("!iqi", 1, 1, 0)  # of the reply to the first request
STAT = struct.pack("!qqqqiiiqiiq", 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1)
MANY = 400_000
NAMES = [f"{number:08}" for number in range(MANY)]


def listed(count: int, names: list[str]) -> bytes:
    """Return a list of names as a server sends it, with that count before it."""
    return struct.pack("!i", count) + b"".join(b"\0\0\0\x08" + name.encode() for name in names)


MANY_LISTED = listed(MANY, NAMES)

Connect = Callable[..., KazooClient]


def answer(body: bytes) -> Attack:
    """Return the attack that answers the first request with this."""
    return Attack(1, "noise within", noise=HEADER + body)


def longest_work(seconds: list[float]) -> None:
    """Note for how long this thread worked between two turns of the event loop."""
    before = time.thread_time()
    while True:
        gevent.sleep(0.001)
        seconds.append(-before + (before := time.thread_time()))


def test_others_run_while_very_many_names_are_read(hostile_client: Connect) -> None:
    """In the time that kazoo's own code takes for them in one go, a ticker ticks on."""
    client = hostile_client(answer(MANY_LISTED + STAT))
    result = client.get_children_async("/", include_data=True)
    seconds: list[float] = []
    ticker = gevent.spawn(longest_work, seconds)
    names, stat = result.get(timeout=60)
    ticks = len(seconds)
    wait_until(lambda: len(seconds) > ticks, sleep=gevent.sleep)
    ticker.kill()
    assert names == NAMES
    assert stat.pzxid == 1
    # In one go it is more than 0.1 s. The peer, which lives in this thread, takes some time too.
    assert max(seconds) < 0.05


def test_what_is_read_in_slices_is_what_kazoo_reads(hostile_client: Connect) -> None:
    """The names, and the watch that was asked for."""
    client = hostile_client(answer(MANY_LISTED))
    seen: list[object] = []
    assert client.get_children("/many", watch=seen.append) == NAMES
    assert len(client._child_watchers["/many"]) == 1
    assert client.get("/next")[0] == b"/next"
    assert "_read_response" not in vars(client._connection)


@given(
    st.lists(st.none() | st.text(max_size=4) | st.sampled_from(["child-1", "child-2"])),
    st.integers(0, 100),
    st.integers(-2, 2),
)
def test_names_of_any_length_are_read_as_kazoo_reads_them(
    names: list[str | None], repeated: int, more: int
) -> None:
    """Those of one length, which are read together, those of others, none at all, and too few."""
    names = names[:3] * repeated * (AT_ONCE // 50) + names
    body = struct.pack("!i", len(names) + more) + b"".join(
        b"\xff\xff\xff\xff"
        if name is None
        else struct.pack("!i", len(name.encode())) + name.encode()
        for name in names
    )
    read = [*_read_names(GetChildren, body, 0)][-1]
    assert read is not None
    assert outcome(read) == outcome(lambda: GetChildren.deserialize(body, 0))


def outcome(call: Callable[[], object]) -> object:
    """Return what the call returns, or the error that it raises."""
    try:
        return call()
    except Exception as error:
        return type(error), str(error)


@pytest.mark.parametrize("names", [MANY, MANY + 1, 2**31 - 1, -1, -5], ids=str)
def test_a_wrong_count_ends_as_with_kazoo(hostile_client: Connect, names: int) -> None:
    """The request has kazoo's outcome, and the client goes on."""
    body = listed(names, NAMES)
    client = hostile_client(answer(body), answer(body))
    result = client.get_children_async("/")
    result.wait(60)
    expected = outcome(lambda: GetChildren.deserialize(HEADER + body, len(HEADER)))
    seen = result.value if result.successful() else (type(result.exception), str(result.exception))
    assert seen == expected
    assert client.get("/next")[0] == b"/next"


def test_a_connection_that_is_cut_off_meanwhile_fails_the_request(hostile_client: Connect) -> None:
    """Its caller is told, as always when the connection is lost before the reply."""
    client = hostile_client(answer(MANY_LISTED))
    result = client.get_children_async("/")
    wait_until(
        lambda: "_read_response" in vars(client._connection), sleep=lambda _: gevent.sleep(0)
    )
    assert not result.ready()
    client._connection._connection_routine.kill(block=False)
    with pytest.raises(ConnectionLoss):
        result.get(timeout=20)
    assert client.get("/next")[0] == b"/next"


def test_a_connection_that_is_closed_meanwhile_fails_the_request(hostile_client: Connect) -> None:
    """As stop() does when it has waited for long enough."""
    client = hostile_client(answer(MANY_LISTED))
    result = client.get_children_async("/")
    wait_until(
        lambda: "_read_response" in vars(client._connection), sleep=lambda _: gevent.sleep(0)
    )
    client._connection._socket.close()
    with pytest.raises(ConnectionLoss):
        result.get(timeout=20)


def test_an_access_list_is_read_in_one_go(hostile_client: Connect) -> None:
    """As by kazoo alone: the event loop stands still meanwhile, which the threat notes say."""
    entry = struct.pack("!ii", 31, 5) + b"world" + struct.pack("!i", 6) + b"anyone"
    body = struct.pack("!i", MANY // 8) + entry * (MANY // 8) + STAT
    began = time.thread_time()
    expected = GetACL.deserialize(body, 0)
    at_once = time.thread_time() - began
    client = hostile_client(answer(body))
    result = client.get_acls_async("/")
    seconds: list[float] = []
    ticker = gevent.spawn(longest_work, seconds)
    assert result.get(timeout=60) == expected
    ticks = len(seconds)
    wait_until(lambda: len(seconds) > ticks, sleep=gevent.sleep)
    ticker.kill()
    assert max(seconds) > at_once / 5  # a slice would be a fiftieth

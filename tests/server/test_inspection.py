"""What ``status()`` tells of clients with a server: sessions, requests, watches, locks, losses."""

from __future__ import annotations

import gc
import json
import sys
from functools import partial

import gevent
import pytest
from gevent.monkey import get_original
from kazoo.client import KazooClient
from kazoo.protocol.states import KazooState

from kazoo_gevent_patch import inventory, patch_all, status
from kazoo_gevent_patch.inspection.records import ClientStatus
from kazoo_gevent_patch.inspection.visits import reports
from kazoo_gevent_patch.weak import IdentitySet
from tests.server.conftest import MakeClient
from tests.support import finish, wait_until

block = get_original("time", "sleep")
wait = partial(wait_until, sleep=gevent.sleep)


@pytest.fixture(autouse=True)
def _no_other_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the clients that other tests have left in this process."""
    monkeypatch.setattr(inventory, "live", IdentitySet())
    monkeypatch.setattr(inventory, "find", list)


def told_of(client: KazooClient) -> ClientStatus:
    """Return what status() tells of the client, which has a session."""
    session = f"0x{client.client_id[0] & (1 << 64) - 1:x}"
    (found,) = [one for one in status().clients if one.session == session]
    return found


def report() -> tuple[str, list[dict[str, str]]]:
    """Return the text and the greenlets of the report that the command would get."""
    answer = json.loads(finish(reports[-1]()))
    return answer["text"], answer["data"]["greenlets"]


def test_a_session_is_told(patched_client: KazooClient) -> None:
    """The server, the negotiated time-out, and nothing of it after the stop."""
    found = told_of(patched_client)
    host, port = patched_client.hosts[0]
    assert (found.state, found.running) == (KazooState.CONNECTED, True)
    assert found.hosts == found.server == f"{host}:{port}"
    assert found.timeout == 5.0
    patched_client.stop()
    (after,) = [one for one in status().clients if one.built == found.built]
    assert (after.state, after.running, after.session, after.server) == ("LOST", False, "", "")


def test_the_time_out_that_was_negotiated_is_told(make_patched_client: MakeClient) -> None:
    """The shared server grants one second at least, whatever is asked for."""
    client = make_patched_client(timeout=0.5)
    assert client._session_timeout == 500
    assert told_of(client).timeout >= 1.0


def test_requests_and_watches_are_counted(patched_client: KazooClient) -> None:
    """Those that wait to be sent, those that wait for a reply, and who waits for them."""
    results = [patched_client.get_async("/", watch=lambda event: None) for _ in range(5)]
    found = told_of(patched_client)
    assert (found.in_flight, found.waiting) == (0, 5)
    waiting = gevent.spawn(results[0].get)
    gevent.sleep(0)
    (greenlet,) = [one for one in report()[1] if "waits for GetData /" in one["name"]]
    assert greenlet["state"] == "waits"
    waiting.get()
    for result in results:
        result.get()
    found = told_of(patched_client)
    assert (found.in_flight, found.waiting, found.watches) == (0, 0, 5)


def test_requests_in_flight_are_told_while_the_loop_stands_still(
    patched_client: KazooClient,
) -> None:
    """They were sent, and their replies have not been read."""
    results = [patched_client.get_async("/") for _ in range(5)]
    in_flight = wait(lambda: told_of(patched_client).in_flight, sleep=partial(gevent.sleep, 0))
    assert 0 < in_flight <= 5
    for result in results:
        result.get()


@pytest.mark.parametrize("kind", ["Lock", "WriteLock"])
def test_locks_that_are_held_and_that_are_waited_for_are_told(
    make_patched_client: MakeClient, kind: str
) -> None:
    """By their paths; and who waits, and where."""
    holder, other = make_patched_client(), make_patched_client()
    lock, wanted = getattr(holder, kind)("/lock"), getattr(other, kind)("/lock")
    with lock:
        waiting = gevent.spawn(wanted.acquire)
        wait(lambda: told_of(other).locks_awaited)
        assert (told_of(holder).locks_held, told_of(holder).locks_awaited) == (("/lock",), ())
        assert (told_of(other).locks_held, told_of(other).locks_awaited) == ((), ("/lock",))
        wait(lambda: "waits for the lock /lock: waits" in report()[0])
    assert waiting.get()
    assert told_of(other).locks_held == ("/lock",)
    wanted.release()
    assert (told_of(other).locks_held, told_of(other).locks_awaited) == ((), ())


def test_a_semaphore_that_is_held_is_told(patched_client: KazooClient) -> None:
    """And an election that is won, which is a lock."""
    with patched_client.Semaphore("/semaphore"):
        assert told_of(patched_client).locks_held == ("/semaphore",)
    seen: list[tuple[str, ...]] = []
    election = patched_client.Election("/election")
    election.run(lambda: seen.append(told_of(patched_client).locks_held))
    assert seen == [("/election",)]


def test_stalls_and_lost_sessions_are_counted(make_patched_client: MakeClient) -> None:
    """Each stall of a third of the time-out, and each session that expired."""
    patch_all(keep_sessions=False)
    client = make_patched_client(timeout=0.5)
    assert (told_of(client).stalls, told_of(client).lost_sessions) == (0, 0)
    session = client.client_id
    gevent.sleep(0.25)  # let the timer come a few times
    block(3.0)
    wait(lambda: client.connected and client.client_id not in (None, session))
    found = told_of(client)
    assert found.stalls >= 1
    assert found.lost_sessions == 1
    assert f"{found.stalls} stalls, 1 sessions lost" in str(status())


def test_the_connection_greenlet_is_told_with_its_stack(patched_client: KazooClient) -> None:
    """By the client that it belongs to."""
    text, greenlets = report()
    built = told_of(patched_client).built
    (one,) = [one for one in greenlets if one["name"] == f"KazooClient ({built}), connection"]
    assert any("zk_loop" in line for line in one["stack"])
    assert built in text


@pytest.mark.skipif(sys.version_info < (3, 11), reason="each object has a dictionary")
def test_a_look_costs_the_requests_after_it_nothing(patched_client: KazooClient) -> None:
    """CPython 3.11 and newer find attributes faster where nobody has asked for ``__dict__``."""
    report()
    for thing in (patched_client._connection, patched_client.handler):
        held = gc.get_referents(thing)
        assert not [part for part in held if type(part) is dict and part.keys() & dir(thing)]


def test_clients_on_other_handlers_are_told_too(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what kazoo knows of them."""
    monkeypatch.undo()  # this one is found
    client = make_client()
    patch_all()
    client.restart()
    found = told_of(client)
    assert found.state == "CONNECTED"
    assert found.server
    assert found.handler == f"{type(client.handler).__module__}.{type(client.handler).__qualname__}"
    report()

"""A connection greenlet or a callback worker that is cut off is replaced, and nothing is lost."""

from __future__ import annotations

import gc
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gevent
import pytest
from gevent import GreenletExit
from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionLoss
from kazoo.protocol.states import KazooState

from tests.server.conftest import MakeClient
from tests.support import run_python, wait_until

CUTS: dict[str, Callable[[Any], object]] = {
    "kill": lambda greenlet: greenlet.kill(),
    "Timeout": lambda greenlet: greenlet.kill(gevent.Timeout()),
    "KeyboardInterrupt": lambda greenlet: gevent.get_hub().loop.run_callback(
        greenlet.throw, KeyboardInterrupt
    ),
    "an exception": lambda greenlet: greenlet.kill(ValueError("thrown")),
}
cuts = pytest.mark.parametrize("cut", CUTS.values(), ids=list(CUTS))


def wait(seconds: float) -> None:
    """Let other greenlets run; gevent raises what ended one by a system error here."""
    with suppress(KeyboardInterrupt):
        gevent.sleep(seconds)


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gevent.get_hub(), "print_exception", lambda *_: None)


def is_well(client: KazooClient, session: object) -> None:
    wait_until(lambda: client.connected, sleep=wait)
    assert client.retry(client.get, "/")
    assert client.client_id[0] == session
    assert client._connection._connection_routine.is_alive()


@cuts
def test_an_idle_client_goes_on_with_its_session(
    patched_client: KazooClient, cut: Callable[[Any], object]
) -> None:
    """Its listeners hear of a connection that was dropped, and its nodes stay."""
    states: list[str] = []
    patched_client.create("/ephemeral", ephemeral=True)
    patched_client.add_listener(states.append)
    session = patched_client.client_id[0]
    cut(patched_client._connection._connection_routine)
    wait_until(lambda: states == [KazooState.SUSPENDED, KazooState.CONNECTED], sleep=wait)
    is_well(patched_client, session)
    assert patched_client.exists("/ephemeral")


@cuts
def test_each_request_in_flight_ends(
    patched_client: KazooClient, cut: Callable[[Any], object]
) -> None:
    """With its reply, or with ConnectionLoss; whenever the greenlet is cut off."""
    session = patched_client.client_id[0]
    for _ in range(10):
        results = [patched_client.get_async("/") for _ in range(200)]
        cut(patched_client._connection._connection_routine)
        for result in results:
            try:
                result.get(timeout=10)
            except ConnectionLoss:
                continue
            except KeyboardInterrupt:
                result.wait(10)
        wait(0.05)
        assert all(result.ready() for result in results)
        is_well(patched_client, session)


def test_one_that_is_killed_before_it_begins_is_replaced(make_patched_client: MakeClient) -> None:
    """start_async(), and the greenlet is killed in the same breath."""
    client = make_patched_client(start=False)
    client.start_async()
    client._connection._connection_routine.kill(block=False)
    wait_until(lambda: client.connected, sleep=gevent.sleep)
    assert client.get("/")


@pytest.mark.parametrize("listens", [True, False], ids=["silent server", "no server"])
def test_one_that_is_cut_off_while_it_connects_goes_on(
    make_patched_client: MakeClient, listens: bool
) -> None:
    """Waiting for the session, and between two attempts; stop() ends it as ever."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if listens:
            server.listen()
        client = make_patched_client(start=False, hosts=f"127.0.0.1:{server.getsockname()[1]}")
        client.start_async()
        for _ in range(3):
            wait(0.02)
            client._connection._connection_routine.kill()
            assert client._connection._connection_routine.is_alive()
        client.stop()
    assert not client._connection._connection_routine


def test_a_stopped_client_gets_no_new_greenlet(patched_client: KazooClient) -> None:
    """Killing what has ended, and stopping what was killed, leaves nothing running."""
    greenlet = patched_client._connection._connection_routine
    greenlet.kill()
    patched_client.stop()
    greenlet.kill()
    assert not patched_client._connection._connection_routine


def test_callbacks_run_on_when_their_worker_is_killed(patched_client: KazooClient) -> None:
    """Idle, and in the middle of a callback that waits: that one ends, the others run."""
    ran: list[object] = []
    queue = patched_client.handler.completion_queue
    queue.put(lambda: ran.append("before"))
    wait_until(lambda: ran, sleep=gevent.sleep)
    queue.worker.kill()
    queue.put(lambda: gevent.sleep(60))
    queue.put(lambda: ran.append("after"))
    gevent.sleep(0.01)
    queue.worker.kill(GreenletExit)
    wait_until(lambda: ran == ["before", "after"], sleep=gevent.sleep)


NO_RESOLVER = """
import os, sys
os.environ["GEVENT_RESOLVER"] = "dnspython"  # which gevent imports at the first look-up
sys.modules["dns"] = None
import gevent.monkey; gevent.monkey.patch_all()
from kazoo_gevent_patch import patch_all; patch_all()
import gevent
from kazoo.client import KazooClient

zk = KazooClient("a-host:1")
zk.start_async()
greenlets = []
with gevent.Timeout(2, False):
    while True:
        if zk._connection._connection_routine not in greenlets:
            greenlets.append(zk._connection._connection_routine)
        gevent.sleep(0)
print(len(greenlets))
zk.stop()
"""


def test_an_error_of_gevents_that_stays_is_met_with_pauses() -> None:
    """They double: there is no end of such errors, and each is a traceback in the log."""
    assert 4 < int(run_python(NO_RESOLVER).stdout) < 12


NO_THREAD = """
import resource, sys, os
import gevent.monkey; gevent.monkey.patch_all()
from kazoo_gevent_patch import patch_all; patch_all(keep_sessions=False)
import gevent, kazoo.protocol.connection
from gevent.monkey import get_original
from kazoo.client import KazooClient

zk = KazooClient("{hosts}".replace("127.0.0.1", "localhost"), timeout=4.0)
zk.start()
go_on = get_original("_thread", "allocate_lock")()
go_on.acquire()
gevent.get_hub().threadpool.spawn(go_on.acquire)  # so that a look-up needs another thread
if os.getuid() == 0:  # which no limit is for
    os.setgid(65534)
    os.setuid(65534)
resource.setrlimit(resource.RLIMIT_NPROC, (1, 4096))
routine = zk._connection._connection_routine
zk._connection._socket.shutdown(2)
gevent.sleep(1.5)
print(zk._connection._connection_routine is routine)
go_on.release()
zk.stop()
"""


def test_a_look_up_that_finds_no_thread_is_one_that_failed(zookeeper_hosts: str) -> None:
    """For kazoo to judge; the default handler needs no thread for it."""
    result = run_python(NO_THREAD.format(hosts=zookeeper_hosts))
    assert result.stdout == "True\n"
    assert 0 < result.stderr.count("Cannot resolve localhost") < 50
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(sys.version_info < (3, 11), reason="each object has a dictionary")
def test_a_session_makes_no_dictionaries_of_what_each_request_looks_at(
    patched_client: KazooClient,
) -> None:
    """CPython 3.11 and newer find attributes faster where nobody has asked for ``__dict__``."""
    for thing in (patched_client._connection, patched_client.handler):
        held = gc.get_referents(thing)
        assert not [part for part in held if type(part) is dict and part.keys() & dir(thing)]

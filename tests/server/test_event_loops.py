"""Several event loops in one process, each in a native thread, each with its own clients."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import gevent
import pytest
from kazoo.client import KazooClient

from kazoo_gevent_patch import SequentialGeventHandler, patch_all
from tests.native import NativeThread, outcomes
from tests.support import wait_until


def _has_come(seen: list[Any], value: bytes) -> bool:
    return bool(seen) and seen[-1][0] == value


def live_wholly_here(hosts: str, number: int) -> list[Any]:
    """Build, use and stop a client; return what was seen."""
    client = KazooClient(hosts, timeout=5.0)
    assert type(client.handler) is SequentialGeventHandler
    seen: list[Any] = []
    client.start()
    path = f"/{number}"
    client.create(path)
    client.DataWatch(path, lambda data, stat: seen.append((data, threading.get_ident())))
    for value in (b"1", b"2"):
        client.set(path, value)
        wait_until(partial(_has_come, seen, value), sleep=gevent.sleep)
    with client.Lock("/lock"):
        greenlets = [gevent.spawn(client.get, path) for _ in range(10)]
        seen.append([greenlet.get()[0] for greenlet in greenlets])
    client.restart()
    client.stop()
    client.close()
    gevent.get_hub().destroy()
    here = threading.get_ident()
    return [entry[0] if entry[1:] == (here,) else entry for entry in seen if entry]


@pytest.fixture
def hosts(zookeeper_hosts: str, chroot: str) -> str:
    """Give the connect string of a server while kazoo is patched."""
    patch_all()
    return zookeeper_hosts + chroot


def test_clients_live_wholly_in_native_threads(hosts: str) -> None:
    """Four at the same time, and this thread's own event loop runs on."""
    threads = [NativeThread(live_wholly_here, hosts, number) for number in range(4)]
    for seen in outcomes(threads):
        assert seen == [b"", b"1", b"2", [b"2"] * 10]


def test_one_client_moves_from_loop_to_loop(hosts: str) -> None:
    """Stopped and closed in one thread, it may be started in another, one after the other."""
    client = KazooClient(hosts, timeout=5.0)

    def live_here() -> object:
        client.start()
        answer = client.get("/")[0]
        client.stop()
        client.close()
        return answer

    places: list[Callable[[], object]] = [live_here, lambda: NativeThread(live_here).get()]
    assert [live() for live in places * 3] == [b""] * 6


def test_clients_of_two_loops_pass_a_lock_to_each_other(hosts: str) -> None:
    """Each waits in its own event loop for what the other releases."""
    order: list[str] = []

    def take_turns(name: str) -> None:
        client = KazooClient(hosts, timeout=5.0)
        client.start()
        for _ in range(3):
            with client.Lock("/turn"):
                order.append(name)
                client.exists("/")
        client.stop()
        client.close()

    outcomes([NativeThread(take_turns, "native"), gevent.spawn(take_turns, "greenlet")])
    assert sorted(order) == ["greenlet"] * 3 + ["native"] * 3

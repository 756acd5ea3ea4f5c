"""What a signal's handler raises, at any line, loses no request, no lock and no client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import gevent
import pytest
from gevent import get_hub
from kazoo.client import KazooClient
from kazoo.protocol.connection import _CONNECTION_DROP
from kazoo.protocol.states import KazooState

from tests.server.conftest import MakeClient
from tests.server.lines import Interrupt, Lines
from tests.support import wait_until

ERRORS: Final = (KeyboardInterrupt, SystemExit, Interrupt)
LIMIT: Final = 10.0

Call = Callable[[], object]
Prepare = Callable[[KazooClient, KazooClient, str, Lines], tuple[Call, Call]]
"""Makes, with a client, another one and a path, the call and what must hold afterwards."""


def get(zk: KazooClient, other: KazooClient, path: str, lines: Lines) -> tuple[Call, Call]:
    return lambda: zk.get("/"), lambda: None


def create(zk: KazooClient, other: KazooClient, path: str, lines: Lines) -> tuple[Call, Call]:
    results: list[Any] = []

    def call() -> None:
        results.append(zk.create_async(f"{path}/a/b", makepath=True))
        results[-1].get()

    def ended() -> None:
        for result in results:
            result.wait(LIMIT)
            assert result.ready(), "the create has not ended"

    return call, ended


def lock(zk: KazooClient, other: KazooClient, path: str, lines: Lines) -> tuple[Call, Call]:
    mine = zk.Lock(path)

    def call() -> None:
        with mine:
            pass

    def is_free() -> None:
        theirs = other.Lock(path)
        assert theirs.acquire(timeout=LIMIT)
        theirs.release()
        assert mine.acquire(timeout=LIMIT)
        mine.release()

    return call, is_free


def watch(zk: KazooClient, other: KazooClient, path: str, lines: Lines) -> tuple[Call, Call]:
    zk.create(path)
    heard: list[object] = []
    zk.get(path, watch=lines.in_greenlet_of(heard.append))

    def call() -> None:
        zk.set(path, b"new")

    def is_heard() -> None:
        zk.retry(zk.set, path, b"newer")
        wait_until(lambda: heard, LIMIT, gevent.sleep)

    return call, is_heard


def callback(zk: KazooClient, other: KazooClient, path: str, lines: Lines) -> tuple[Call, Call]:
    ran: list[object] = []
    result = zk.handler.async_result()
    result.rawlink(lines.in_greenlet_of(lambda _: ran.append(zk.get("/"))))

    def call() -> None:
        result.set(1)
        wait_until(lambda: ran, LIMIT, gevent.sleep)

    return call, lambda: wait_until(lambda: ran, LIMIT, gevent.sleep)


def reconnect(zk: KazooClient, other: KazooClient, path: str, lines: Lines) -> tuple[Call, Call]:
    states: list[str] = []
    zk.add_listener(states.append)

    def call() -> None:
        zk._call(_CONNECTION_DROP, zk.handler.async_result())
        wait_until(lambda: KazooState.CONNECTED in states, LIMIT, gevent.sleep)

    def is_back() -> None:
        wait_until(lambda: zk.connected, LIMIT, gevent.sleep)
        zk.remove_listener(states.append)

    return call, is_back


def a_client_of_its_own(zk: KazooClient, lines: Lines) -> KazooClient:
    host, port = zk.hosts[0]
    client = KazooClient(f"{host}:{port}{zk.chroot}", timeout=20)
    handler: Any = client.handler
    setattr(handler, "select", lines.in_greenlet_of(handler.select))  # noqa: B010
    return client


def start(zk: KazooClient, other: KazooClient, path: str, lines: Lines) -> tuple[Call, Call]:
    client = a_client_of_its_own(zk, lines)

    def serves() -> None:
        client.start(LIMIT)
        assert client.get("/")
        client.stop()
        client.close()

    return lambda: client.start(LIMIT), serves


def stop(zk: KazooClient, other: KazooClient, path: str, lines: Lines) -> tuple[Call, Call]:
    client = a_client_of_its_own(zk, lines)
    client.start(LIMIT)
    client.create(path, ephemeral=True)

    def is_stopped() -> None:
        client.stop()
        client.close()
        assert not client.connected
        # kazoo before 2.11 does not wait for the server's answer. The session ends long before its
        # time-out all the same.
        wait_until(lambda: not zk.exists(path), LIMIT, gevent.sleep)

    return client.stop, is_stopped


SCENARIOS: Final[tuple[Prepare, ...]] = (get, create, lock, watch, callback, reconnect, start, stop)


@pytest.fixture
def clients(make_patched_client: MakeClient) -> tuple[KazooClient, KazooClient]:
    return make_patched_client(timeout=20), make_patched_client(timeout=20)


def interrupted(
    prepare: Prepare, zk: KazooClient, other: KazooClient, path: str, at: int
) -> tuple[int, str]:
    """Run the call with a signal at one line; return how many lines ran, and which it was."""
    lines = Lines(at, ERRORS[at % len(ERRORS)])
    call, holds = prepare(zk, other, path, lines)
    handler: Any = zk.handler
    select = handler.select
    setattr(handler, "select", lines.in_greenlet_of(select))  # noqa: B010
    reached = at <= 0
    try:
        with lines.traced():
            call()
            gevent.sleep(0.005)  # what was put off until the hub runs
    except ERRORS:
        reached = True
    finally:
        handler.select = select
    try:
        gevent.sleep(0.002)
    except ERRORS:
        reached = True
    with gevent.Timeout(LIMIT * 2, AssertionError(f"hangs after a signal at {lines.where}")):
        holds()
        assert zk.retry(zk.get, "/")
    assert zk.connected
    assert reached or lines.count < at, f"nobody heard of the signal at {lines.where}"
    return lines.count, lines.where


@pytest.mark.parametrize("prepare", SCENARIOS, ids=lambda prepare: prepare.__name__)
@pytest.mark.parametrize("stride", [pytest.param(1, marks=pytest.mark.slow), 37])
def test_a_signal_at_any_line_loses_nothing(
    clients: tuple[KazooClient, KazooClient],
    prepare: Prepare,
    stride: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Everybody's call has ended, locks are free, callbacks have run, and the session is one."""
    zk, other = clients
    monkeypatch.setattr(get_hub(), "print_exception", lambda *_: None)
    session = zk.client_id
    total, _ = interrupted(prepare, zk, other, "/0", 0)
    walked = [
        interrupted(prepare, zk, other, f"/{at}", at)[1] for at in range(1, total + 1, stride)
    ]
    print(f"{prepare.__name__}: {len(walked)} of {total} lines")
    assert len(set(walked)) > 1
    assert zk.client_id == session

"""What code written for kazoo's default handler relies on, run on both handlers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import (
    ConnectionClosedError,
    ConnectionLoss,
    KazooException,
    NodeExistsError,
    NoNodeError,
)
from kazoo.handlers.threading import KazooTimeoutError, SequentialThreadingHandler
from kazoo.protocol.states import EventType, KazooState
from kazoo.retry import KazooRetry

from tests.ports import free_block
from tests.server.conftest import MakeClient
from tests.support import wait_until
from tests.zookeeper import ZooKeeper


def wait_for(client: KazooClient, predicate: Callable[[], Any], timeout: float = 10.0) -> Any:
    """Wait with the sleep of the client's handler, which lets its callbacks run."""
    return wait_until(predicate, timeout=timeout, sleep=client.handler.sleep_func)


def test_the_basic_operations(client: KazooClient) -> None:
    """Create, read, write, list, delete, transact, sync; each with its error."""
    assert client.create("/node", b"one") == "/node"
    assert client.get("/node")[0] == b"one"
    assert client.set("/node", b"two").version == 1
    assert client.exists("/node").version == 1
    assert client.exists("/none") is None
    assert client.create("/node/child-", sequence=True, ephemeral=True) == "/node/child-0000000000"
    assert client.get_children("/node") == ["child-0000000000"]
    assert client.create("/a/b/c", makepath=True) == "/a/b/c"
    assert client.ensure_path("/a/b/c/d/e")
    assert client.sync("/a") == "/a"
    assert client.server_version()[0] == 3
    assert client.command(b"ruok") == "imok"
    with pytest.raises(NodeExistsError):
        client.create("/node")
    with pytest.raises(NoNodeError):
        client.get("/none")
    transaction = client.transaction()
    transaction.set_data("/node", b"three")
    transaction.create("/node/second")
    assert transaction.commit()[1] == "/node/second"
    client.delete("/a", recursive=True)
    assert client.exists("/a") is None


@pytest.mark.parametrize("kind", [KazooTimeoutError, Exception, "timeout_exception"])
def test_a_failed_start_is_caught_as_today(
    make_client: MakeClient, kind: type[Exception] | str
) -> None:
    """No server: KazooTimeoutError, an Exception, the handler's own; with a message."""
    client = make_client(start=False, hosts=f"127.0.0.1:{free_block([0])}")
    expected = getattr(client.handler, kind) if isinstance(kind, str) else kind
    with pytest.raises(expected) as caught:
        client.start(timeout=0.2)
    assert str(caught.value) == "Connection time-out"
    assert client.connected is False


def test_a_retry_loop_round_start_goes_on(make_client: MakeClient, zk_server: ZooKeeper) -> None:
    """A worker that retries start() until the server is there gets there."""
    zk_server.stop()
    client = make_client(start=False, hosts=zk_server.hosts)
    failures: list[Exception] = []

    def work() -> None:
        while not client.connected:
            try:
                client.start(timeout=0.2)
            except Exception as error:
                failures.append(error)

    worker = client.handler.spawn(work)
    wait_for(client, lambda: len(failures) >= 2)
    zk_server.start()
    worker.join(20)
    assert client.connected
    assert {type(failure) for failure in failures} == {KazooTimeoutError}


@pytest.mark.parametrize("kind", [KazooTimeoutError, Exception, "timeout_exception"])
def test_a_result_that_does_not_come_in_time_is_caught_as_today(
    client: KazooClient, kind: type[Exception] | str
) -> None:
    """get(timeout=) raises what a failed start raises."""
    expected = getattr(client.handler, kind) if isinstance(kind, str) else kind
    with pytest.raises(expected):
        client.handler.async_result().get(timeout=0.05)


@pytest.mark.parametrize("answer", ["a missing node", "no children", "an error", "a value"])
def test_wait_is_true_when_the_result_is_ready(client: KazooClient, answer: str) -> None:
    """``if result.wait(5):`` holds for whatever comes."""
    client.create("/empty")
    result = {
        "a missing node": lambda: client.exists_async("/none"),
        "no children": lambda: client.get_children_async("/empty"),
        "an error": lambda: client.get_async("/none"),
        "a value": lambda: client.get_async("/empty"),
    }[answer]()
    assert result.wait(5)
    assert result.ready()


def test_a_result_callback_may_read(client: KazooClient) -> None:
    """zk.get() inside a rawlink callback."""
    client.create("/node", b"data")
    seen: list[bytes] = []
    client.exists_async("/node").rawlink(lambda _: seen.append(client.get("/node")[0]))
    assert wait_for(client, lambda: seen) == [b"data"]


def test_result_callbacks_run_in_the_order_of_the_replies(client: KazooClient) -> None:
    """One at a time, first come first served, though each of them blocks."""
    client.create("/node")
    seen: list[int] = []

    def callback(number: int, _: object) -> None:
        client.handler.sleep_func(0.001)
        seen.append(number)

    for number in range(20):
        client.get_async("/node").rawlink(partial(callback, number))
    wait_for(client, lambda: len(seen) == 20)
    assert seen == list(range(20))


def test_a_blocked_watch_does_not_delay_completions(client: KazooClient) -> None:
    """While a watch callback blocks, requests and their callbacks go on."""
    client.create("/watched")
    release = client.handler.event_object()
    entered = client.handler.event_object()
    client.get("/watched", watch=lambda _: (entered.set(), release.wait(10)))
    client.set("/watched", b"x")
    assert entered.wait(5)
    seen: list[object] = []
    client.get_async("/watched").rawlink(seen.append)
    wait_for(client, lambda: seen)
    assert client.get("/watched")[0] == b"x"
    release.set()


def test_a_watch_fires_once_with_its_event(client: KazooClient) -> None:
    """The event tells type, state and path, without the chroot."""
    events: list[Any] = []
    client.exists("/node", watch=events.append)
    client.create("/node")
    client.set("/node", b"x")
    wait_for(client, lambda: events)
    assert [(event.type, event.state, event.path) for event in events] == [
        (EventType.CREATED, "CONNECTED", "/node")
    ]


def test_listeners_hear_of_each_state(make_client: MakeClient) -> None:
    """CONNECTED on start, LOST on stop, and again after a restart."""
    client = make_client(start=False)
    states: list[str] = []
    client.add_listener(states.append)
    client.start()
    client.stop()
    client.start()
    client.stop()
    assert states == [KazooState.CONNECTED, KazooState.LOST] * 2


def test_requests_right_after_start_async_are_queued(make_client: MakeClient) -> None:
    """start_async() and at once get_async(): answered when the session is there."""
    make_client().create("/node", b"data")
    client = make_client(start=False)
    client.start_async()
    # A thread only mostly wins the race on kazoo's default handler.
    if type(client.handler) is SequentialThreadingHandler:
        wait_for(client, lambda: client.client_state != "CLOSED")
    assert client.get_async("/node").get(timeout=10)[0] == b"data"


def test_stop_right_after_start_async(make_client: MakeClient) -> None:
    """The connection may not have run at all: stop() returns and the client is closed."""
    client = make_client(start=False)
    client.start_async()
    client.stop()
    assert client.client_state == "CLOSED"
    with pytest.raises(ConnectionClosedError):
        client.get("/")


def test_a_lost_connection_fails_what_is_in_flight_and_comes_back(
    make_client: MakeClient, zk_server: ZooKeeper
) -> None:
    """Server killed: ConnectionLoss, SUSPENDED; server back: CONNECTED, the same session."""
    # Named twice: an attempt that meets the server half started lasts the session's time-out
    # divided by the number of hosts, and the session is to outlive it.
    client = make_client(hosts=f"{zk_server.hosts},{zk_server.hosts}", timeout=20.0)
    states: list[str] = []
    client.add_listener(states.append)
    session, _ = client.client_id
    zk_server.pause()
    result = client.get_async("/")
    zk_server.kill()
    with pytest.raises(ConnectionLoss):
        result.get(timeout=10)
    wait_for(client, lambda: KazooState.SUSPENDED in states)
    zk_server.restart()
    wait_for(client, lambda: client.connected, timeout=60)
    assert states[-1] == KazooState.CONNECTED
    assert client.client_id[0] == session
    assert client.retry(client.exists, "/") is not None


@pytest.mark.parametrize(
    "retry",
    [{"max_tries": 3, "delay": 0.01}, KazooRetry(max_tries=3, delay=0.01)],
    ids=["dict", "object"],
)
def test_retry_options_are_accepted_and_used(
    make_client: MakeClient, retry: dict[str, Any] | KazooRetry
) -> None:
    """connection_retry and command_retry, as dicts and as objects."""
    client = make_client(connection_retry=retry, command_retry=retry)
    tries: list[int] = []

    def fails_once() -> str:
        tries.append(1)
        if len(tries) < 2:
            raise ConnectionLoss
        return "done"

    assert client.retry(fails_once) == "done"
    assert len(tries) == 2


class PatronisHandler(SequentialThreadingHandler):  # type: ignore[misc]
    """An explicit handler of an application's own, as in Patroni."""


def test_an_explicit_handler_with_a_retry_object_works(
    make_client: MakeClient, zookeeper_hosts: str, chroot: str
) -> None:
    """A subclass of kazoo's handler and KazooRetry(sleep_func=time.sleep), with and without us."""
    import time

    del make_client  # it patches, or not
    client = KazooClient(
        zookeeper_hosts + chroot,
        handler=PatronisHandler(),
        connection_retry=KazooRetry(max_tries=2, sleep_func=time.sleep),
        command_retry=KazooRetry(max_tries=2, sleep_func=time.sleep),
    )
    client.start()
    try:
        assert client.exists("/none") is None
        assert type(client.handler) is PatronisHandler
    finally:
        client.stop()
        client.close()


def test_a_callback_that_raises_is_logged_and_the_next_one_runs(
    client: KazooClient, caplog: pytest.LogCaptureFixture
) -> None:
    """For watches and for results."""
    client.create("/node")
    seen: list[object] = []

    def bad_callback(_: object) -> None:
        raise ValueError("bang")

    with caplog.at_level(logging.ERROR):
        client.get("/node", watch=bad_callback)
        client.get("/node", watch=seen.append)
        client.set_async("/node", b"x").rawlink(bad_callback)
        client.get_async("/node").rawlink(seen.append)
        wait_for(client, lambda: len(seen) == 2)
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 2
    assert all("bang" in str(record.exc_info) for record in errors)
    assert {record.name.rpartition(".")[0] for record in errors} == {"kazoo.handlers"}


def test_many_workers_share_a_client(client: KazooClient) -> None:
    """Fifty workers read and write their own nodes through one client."""
    problems: list[object] = []

    def work(number: int) -> None:
        path = f"/worker-{number}"
        client.create(path, b"0")
        for version in range(1, 11):
            client.set(path, b"%d" % version)
            data, stat = client.get(path)
            if (data, stat.version) != (b"%d" % version, version):
                problems.append((path, data, stat))

    workers = [client.handler.spawn(work, number) for number in range(50)]
    for worker in workers:
        worker.join(30)
    assert [worker.is_alive() for worker in workers] == [False] * 50
    assert problems == []
    assert len(client.get_children("/")) == 50


AT_ONCE: dict[str, Callable[[KazooClient], object]] = {
    "get": lambda client: client.get("/"),
    "wait": lambda client: client.get_async("/").wait(5),
    "retry": lambda client: client.retry(client.get, "/"),
    "lock": lambda client: client.Lock("/lock").acquire(timeout=5),
}


@pytest.mark.parametrize("way", AT_ONCE)
def test_who_tries_again_at_once_does_not_keep_the_client_from_it(
    make_client: MakeClient, way: str
) -> None:
    """It starts, has a new session when the first has expired, and stops."""
    from kazoo.protocol.connection import _SESSION_EXPIRED

    client = make_client(
        start=False, command_retry={"max_tries": 3, "delay": 0, "backoff": 1, "max_jitter": 0}
    )
    deadline = monotonic() + 30
    ended: list[bool] = []

    def work() -> None:
        while not ended and monotonic() < deadline:
            with suppress(KazooException):
                AT_ONCE[way](client)

    worker = client.handler.spawn(work)
    client.handler.sleep_func(0.05)  # time to try before the start
    client.start()
    session = client.client_id
    client._call(_SESSION_EXPIRED, None)
    wait_for(client, lambda: client.client_id not in (None, session))
    client.stop()
    client.handler.sleep_func(0.05)  # time to try after the end
    ended.append(True)
    worker.join(10)
    assert not worker.is_alive()
    assert monotonic() < deadline

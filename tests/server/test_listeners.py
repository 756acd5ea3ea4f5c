"""State listeners: they may wait for the client, and each hears of every state in its turn."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gevent
import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionLoss
from kazoo.protocol.states import KazooState

from kazoo_gevent_patch.handler.event import Event
from tests.native import NativeThread
from tests.ports import free_block
from tests.server.conftest import MakeClient
from tests.support import wait_until
from tests.zookeeper import ZooKeeper


def drop_connection(client: KazooClient) -> None:
    """Have the connection end as if the network had dropped it."""
    client._connection._socket.shutdown(2)


def wait_for(client: KazooClient, predicate: Callable[[], Any], timeout: float = 15.0) -> Any:
    """Wait with the sleep of the client's handler, which lets its callbacks run."""
    return wait_until(predicate, timeout=timeout, sleep=client.handler.sleep_func)


def _acquire_and_release(client: KazooClient) -> None:
    with client.Lock("/lock"):
        pass


def _wait_for_callback(client: KazooClient) -> None:
    called = client.handler.event_object()
    client.get_async("/").rawlink(lambda _: called.set())
    assert called.wait(10)


REQUESTS: dict[str, Callable[[KazooClient], object]] = {
    "get": lambda client: client.get("/"),
    "create with its parents": lambda client: client.create("/a/b/c", makepath=True),
    "retry": lambda client: client.retry(client.exists, "/"),
    "a lock": _acquire_and_release,
    "command": lambda client: client.command(b"ruok"),
    "a callback that it waits for": _wait_for_callback,
    "start": lambda client: client.start(),
    "restart": lambda client: client.restart(),
    "stop and start": lambda client: (client.stop(), client.close(), client.start()),
    "another greenlet's request": lambda client: client.handler.spawn(client.get, "/").join(10),
}


@pytest.mark.parametrize("request_name", REQUESTS)
def test_a_listener_may_ask_the_client_for_anything(
    patched_client: KazooClient, request_name: str
) -> None:
    """It gets its answer, and so do others, then and later."""
    ended: list[str] = []

    def listener(state: str) -> None:
        if state == KazooState.CONNECTED and not ended:
            ended.append("begun")
            REQUESTS[request_name](patched_client)
            ended.append("ended")

    patched_client.add_listener(listener)
    drop_connection(patched_client)
    wait_for(patched_client, lambda: len(ended) == 2)
    assert patched_client.get_async("/").get(timeout=10)


@pytest.mark.parametrize("call", ["start", "get", "stop"])
def test_a_listener_that_hears_of_the_loss_may_wait_for_the_return(
    make_patched_client: MakeClient, call: str
) -> None:
    """The connection goes on meanwhile; a request fails, or waits, as in any other place."""
    client = make_patched_client()
    outcome: list[object] = []

    def listener(state: str) -> None:
        if state == KazooState.SUSPENDED:
            try:
                outcome.append(getattr(client, call)(*["/"] * (call == "get")))
            except ConnectionLoss as error:
                outcome.append(error)

    client.add_listener(listener)
    drop_connection(client)
    wait_for(client, lambda: outcome)
    assert client.connected == (call != "stop")


def test_each_listener_hears_of_every_state_in_its_turn(patched_client: KazooClient) -> None:
    """One waits while the connection is lost twice; it and the others miss nothing."""
    client = patched_client
    heard: dict[str, list[str]] = {"waits": [], "does not": []}
    running: list[str] = []
    release = Event()

    def listener(name: str, state: str) -> None:
        assert not running  # one at a time
        running.append(name)
        heard[name].append(state)
        if name == "waits":
            release.wait(20)
        running.clear()

    client.add_listener(lambda state: listener("waits", state))
    client.add_listener(lambda state: listener("does not", state))
    for _ in range(2):
        drop_connection(client)
        wait_for(client, lambda: not client.connected)
        wait_for(client, lambda: client.connected)
    assert client.get("/")
    assert heard["waits"] == [KazooState.SUSPENDED]
    release.set()
    expected = [KazooState.SUSPENDED, KazooState.CONNECTED] * 2
    wait_for(client, lambda: heard == {"waits": expected, "does not": expected})


def test_a_listener_that_is_removed_while_it_waits_hears_nothing_more(
    patched_client: KazooClient,
) -> None:
    """It returns True, which removes it, when the next state has come already."""
    client, heard, release = patched_client, list[str](), Event()

    def listener(state: str) -> bool:
        heard.append(state)
        return release.wait(20)

    client.add_listener(listener)
    drop_connection(client)
    wait_for(client, lambda: heard)
    wait_for(client, lambda: client.connected)
    release.set()
    wait_for(client, lambda: listener not in client.state_listeners)
    assert client.handler.listeners.join(10)
    assert heard == [KazooState.SUSPENDED]


class InOrder(list[Any]):
    """Listeners in the order in which they were added; kazoo's are in a set."""

    add = list.append
    discard = list.remove


def test_a_listener_that_another_one_removes_still_hears_the_state_that_came(
    make_client: MakeClient,
) -> None:
    """And none that comes later; one that is added hears what comes later only."""
    client, heard = make_client(), list[tuple[str, str]]()

    def first(state: str) -> None:
        heard.append(("first", state))
        if state == KazooState.SUSPENDED:
            client.remove_listener(second)
            client.add_listener(third)

    def second(state: str) -> None:
        heard.append(("second", state))

    def third(state: str) -> None:
        heard.append(("third", state))

    client.state_listeners = InOrder([first, second])
    drop_connection(client)
    wait_for(client, lambda: ("third", KazooState.CONNECTED) in heard)
    assert heard == [
        ("first", KazooState.SUSPENDED),
        ("second", KazooState.SUSPENDED),
        ("first", KazooState.CONNECTED),
        ("third", KazooState.CONNECTED),
    ]


def test_recipes_hear_of_a_state_though_a_listener_waits(patched_client: KazooClient) -> None:
    """A ChildrenWatch sets its watch again while an application's listener waits."""
    client, release, children = patched_client, Event(), list[list[str]]()
    client.create("/watched")
    client.ChildrenWatch("/watched", children.append)
    client.add_listener(lambda state: release.wait(20))
    drop_connection(client)
    wait_for(client, lambda: not client.connected)
    wait_for(client, lambda: client.connected)
    client.create("/watched/child")
    wait_for(client, lambda: children == [[], ["child"]])
    release.set()


def test_a_listener_that_raises_is_logged_and_the_next_one_hears(
    make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    """On both handlers."""
    client, heard = make_client(start=False), list[str]()

    def listener(state: str) -> None:
        raise ValueError("bang")

    client.add_listener(listener)
    client.add_listener(heard.append)
    client.start()
    wait_for(client, lambda: heard)
    assert "Error in connection state listener" in caplog.text


def test_stop_returns_when_listeners_have_heard_of_the_end(make_client: MakeClient) -> None:
    """Also one that takes its time: a program may end after stop()."""
    client, heard = make_client(), list[str]()

    def listener(state: str) -> None:
        client.handler.sleep_func(0.05)
        heard.append(state)

    client.add_listener(listener)
    client.stop()
    assert heard == [KazooState.LOST]


def test_a_listener_may_keep_a_lock_from_one_state_to_the_next(make_client: MakeClient) -> None:
    """A re-entrant lock belongs to who took it: on the default, the connection's thread."""
    client, heard, writing = make_client(), list[str](), threading.RLock()

    def listener(state: str) -> None:
        if state == KazooState.SUSPENDED:
            writing.acquire()
        elif state == KazooState.CONNECTED:
            writing.release()
        heard.append(state)

    client.add_listener(listener)
    drop_connection(client)
    wait_for(client, lambda: heard == [KazooState.SUSPENDED, KazooState.CONNECTED])


def test_a_listener_may_start_a_client_that_has_given_up(
    make_patched_client: MakeClient, zk_server: ZooKeeper
) -> None:
    """When the connection has ended by its retry policy, it hears LOST, and starts it again."""
    nowhere = f"127.0.0.1:{free_block([0])}"
    client = make_patched_client(
        hosts=zk_server.hosts, connection_retry={"max_tries": 1, "delay": 0.01}
    )
    started: list[bool] = []

    def listener(state: str) -> None:
        if state == KazooState.LOST and not started:
            client.set_hosts(zk_server.hosts)
            client.start()
            started.append(client.connected)

    client.add_listener(listener)
    client.set_hosts(nowhere)
    drop_connection(client)
    wait_for(client, lambda: started, timeout=30)
    assert started == [True]
    assert client.get("/")


def begin_callback(client: KazooClient) -> Event:
    """Have a callback run until the event is set that this returns."""
    begun, release = Event(), Event()

    def callback(_: object) -> None:
        begun.set()
        release.wait(20)

    client.get_async("/").rawlink(callback)
    assert begun.wait(10)
    return release


SECONDS: dict[str, Callable[[Callable[[], None]], object]] = {
    "a greenlet": gevent.spawn,
    "a native thread": NativeThread,
    "the event loop": gevent.get_hub().loop.run_callback,
}


@pytest.mark.parametrize("second", SECONDS)
def test_two_that_stop_and_close_at_once_find_it_done(
    patched_client: KazooClient, second: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The second waits for the first, which waits for a callback; neither raises.

    In the event loop itself, as in a signal's handler, it is carried out later, in turn.
    """
    client, release = patched_client, begin_callback(patched_client)
    states: list[tuple[str, object]] = []

    def end() -> None:
        client.stop()
        client.close()
        states.append((client.client_state, client._connection._write_sock))

    first = gevent.spawn(end)
    wait_for(client, client._stopped.is_set)
    other = SECONDS[second](end)
    gevent.sleep(0.05)  # nothing may happen
    assert len(states) == (second == "the event loop")
    release.set()
    first.get(timeout=10)
    if other is not None and hasattr(other, "get"):
        other.get(timeout=10)
    wait_for(client, lambda: not client.handler.has_deferred())
    assert states[-1] == ("CLOSED", None)
    assert [record for record in caplog.records if record.exc_info] == []


INTERRUPTS = ["before it asked for the end", "while it waited"]


@pytest.mark.parametrize("when", INTERRUPTS)
def test_a_second_stop_goes_on_where_the_first_was_interrupted(
    patched_client: KazooClient, when: str
) -> None:
    """By Ctrl-C, say, which a program answers with another stop()."""
    client, release = patched_client, begin_callback(patched_client)
    if when == INTERRUPTS[0]:
        client._stopped.set()  # the first line of stop()
    else:
        with suppress(gevent.Timeout), gevent.Timeout(0.05):
            client.stop()
    release.set()
    client.stop()
    client.close()
    assert (client.client_state, client._connection._write_sock) == ("CLOSED", None)
    client.start()
    assert client.get("/")

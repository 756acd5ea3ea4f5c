"""Clients that were built before patch_all()."""

from __future__ import annotations

import gc
import logging
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import gevent
import pytest
from kazoo.client import KazooClient
from kazoo.handlers.threading import SequentialThreadingHandler
from kazoo.recipe.cache import TreeCache, TreeNode
from kazoo.recipe.watchers import PatientChildrenWatch

from kazoo_gevent_patch import SequentialGeventHandler, inventory, patch_all, status, unpatch_all
from kazoo_gevent_patch.handler.event import Event
from tests.support import wait_until


class HandlerOfTheirs(SequentialThreadingHandler):  # type: ignore[misc]
    """A handler class of an application's own."""


class Unhashable(KazooClient):  # type: ignore[misc]
    """A client class with an equality of its own, which takes its hash away."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unhashable)

    __hash__ = None  # type: ignore[assignment]


@pytest.fixture
def early(zookeeper_hosts: str, chroot: str) -> Iterator[KazooClient]:
    """Give a client that is built before patch_all() and not started."""
    client = KazooClient(zookeeper_hosts + chroot, timeout=5.0, connection_retry={"max_tries": 5})
    yield client
    client.stop()
    client.close()


def test_a_client_moves_over_when_it_starts(early: KazooClient) -> None:
    """Built before, started after: it runs on ours, events, retries and all."""
    assert type(early.handler) is SequentialThreadingHandler
    states: list[str] = []
    early.add_listener(states.append)
    patch_all()
    early.start()
    assert type(early.handler) is SequentialGeventHandler
    assert early.handler is early._connection.handler
    assert early._retry.sleep_func is SequentialGeventHandler.sleep_func
    assert early._conn_retry.max_tries == 5
    assert early.get("/")[0] == b""
    early.restart()
    assert states == ["CONNECTED", "LOST", "CONNECTED"]
    assert threads_of_kazoo() == []


def threads_of_kazoo() -> list[str]:
    """Return the native threads that run kazoo's code."""
    import traceback

    frames = sys._current_frames()
    return [
        thread.name
        for thread in threading.enumerate()
        if thread.ident in frames
        and any(
            "kazoo/" in entry.filename for entry in traceback.extract_stack(frames[thread.ident])
        )
        and thread is not threading.current_thread()
    ]


def test_recipes_built_on_it_move_too(early: KazooClient) -> None:
    """A module-level lock, election, queue and watch work, and let other greenlets run."""
    lock, read_lock = early.Lock("/lock"), early.ReadLock("/rw")
    semaphore, election = early.Semaphore("/semaphore"), early.Election("/election")
    queue, party = early.LockingQueue("/queue"), early.Party("/party", "me")
    data: list[bytes | None] = []
    children: list[list[str]] = []
    early.DataWatch("/data", lambda value, stat: data.append(value))
    watch_children = early.ChildrenWatch("/")
    patch_all()
    early.start()
    watch_children(children.append)
    contender = gevent.spawn(contend, lock, early)
    with lock, read_lock, semaphore:
        assert lock.is_acquired
        gevent.sleep(0.05)  # the contender must be seen to wait
        assert not contender.ready()
    assert contender.get(timeout=10) == "acquired"
    led: list[str] = []
    election.run(led.append, "led")
    assert led == ["led"]
    queue.put(b"item")
    assert queue.get(timeout=5) == b"item"
    party.join()
    assert list(party) == ["me"]
    early.create("/data", b"x")
    wait_until(lambda: b"x" in data and any("data" in c for c in children), sleep=gevent.sleep)


def contend(lock: Any, client: KazooClient) -> str:
    """Acquire the same Lock object from another greenlet."""
    assert lock.acquire(timeout=10)
    lock.release()
    return "acquired"


def test_a_running_client_is_left_alone_with_one_warning(
    early: KazooClient, caplog: pytest.LogCaptureFixture
) -> None:
    """It is named, keeps working, and moves over when it is started again."""
    early.start()
    with caplog.at_level(logging.WARNING, logger="kazoo_gevent_patch"):
        patch_all()
        patch_all()
        assert type(early.handler) is SequentialThreadingHandler
        assert early.get("/")[0] == b""
        assert status().handlers["kazoo.handlers.threading.SequentialThreadingHandler"] >= 1
    (record,) = caplog.records
    host, port = early.hosts[0]
    assert f"KazooClient('{host}:{port}') was started before patch_all()" in record.getMessage()
    early.start()
    assert type(early.handler) is SequentialThreadingHandler
    early.stop()
    early.start()
    assert type(early.handler) is SequentialGeventHandler
    assert early.get("/")[0] == b""


def test_an_explicit_handler_stays(zookeeper_hosts: str, chroot: str) -> None:
    """A subclass from before, and kazoo's own class passed after, are used as they are."""
    subclassed = KazooClient(zookeeper_hosts + chroot, handler=HandlerOfTheirs())
    patch_all()
    explicit = KazooClient(zookeeper_hosts + chroot, handler=SequentialThreadingHandler())
    for client, kind in ((subclassed, HandlerOfTheirs), (explicit, SequentialThreadingHandler)):
        client.start()
        try:
            assert type(client.handler) is kind
            assert client.get("/")[0] == b""
        finally:
            client.stop()
            client.close()


def test_a_client_without_a_hash_moves_over_too(zookeeper_hosts: str, chroot: str) -> None:
    """Clients are told apart by identity, whatever their class says of equality."""
    clients = [Unhashable(zookeeper_hosts + chroot) for _ in range(2)]
    patch_all()
    clients.append(Unhashable(zookeeper_hosts + chroot))
    for client in clients:
        client.start()
        assert type(client.handler) is SequentialGeventHandler
        client.stop()
        client.close()


class WithThingsOfItsOwn(KazooClient):  # type: ignore[misc]
    """A client class that keeps primitives which are not kazoo's."""

    def __init__(self, hosts: str, done: threading.Event) -> None:
        super().__init__(hosts)
        self.done = done
        self.own_lock = threading.Lock()


def test_an_applications_own_primitives_stay(zookeeper_hosts: str, chroot: str) -> None:
    """Only what kazoo made moves: somebody else may wait for, or hold, the rest."""
    done = threading.Event()
    client = WithThingsOfItsOwn(zookeeper_hosts + chroot, done)
    client.own_lock.acquire()
    patch_all()
    client.start()
    assert client.done is done
    assert client.own_lock.locked()
    client.stop()
    client.close()


def test_clients_from_between_two_patchings_move_over(zookeeper_hosts: str, chroot: str) -> None:
    """Built while unpatched, the second time round."""
    patch_all()
    unpatch_all()
    client = KazooClient(zookeeper_hosts + chroot)
    assert type(client.handler) is SequentialThreadingHandler
    patch_all()
    client.start()
    assert type(client.handler) is SequentialGeventHandler
    client.stop()
    client.close()


def test_a_tree_cache_from_before_is_found_and_moved(early: KazooClient) -> None:
    """Its nodes have neither a dictionary nor weak references; patch_all() minds neither."""
    cache = TreeCache(early, "/tree")
    alive = TreeNode.make_root(cache, "/tree")
    patch_all()
    early.start()
    cache.start()
    early.ensure_path("/tree/a")
    wait_until(lambda: cache.get_children("/tree") == frozenset({"a"}), sleep=gevent.sleep)
    cache.close()
    assert alive is not cache._root


def test_recipes_that_are_built_between_patch_all_and_the_start_move_too(
    early: KazooClient,
) -> None:
    """They were built on the handler from before; also one whose module comes last."""
    patch_all()
    lock, watch = early.Lock("/lock"), PatientChildrenWatch(early, "/", time_boundary=0.05)
    cache = TreeCache(early, "/tree")
    early.start()
    with lock:
        assert lock.is_acquired
    children, _ = watch.start().get(timeout=10)
    assert children == ["lock"]
    cache.start()
    early.ensure_path("/tree/a")
    wait_until(lambda: cache.get_children("/tree") == frozenset({"a"}), sleep=gevent.sleep)
    cache.close()
    assert type(lock.wake_event) is Event
    assert type(watch.children_changed) is Event


def test_no_start_looks_through_all_objects_of_the_process() -> None:
    """However many there are, clients that were built before patch_all() start in no time."""
    clients = [KazooClient("127.0.0.1:9") for _ in range(3)]
    locks = [client.Lock("/lock") for client in clients]
    walks: list[str] = []

    def note(frame: FrameType, event: str, function: Any) -> None:
        walks_itself = event == "c_call" and function in (gc.get_objects, gc.get_referrers)
        # This one has a function in C ask for all objects, which a profile does not see.
        if walks_itself or (event == "call" and frame.f_code is inventory.instances.__code__):
            walks.append(frame.f_code.co_name)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        patch_all()
        at_patching, walks[:] = len(walks), []
        for client in clients:
            client.start_async()
    finally:
        sys.setprofile(before)
    for client in clients:
        client.stop()
        client.close()
    assert at_patching <= 2  # and the profile sees them
    assert at_patching > 0
    assert walks == []
    assert [type(lock.wake_event) for lock in locks] == [Event] * 3

"""All eleven recipes of kazoo, on both handlers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import CancelledError, LockTimeout
from kazoo.recipe.cache import TreeCache, TreeEvent
from kazoo.recipe.watchers import PatientChildrenWatch

from tests.server.conftest import MakeClient
from tests.support import wait_until


def wait_for(client: KazooClient, predicate: Callable[[], Any], timeout: float = 15.0) -> Any:
    """Wait with the sleep of the client's handler, which lets its callbacks run."""
    return wait_until(predicate, timeout=timeout, sleep=client.handler.sleep_func)


def join(workers: list[Any], timeout: float = 30.0) -> None:
    """Join what spawn returned; fail if any has not ended."""
    for worker in workers:
        worker.join(timeout)
    assert [worker for worker in workers if worker.is_alive()] == []


def longer(seen: list[Any], than: int) -> bool:
    """Return whether something has been added."""
    return len(seen) > than


def test_barrier(client: KazooClient) -> None:
    """Waiters wait until the barrier is removed, or their time is up."""
    barrier = client.Barrier("/barrier")
    barrier.create()
    assert barrier.wait(timeout=0.05) is False
    passed: list[bool] = []
    waiters = [
        client.handler.spawn(lambda: passed.append(client.Barrier("/barrier").wait(10)))
        for _ in range(5)
    ]
    barrier.remove()
    join(waiters)
    assert passed == [True] * 5


def test_double_barrier(client: KazooClient) -> None:
    """Nobody is in before all are, and nobody is out before all want to be."""
    events: list[str] = []

    def take_part() -> None:
        barrier = client.DoubleBarrier("/double-barrier", num_clients=4)
        events.append("before")
        barrier.enter()
        events.append("inside")
        barrier.leave()
        events.append("after")

    join([client.handler.spawn(take_part) for _ in range(4)])
    assert events.count("inside") == 4
    assert events[:4] == ["before"] * 4
    assert events[-1] == "after"
    assert events.index("after") > max(
        number for number, event in enumerate(events) if event == "inside"
    )


def test_counter(client: KazooClient) -> None:
    """Increments from many workers add up."""
    counter = client.Counter("/counter", default=3)

    def increment() -> None:
        own = client.Counter("/counter", default=3)
        for _ in range(5):
            own += 1

    join([client.handler.spawn(increment) for _ in range(4)])
    assert counter.value == 3 + 4 * 5


def test_election(make_client: MakeClient) -> None:
    """One leader at a time; the next takes over when the function returns, or its session ends."""
    clients = [make_client() for _ in range(3)]
    leading: list[int] = []
    leaders: list[int] = []

    def lead(number: int) -> None:
        leading.append(number)
        assert leading == [number]
        clients[number].handler.sleep_func(0.02)
        leaders.append(number)
        leading.remove(number)

    candidates = [
        client.handler.spawn(client.Election("/election", str(number)).run, lead, number)
        for number, client in enumerate(clients)
    ]
    join(candidates)
    assert sorted(leaders) == [0, 1, 2]


def test_a_cancelled_candidate_does_not_lead(make_client: MakeClient) -> None:
    """Election.cancel() ends the wait of a contender."""
    client = make_client()
    holder = client.Lock("/election")
    holder.acquire()
    election = client.Election("/election", "cancelled")
    led: list[int] = []
    candidate = client.handler.spawn(election.run, led.append, 1)
    wait_for(client, lambda: len(client.get_children("/election")) == 2)
    election.cancel()
    join([candidate])
    assert led == []
    holder.release()


def test_non_blocking_lease(client: KazooClient) -> None:
    """A lease is taken once until it runs out; a multi-lease as often as it says."""
    from datetime import timedelta

    long = timedelta(minutes=5)
    assert client.NonBlockingLease("/lease", long, identifier="first")
    assert not client.NonBlockingLease("/lease", long, identifier="second")
    takers = [
        client.MultiNonBlockingLease(2, "/leases", long, identifier=f"taker-{number}")
        for number in range(3)
    ]
    assert [bool(taker) for taker in takers] == [True, True, False]


@pytest.mark.parametrize("recipe", ["Lock", "WriteLock"])
def test_a_lock_excludes_everybody_else(make_client: MakeClient, recipe: str) -> None:
    """Two clients, ten workers: never two inside."""
    clients = [make_client(), make_client()]
    inside: list[int] = []
    turns: list[int] = []

    def work(number: int) -> None:
        client = clients[number % 2]
        with getattr(client, recipe)("/lock", str(number)):
            inside.append(number)
            assert inside == [number]
            client.handler.sleep_func(0.005)
            inside.remove(number)
            turns.append(number)

    join([clients[0].handler.spawn(work, number) for number in range(10)])
    assert sorted(turns) == list(range(10))


def test_a_lock_times_out_is_cancelled_and_is_reentered(client: KazooClient) -> None:
    """acquire(timeout=), acquire(blocking=False), cancel(), contenders()."""
    held = client.Lock("/lock", "holder")
    assert held.acquire()
    assert held.contenders() == ["holder"]
    assert client.Lock("/lock").acquire(blocking=False) is False
    with pytest.raises(LockTimeout):
        client.Lock("/lock").acquire(timeout=0.05)
    patient = client.Lock("/lock", "patient")
    outcome: list[object] = []

    def wait_in_vain() -> None:
        try:
            patient.acquire()
        except CancelledError:
            outcome.append("cancelled")

    waiter = client.handler.spawn(wait_in_vain)
    wait_for(client, lambda: held.contenders() == ["holder", "patient"])
    patient.cancel()
    join([waiter])
    assert outcome == ["cancelled"]
    held.release()
    assert client.Lock("/lock").acquire(timeout=5)


def test_a_lost_session_frees_the_lock(make_client: MakeClient) -> None:
    """When the holder's session ends, the next in line has the lock."""
    holder, next_in_line = make_client(), make_client()
    assert holder.Lock("/lock").acquire()
    waiter = next_in_line.Lock("/lock")
    acquired = next_in_line.handler.spawn(waiter.acquire)
    wait_for(next_in_line, lambda: len(next_in_line.get_children("/lock")) == 2)
    assert not waiter.is_acquired
    holder.stop()
    join([acquired])
    assert waiter.is_acquired


def test_readers_share_and_a_writer_does_not(client: KazooClient) -> None:
    """Two readers at once; the writer when both have gone."""
    readers = [client.ReadLock("/rw"), client.ReadLock("/rw")]
    assert [reader.acquire(timeout=5) for reader in readers] == [True, True]
    writer = client.WriteLock("/rw")
    waiting = client.handler.spawn(writer.acquire)
    assert client.WriteLock("/rw").acquire(blocking=False) is False
    for reader in readers:
        assert not writer.is_acquired
        reader.release()
    join([waiting])
    assert writer.is_acquired
    writer.release()


def test_semaphore(client: KazooClient) -> None:
    """At most max_leases workers hold it at once, and all get their turn."""
    inside: list[int] = []
    most: list[int] = []

    def work(number: int) -> None:
        with client.Semaphore("/semaphore", identifier=str(number), max_leases=3):
            inside.append(number)
            most.append(len(inside))
            client.handler.sleep_func(0.01)
            inside.remove(number)

    join([client.handler.spawn(work, number) for number in range(9)])
    assert len(most) == 9
    assert max(most) <= 3


def test_set_partitioner(make_client: MakeClient) -> None:
    """The set is split between the members, and again when one of them leaves."""
    clients = [make_client(), make_client()]
    partitioners = [
        client.SetPartitioner(
            "/partitioned", set=range(6), time_boundary=0.2, identifier=f"member-{number}"
        )
        for number, client in enumerate(clients)
    ]

    def settled(members: list[Any]) -> bool:
        for member in members:
            if member.release:
                member.release_set()
        return all(member.acquired for member in members)

    wait_for(clients[0], lambda: settled(partitioners), timeout=30)
    parts = [set(partitioner) for partitioner in partitioners]
    assert parts[0] | parts[1] == set(range(6))
    assert parts[0] & parts[1] == set()
    partitioners[0].finish()
    wait_for(clients[0], lambda: not partitioners[1].acquired, timeout=30)
    wait_for(clients[0], lambda: settled([partitioners[1]]), timeout=30)
    assert set(partitioners[1]) == set(range(6))
    partitioners[1].finish()


@pytest.mark.parametrize("recipe", ["Party", "ShallowParty"])
def test_a_party_knows_its_members(make_client: MakeClient, recipe: str) -> None:
    """Members join, are counted and listed, leave, and go with their session."""
    clients = [make_client(), make_client()]
    parties = [
        getattr(client, recipe)("/party", f"guest{number}") for number, client in enumerate(clients)
    ]
    for party in parties:
        party.join()
    assert sorted(parties[0]) == ["guest0", "guest1"]
    assert len(parties[1]) == 2
    parties[0].leave()
    assert list(parties[0]) == ["guest1"]
    clients[1].stop()
    wait_for(clients[0], lambda: len(parties[0]) == 0)


def test_queue(client: KazooClient) -> None:
    """Items come by priority, then in order; an empty queue gives None."""
    queue = client.Queue("/queue")
    assert queue.get() is None
    for item, priority in ((b"b", 100), (b"c", 100), (b"a", 10)):
        queue.put(item, priority)
    assert len(queue) == 3
    assert [queue.get() for _ in range(4)] == [b"a", b"b", b"c", None]


def test_locking_queue(make_client: MakeClient) -> None:
    """Each item goes to one consumer, and comes back if it was not consumed."""
    clients = [make_client(), make_client()]
    queues = [client.LockingQueue("/locking-queue") for client in clients]
    queues[0].put_all([b"%d" % number for number in range(10)])
    consumed: list[bytes] = []

    def consume(queue: Any) -> None:
        while (item := queue.get(timeout=1)) is not None:
            assert queue.holds_lock()
            consumed.append(item)
            queue.consume()

    join(
        [
            client.handler.spawn(consume, queue)
            for client, queue in zip(clients, queues, strict=True)
        ]
    )
    assert sorted(consumed) == [b"%d" % number for number in range(10)]
    queues[0].put(b"returned")
    assert queues[0].get(timeout=5) == b"returned"
    queues[0].release()
    assert queues[1].get(timeout=5) == b"returned"
    queues[1].consume()


def test_consumers_of_one_client_take_turns(client: KazooClient) -> None:
    """Each takes what the one before it has left: all at once they would all try the same item."""
    consumers = 20
    client.LockingQueue("/herd").put_all([b"item"] * consumers)
    listings: list[str] = []
    list_children = client.get_children_async

    def count(path: str, *args: Any, **kwargs: Any) -> Any:
        listings.append(path)
        return list_children(path, *args, **kwargs)

    client.get_children_async = count

    def consume() -> None:
        queue = client.LockingQueue("/herd")
        assert queue.get(15) == b"item"
        assert queue.consume()

    join([client.handler.spawn(consume) for _ in range(consumers)])
    assert client.get_children("/herd/entries") == []
    # Two lists at the first try, and two when the turn comes; at once it would be 16 each.
    assert len(listings) < 6 * consumers


def test_data_watch(client: KazooClient) -> None:
    """Called at once, at each change, at the deletion; not after it returned False."""
    seen: list[bytes | None] = []
    client.create("/data", b"first")

    @client.DataWatch("/data")  # type: ignore[untyped-decorator]
    def watch(data: bytes | None, stat: object, event: object) -> bool | None:
        seen.append(data)
        return data != b"last"

    for data in (b"second", b"last", b"too late"):
        known = len(seen)
        client.set("/data", data)
        if data != b"too late":
            wait_for(client, partial(longer, seen, known))
    client.sync("/data")
    assert seen == [b"first", b"second", b"last"]


def test_children_watch(client: KazooClient) -> None:
    """Called at once and at each change of the children."""
    seen: list[list[str]] = []
    client.create("/parent")

    @client.ChildrenWatch("/parent")  # type: ignore[untyped-decorator]
    def watch(children: list[str]) -> None:
        seen.append(sorted(children))

    for number in range(3):
        client.create(f"/parent/{number}")
        wait_for(client, partial(longer, seen, number + 1))
    assert seen == [[], ["0"], ["0", "1"], ["0", "1", "2"]]


def test_watches_come_back_after_a_lost_session(make_client: MakeClient) -> None:
    """kazoo's watch recipes go on in the session that replaces an expired one."""
    from kazoo.protocol.connection import _SESSION_EXPIRED

    client = make_client()
    client.create("/data", b"0")
    client.create("/parent")
    data: list[bytes | None] = []
    children: list[list[str]] = []
    client.DataWatch("/data", lambda value, stat: data.append(value))
    client.ChildrenWatch("/parent", lambda names: children.append(sorted(names)))
    session = client.client_id
    client._call(_SESSION_EXPIRED, None)
    wait_for(client, lambda: client.client_id not in (None, session))
    client.retry(client.set, "/data", b"1")
    client.retry(client.create, "/parent/child")
    assert wait_for(client, lambda: data[-1] == b"1" and children[-1] == ["child"])


def test_patient_children_watch(client: KazooClient) -> None:
    """The result comes when the children have been still for a while; the next change is told."""
    client.create("/parent")
    result = PatientChildrenWatch(client, "/parent", time_boundary=0.3).start()
    for number in range(3):
        client.create(f"/parent/{number}")
    children, changed = result.get(timeout=15)
    assert sorted(children) == ["0", "1", "2"]
    assert not changed.ready()
    client.create("/parent/3")
    assert changed.wait(5)


def test_tree_cache(client: KazooClient) -> None:
    """The cache knows the tree when initialised and follows its changes."""
    client.ensure_path("/tree/a/b")
    events: list[tuple[int, str | None]] = []
    faults: list[Exception] = []
    cache = TreeCache(client, "/tree")
    cache.listen(lambda event: events.append((event.event_type, event.event_data)))
    cache.listen_fault(faults.append)
    cache.start()
    try:
        wait_for(client, lambda: (TreeEvent.INITIALIZED, None) in events)
        assert cache.get_children("/tree/a") == frozenset({"b"})
        client.set("/tree/a/b", b"data")
        wait_for(client, lambda: cache.get_data("/tree/a/b").data == b"data")
        client.delete("/tree/a/b")
        wait_for(client, lambda: cache.get_data("/tree/a/b") is None)
        assert faults == []
    finally:
        cache.close()

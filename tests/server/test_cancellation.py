"""Killing a greenlet, or timing it out, wherever it waits inside a call leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count, product
from typing import Any, Final

import gevent
import pytest
from gevent import GreenletExit
from kazoo.client import KazooClient
from kazoo.protocol.states import KeeperState

from tests.server.awaits import Cancellation, cancelled
from tests.server.conftest import MakeClient
from tests.support import wait_until

ERRORS: Final = (GreenletExit, gevent.Timeout, KeyboardInterrupt)
LIMIT: Final = 15.0
MOST_WAITS: Final = 60
HELD: Final = 0.02
"""Seconds for which a lock is held, or a queue empty, when a call begins to wait for it."""

Call = Callable[[], object]
Prepare = Callable[[KazooClient, KazooClient, str], tuple[Call, Call]]
"""Makes, with a client, another one and a path, the call and what must work afterwards."""


def read(zk: KazooClient, other: KazooClient, path: str) -> tuple[Call, Call]:
    other.create(path, b"data")
    return lambda: zk.get(path), lambda: zk.get(path)


def create(zk: KazooClient, other: KazooClient, path: str) -> tuple[Call, Call]:
    return (
        lambda: zk.create(f"{path}/a/b/c", makepath=True),
        lambda: zk.ensure_path(f"{path}/a/b/c"),
    )


def ensure_path(zk: KazooClient, other: KazooClient, path: str) -> tuple[Call, Call]:
    return lambda: zk.ensure_path(f"{path}/a/b/c"), lambda: zk.ensure_path(f"{path}/a/b/c")


def commit(zk: KazooClient, other: KazooClient, path: str) -> tuple[Call, Call]:
    def call() -> None:
        transaction = zk.transaction()
        transaction.create(path)
        transaction.create(f"{path}/child")
        transaction.commit()

    def all_or_nothing() -> None:
        zk.sync("/")
        assert bool(zk.exists(path)) == bool(zk.exists(f"{path}/child"))

    return call, all_or_nothing


def watch(zk: KazooClient, other: KazooClient, path: str) -> tuple[Call, Call]:
    other.create(path)
    seen: list[object] = []

    def then() -> None:
        zk.get_children(path, watch=seen.append)
        other.create(f"{path}/child")
        wait_until(lambda: seen, LIMIT, gevent.sleep)

    return lambda: zk.get_children(path, watch=lambda _: None), then


def _then_held(make: Callable[[KazooClient], Any], zk: KazooClient, mine: Any) -> Call:
    """Return what holds if nobody holds a lock, or a lease: another and the same can be taken."""

    def then() -> None:
        for lock in (make(zk), mine, make(zk)):
            assert lock.acquire(timeout=LIMIT)
            lock.release()

    return then


def _hold(lock: Any) -> None:
    lock.acquire()
    gevent.spawn_later(HELD, lock.release)


def _locking(kind: str, *, contended: bool) -> Prepare:
    def prepare(zk: KazooClient, other: KazooClient, path: str) -> tuple[Call, Call]:
        mine = getattr(zk, kind)(path)
        if contended:
            _hold(getattr(other, kind)(path))

        def call() -> None:
            mine.acquire(timeout=LIMIT)
            mine.release()

        return call, _then_held(lambda client: getattr(client, kind)(path), other, mine)

    return prepare


def election(zk: KazooClient, other: KazooClient, path: str) -> tuple[Call, Call]:
    _hold(other.Lock(path))
    mine = zk.Election(path)

    def then() -> None:
        won: list[int] = []
        for contender in (other.Election(path), mine):
            contender.run(won.append, 1)
        assert won == [1, 1]

    return lambda: mine.run(gevent.sleep, HELD), then


def queue(zk: KazooClient, other: KazooClient, path: str) -> tuple[Call, Call]:
    mine = zk.Queue(path)
    other.Queue(path).put(b"first")

    def then() -> None:
        other.Queue(path).put(b"second")
        # An item whose delivery was cut short may be gone: kazoo's Queue promises no more.
        assert other.Queue(path).get() in (b"first", b"second")

    return mine.get, then


def _locking_queue(*, empty: bool) -> Prepare:
    def prepare(zk: KazooClient, other: KazooClient, path: str) -> tuple[Call, Call]:
        mine, others = zk.LockingQueue(path), other.LockingQueue(path)
        if empty:
            gevent.spawn_later(HELD, others.put, b"item")
        else:
            others.put(b"item")

        def call() -> None:
            assert mine.get(timeout=LIMIT) == b"item"
            mine.release()

        def then() -> None:
            if mine.processing_element is None:  # else get() had returned, and release() was cut
                assert others.get(timeout=LIMIT) == b"item"
                assert others.consume()

        return call, then

    return prepare


def party(zk: KazooClient, other: KazooClient, path: str) -> tuple[Call, Call]:
    mine, theirs = zk.Party(path, "me"), other.Party(path, "they")

    def call() -> None:
        mine.join()
        mine.leave()

    def then() -> None:
        wait_until(lambda: not len(theirs), LIMIT, gevent.sleep)
        mine.join()
        assert list(theirs) == ["me"]

    return call, then


def double_barrier(zk: KazooClient, other: KazooClient, path: str) -> tuple[Call, Call]:
    """Have one member inside when the call comes; it is cancelled too if it has not left then."""
    other.ensure_path(path)
    mine, theirs = (client.DoubleBarrier(path, 2) for client in (zk, other))

    def take_part(barrier: Any) -> None:
        barrier.enter()
        barrier.leave()

    member = gevent.spawn(take_part, theirs)
    wait_until(lambda: other.get_children(path), LIMIT, gevent.sleep)

    def then() -> None:
        member.kill()
        wait_until(lambda: not {*other.get_children(path)} - {"ready"}, LIMIT, gevent.sleep)
        again = gevent.spawn(take_part, theirs)
        take_part(mine)
        again.get()
        assert other.get_children(path) == []

    return lambda: take_part(mine), then


CALLS: Final[dict[str, Prepare]] = {
    "get": read,
    "create with makepath": create,
    "ensure_path": ensure_path,
    "commit": commit,
    "get_children with a watch": watch,
    "Lock": _locking("Lock", contended=False),
    "Lock, contended": _locking("Lock", contended=True),
    "ReadLock, contended": _locking("ReadLock", contended=True),
    "Semaphore": _locking("Semaphore", contended=False),
    "Semaphore, contended": _locking("Semaphore", contended=True),
    "Election": election,
    "Queue": queue,
    "LockingQueue": _locking_queue(empty=False),
    "LockingQueue, empty": _locking_queue(empty=True),
    "Party": party,
    "DoubleBarrier": double_barrier,
}


def check_order(client: KazooClient) -> None:
    """Requests in flight together get their own replies."""
    results = {path: client.get_async(path) for path in ("/order-1", "/order-2", "/order-3")}
    for path, result in results.items():
        assert result.get(timeout=LIMIT)[0] == path.encode()


def cancellations() -> Iterator[Iterator[Cancellation]]:
    """Give, for each exception and moment, the places where it is to come, without end."""
    for error, late in product(ERRORS, (False, True)):
        yield (Cancellation(place, error, late) for place in count(1))


def walk(round_of: Callable[[Cancellation], bool]) -> None:
    """Try every place where the call waits; fail if there is none, or no end of them."""
    for places in cancellations():
        for cancellation in places:
            assert cancellation.at < MOST_WAITS
            if not round_of(cancellation):
                assert cancellation.at > 1, "the call does not wait at all"
                break


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_is_cancelled_anywhere_leaves_nothing_behind(
    make_patched_client: MakeClient, name: str
) -> None:
    """The client is usable, replies keep their order, no lock is held, no watch takes an item."""
    zk, other = make_patched_client(), make_patched_client()
    for number in (1, 2, 3):
        other.create(f"/order-{number}", f"/order-{number}".encode())
    numbers = count()

    def round_of(cancellation: Cancellation) -> bool:
        # Such a name looks like the identity of a recipe's own nodes.
        call, then = CALLS[name](zk, other, f"/{next(numbers):032x}")
        outcome = cancelled(call, cancellation)
        expected = cancellation.error if outcome.delivered else type(None)
        assert isinstance(outcome.error, expected), (cancellation, outcome)
        check_order(zk)
        try:
            with gevent.Timeout(2 * LIMIT):
                then()
        except BaseException as error:
            raise AssertionError(f"{cancellation} left something: {error!r}") from error
        return outcome.delivered

    walk(round_of)


@pytest.mark.parametrize("name", ["start", "stop", "restart"])
def test_a_client_that_is_cancelled_while_it_starts_or_stops_can_be_started(
    make_patched_client: MakeClient, name: str
) -> None:
    """Once it has settled it is connected or closed, and start() makes it work."""
    zk = make_patched_client()
    for number in (1, 2, 3):
        zk.create(f"/order-{number}", f"/order-{number}".encode())

    def round_of(cancellation: Cancellation) -> bool:
        if name == "start":
            zk.stop()
        else:
            zk.start()
        outcome = cancelled(getattr(zk, name), cancellation)
        if zk._stopped.is_set():
            wait_until(lambda: zk.client_state == KeeperState.CLOSED, LIMIT, gevent.sleep)
        zk.start()
        check_order(zk)
        return outcome.delivered

    walk(round_of)

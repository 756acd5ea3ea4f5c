"""One client, used by greenlets and by native threads at the same time."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import gevent
import pytest
from gevent.threadpool import ThreadPool
from gevent.threadpool import ThreadPoolExecutor as GeventExecutor
from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionClosedError, LockTimeout
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.recipe.cache import TreeCache, TreeEvent
from kazoo.retry import ForceRetryError

from kazoo_gevent_patch.errors import KazooGeventPatchError
from tests.native import NativeThread, outcomes
from tests.server.conftest import MakeClient
from tests.support import wait_until

JOBS = 40


def both_kinds(work: Callable[[int], Any], jobs: int, threads: int = 4) -> list[Any]:
    """Run the jobs on native threads and as many again in greenlets; return what they return."""

    def share(thread: int) -> list[Any]:
        return [work(number) for number in range(thread, jobs, threads)]

    native = [NativeThread(share, thread) for thread in range(threads)]
    greenlets = [gevent.spawn(work, number) for number in range(jobs, 2 * jobs)]
    return [value for values in outcomes(native) for value in values] + outcomes(greenlets)


@pytest.mark.parametrize("rounds", [5, pytest.param(200, marks=pytest.mark.slow)])
def test_jobs_of_both_kinds_get_their_own_answers(patched_client: KazooClient, rounds: int) -> None:
    """40 jobs on 4 native threads and 40 greenlets at once: each reads what it wrote."""
    for number in range(2 * JOBS):
        patched_client.create(f"/{number}")

    def work(number: int) -> bool:
        value = f"{number} {time.monotonic_ns()}".encode()
        patched_client.set_async(f"/{number}", value)
        return bool(patched_client.get(f"/{number}")[0] == value)

    for _ in range(rounds):
        assert both_kinds(work, JOBS) == [True] * 2 * JOBS


def test_a_lock_is_shared_by_both_kinds(patched_client: KazooClient) -> None:
    """A counter that is read and written under kazoo's Lock misses no increment."""
    counter = [0]
    lock = patched_client.Lock("/shared-object")

    def work(number: int) -> None:
        mine = lock if number % 2 else patched_client.Lock("/own-object")
        with mine, patched_client.Lock("/counter"):
            count = counter[0]
            patched_client.exists("/")
            counter[0] = count + 1

    both_kinds(work, jobs=16)
    assert counter == [32]


def test_a_queue_is_shared_by_both_kinds(patched_client: KazooClient) -> None:
    """What native threads and greenlets put, both take out, each item once."""
    queue = patched_client.LockingQueue("/queue")
    taken: list[bytes] = []

    def put(number: int) -> None:
        queue.put(str(number).encode())

    def take(_: int) -> None:
        own = patched_client.LockingQueue("/queue")
        item = own.get(timeout=20)
        assert item is not None
        assert own.consume()
        taken.append(item)

    both_kinds(put, jobs=6)
    both_kinds(take, jobs=6)
    assert sorted(map(int, taken)) == list(range(12))


def test_a_consumer_in_a_native_thread_waits_for_a_producer_in_a_greenlet(
    patched_client: KazooClient,
) -> None:
    """LockingQueue.get in a thread that has nothing else to wait for."""
    consumer = NativeThread(lambda: patched_client.LockingQueue("/queue").get(timeout=20))
    wait_until(lambda: patched_client.exists("/queue/entries"), sleep=gevent.sleep)
    patched_client.LockingQueue("/queue").put(b"item")
    assert consumer.get() == b"item"


def test_other_recipes_wait_in_native_threads(patched_client: KazooClient) -> None:
    """Semaphore, Barrier, DoubleBarrier, Counter, Party and Election."""
    barrier = patched_client.Barrier("/barrier")
    barrier.create()
    led: list[str] = []

    def enter(number: int) -> None:
        double = patched_client.DoubleBarrier("/double", 2, str(number))
        double.enter()
        double.leave()

    def work(number: int) -> None:
        assert barrier.wait(20)
        with patched_client.Semaphore("/semaphore", max_leases=1):
            counter = patched_client.Counter("/counter")
            counter += 1
        party = patched_client.Party("/party", str(number))
        party.join()
        party.leave()
        patched_client.Election("/election", str(number)).run(led.append, str(number))

    threads = [NativeThread(work, number) for number in range(3)]
    gevent.sleep(0.1)  # nothing may happen
    assert led == []
    NativeThread(barrier.remove).get()
    outcomes([*threads, NativeThread(enter, 1), gevent.spawn(enter, 2)])
    assert sorted(led) == ["0", "1", "2"]
    assert patched_client.Counter("/counter").value == 3


def test_watchers_and_a_tree_cache_may_be_started_in_a_native_thread(
    patched_client: KazooClient,
) -> None:
    """They go on in the client's event loop when that thread has ended."""
    seen: list[bytes | None] = []
    events: list[int] = []
    patched_client.create("/node", b"1")

    def begin() -> TreeCache:
        patched_client.DataWatch("/node", lambda data, stat: seen.append(data))
        cache = TreeCache(patched_client, "/node")
        cache.listen(lambda event: events.append(event.event_type))
        cache.start()
        return cache

    cache = NativeThread(begin).get()
    wait_until(lambda: TreeEvent.INITIALIZED in events, sleep=gevent.sleep)
    patched_client.set("/node", b"2")
    wait_until(lambda: seen == [b"1", b"2"], sleep=gevent.sleep)
    wait_until(lambda: TreeEvent.NODE_UPDATED in events, sleep=gevent.sleep)
    cache.close()


def in_executor(executor: Any, call: Callable[[], Any]) -> Any:
    """Submit the call and let the event loop run until it is done."""
    with executor:
        future = executor.submit(call)
        wait_until(future.done, sleep=gevent.sleep)
        return future.result()


def in_thread(call: Callable[[], Any]) -> Any:
    """Run the call in a threading.Thread."""
    result: list[Any] = []
    thread = threading.Thread(target=lambda: result.append(call()))
    thread.start()
    wait_until(lambda: not thread.is_alive(), sleep=gevent.sleep)
    return result[0]


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(lambda call: in_executor(ThreadPoolExecutor(1), call), id="concurrent"),
        pytest.param(lambda call: in_executor(GeventExecutor(1), call), id="gevent executor"),
        pytest.param(lambda call: ThreadPool(1).apply(call), id="gevent pool"),
        pytest.param(in_thread, id="thread"),
    ],
)
def test_every_kind_of_native_thread_may_call(
    patched_client: KazooClient, run: Callable[[Callable[[], Any]], Any]
) -> None:
    """Synchronous calls, results with a time-out, and locks, each in one thread."""

    def work() -> tuple[bytes, bytes]:
        patched_client.create("/node", b"data")
        with patched_client.Lock("/lock"):
            late = patched_client.get_async("/node").get(timeout=10)[0]
        return patched_client.get("/node")[0], late

    assert run(work) == (b"data", b"data")


def test_timeouts_are_kept_in_a_native_thread(patched_client: KazooClient) -> None:
    """A result, an event and a Lock that do not come raise, or say so, in time."""
    held = patched_client.Lock("/lock")
    held.acquire()

    def work() -> float:
        begin = time.monotonic()
        with pytest.raises(KazooTimeoutError):
            patched_client.handler.async_result().get(timeout=0.05)
        assert patched_client.handler.event_object().wait(0.05) is False
        with pytest.raises(LockTimeout):
            patched_client.Lock("/lock").acquire(timeout=0.05)
        return time.monotonic() - begin

    assert NativeThread(work).get() >= 0.15


@pytest.mark.parametrize("method", ["restart", "stop", "stop and start"])
def test_a_native_thread_may_stop_and_restart_the_client(
    patched_client: KazooClient, method: str
) -> None:
    """The client goes on in its own event loop, when restarted, though the thread ends."""
    old_session = patched_client.client_id

    def work() -> None:
        if method == "restart":
            patched_client.restart()
        else:
            patched_client.stop()
            patched_client.close()

    NativeThread(work).get()
    if method == "stop and start":
        patched_client.start()
    assert patched_client.connected == (method != "stop")
    if method != "stop":
        assert patched_client.get("/")
        assert patched_client.client_id != old_session


def test_two_that_stop_at_once_leave_nothing_for_the_next_session(
    patched_client: KazooClient,
) -> None:
    """From native threads and greenlets together, over and over."""
    for _ in range(10):
        workers: list[Any] = [NativeThread(patched_client.stop) for _ in range(3)]
        workers += [gevent.spawn(patched_client.stop) for _ in range(3)]
        outcomes(workers)
        wait_until(lambda: patched_client.client_state == "CLOSED", sleep=gevent.sleep)
        assert not patched_client._queue
        patched_client.start()
        assert patched_client.get("/")


@pytest.mark.parametrize("when", ["before", "meanwhile"])
@pytest.mark.parametrize("call", ["get", "stop"])
def test_a_client_whose_thread_has_ended_says_so_at_once(
    make_patched_client: MakeClient, when: str, call: str
) -> None:
    """One clear error, for what was pending too; started again, the client works."""
    client = make_patched_client(start=False)
    states: list[str] = []
    client.add_listener(states.append)
    started = threading.Event()

    def begin() -> None:
        client.start()
        started.set()
        if when == "meanwhile":
            time.sleep(0.3)  # its event loop stands still, so that nothing is answered

    thread = threading.Thread(target=begin)
    thread.start()
    wait_until(started.is_set, sleep=gevent.sleep)
    if when == "before":
        thread.join()
    if call == "stop" and when == "before":
        client.stop()  # there is nothing left to stop
    else:
        with pytest.raises(ConnectionClosedError, match="has ended") as caught:
            client.get("/") if call == "get" else client.stop()
        assert isinstance(caught.value, KazooGeventPatchError)
    thread.join()
    assert states == ["CONNECTED", "LOST"]
    client.start()
    assert client.get("/")


def test_a_client_whose_thread_destroyed_its_event_loop_says_so(
    make_patched_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    """As gevent's thread pool does when a thread of it ends; nothing goes wrong over it."""
    client = make_patched_client(start=False)

    def begin() -> None:
        client.start()
        gevent.get_hub().destroy()

    thread = threading.Thread(target=begin)
    thread.start()
    thread.join()
    with pytest.raises(ConnectionClosedError, match="has ended"):
        client.get("/")
    assert [record for record in caplog.records if record.exc_info] == []
    client.start()
    assert client.get("/")


def _use_the_client(client: KazooClient) -> object:
    def fail_once(failures: list[Exception]) -> object:
        if failures:
            raise failures.pop()
        return client.get("/")

    client.handler.spawn(client.exists, "/").join()
    with client.Lock("/lock"):
        client.get("/")
    return client.retry(fail_once, [ForceRetryError("once")])


def _start_one_of_its_own(client: KazooClient, *, stop: bool) -> object:
    own = KazooClient(",".join(f"{host}:{port}" for host, port in client.hosts), timeout=5.0)
    own.start()
    stat = own.exists("/")
    if stop:
        own.stop()
        own.close()
    return stat


def _select_a_socket(client: KazooClient) -> object:
    left, right = socket.socketpair()
    with left, right:
        right.send(b"x")
        return client.handler.select([left], [], [], 5)[0]


COMES_AND_GOES: dict[str, Callable[[KazooClient], object]] = {
    "uses the client": _use_the_client,
    "stops its own": partial(_start_one_of_its_own, stop=True),
    "leaves its own": partial(_start_one_of_its_own, stop=False),
    "asks the server": KazooClient.command,
    "selects": _select_a_socket,
}


@pytest.mark.parametrize("kind", COMES_AND_GOES)
def test_threads_that_come_and_go_leave_nothing_open(
    patched_client: KazooClient, kind: str
) -> None:
    """One that waits, spawns, sleeps or starts a client leaves no event loop when it ends."""
    work = COMES_AND_GOES[kind]
    outcomes([NativeThread(work, patched_client) for _ in range(5)])
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(4):
        assert all(outcomes([NativeThread(work, patched_client) for _ in range(5)]))
    # A thread ends a little after its function.
    wait_until(lambda: len(os.listdir("/proc/self/fd")) <= before, sleep=gevent.sleep)

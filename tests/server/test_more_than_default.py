"""Where kazoo's default handler deadlocks, raises or is lost, ours simply works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
import pytest
from gevent.threadpool import ThreadPool
from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionClosedError
from kazoo.handlers.threading import KazooTimeoutError

from kazoo_gevent_patch import unpatch_all
from tests.server.conftest import MakeClient
from tests.support import wait_until


@pytest.fixture
def patched_client(make_patched_client: MakeClient) -> KazooClient:
    """Give a client whose session outlives a flood of requests on a busy machine."""
    return make_patched_client(timeout=60.0)


@pytest.mark.parametrize("operation", ["ensure_path", "create", "sync", "create_sequence"])
def test_a_result_callback_may_wait_for_a_chain_of_requests(
    patched_client: KazooClient, operation: str
) -> None:
    """The steps of kazoo's own operations do not queue behind the callback that waits."""
    zk = patched_client
    seen: list[object] = []
    calls: dict[str, Callable[[], object]] = {
        "ensure_path": lambda: zk.ensure_path("/a/b/c/d"),
        "create": lambda: zk.create("/a/b/c/d", makepath=True),
        "sync": lambda: zk.sync("/"),
        "create_sequence": lambda: zk.create("/a/b/c-", sequence=True, makepath=True),
    }
    zk.exists_async("/").rawlink(lambda _: seen.append(calls[operation]()))
    assert wait_until(lambda: seen, sleep=gevent.sleep)


def test_a_watch_callback_may_stop_the_client(patched_client: KazooClient) -> None:
    """zk.stop() inside a watch callback returns, and the session is closed."""
    patched_client.create("/node")
    seen: list[str] = []

    def stop(_: object) -> None:
        patched_client.stop()
        seen.append(patched_client.client_state)

    patched_client.get("/node", watch=stop)
    patched_client.set("/node", b"x")
    wait_until(lambda: seen, sleep=gevent.sleep)
    assert seen == ["CLOSED"]
    with pytest.raises(ConnectionClosedError):
        patched_client.get("/node")
    patched_client.start()
    assert patched_client.get("/node")[0] == b"x"


@pytest.mark.parametrize("again", ["restart", "stop and start"])
def test_a_result_callback_may_restart_the_client(patched_client: KazooClient, again: str) -> None:
    """A new session, from inside a callback of the old one."""
    seen: list[tuple[int, bytes] | None] = []
    old_session = patched_client.client_id

    def renew(_: object) -> None:
        if again == "restart":
            patched_client.restart()
        else:
            patched_client.stop()
            patched_client.start()
        seen.append(patched_client.client_id)

    patched_client.exists_async("/").rawlink(renew)
    wait_until(lambda: seen, sleep=gevent.sleep)
    assert seen[0] not in (None, old_session)


def test_an_outer_timeout_passes_through_every_call(patched_client: KazooClient) -> None:
    """gevent.Timeout round a client call is raised as it is, and the client stays usable."""
    result = patched_client.handler.async_result()
    for call in (result.get, result.wait, lambda: result.get(timeout=30)):
        mine = gevent.Timeout(0.01)
        with pytest.raises(gevent.Timeout) as caught, mine:
            call()
        assert caught.value is mine
    lock = patched_client.Lock("/lock")
    with lock:
        other = patched_client.Lock("/lock")
        mine = gevent.Timeout(0.05)
        with pytest.raises(gevent.Timeout) as caught, mine:
            other.acquire()
        assert caught.value is mine
    assert patched_client.exists("/lock") is not None


@pytest.mark.parametrize("kind", [gevent.Timeout, KazooTimeoutError])
def test_gevents_name_catches_a_late_result_too(
    patched_client: KazooClient, kind: type[BaseException]
) -> None:
    """Code written for gevent's AsyncResult keeps working beside code for kazoo's."""
    with pytest.raises(kind):
        patched_client.handler.async_result().get(timeout=0.01)


@pytest.mark.parametrize("amount", [2_000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_a_flood_of_chained_creates_is_all_done(patched_client: KazooClient, amount: int) -> None:
    """That many create_async(makepath=True) in flight: each wake-up arrives."""
    results = [
        patched_client.create_async(f"/flood/{number % 50}/{number}", makepath=True)
        for number in range(amount)
    ]
    assert len({result.get(timeout=300) for result in results}) == amount


def test_a_loop_that_issues_requests_lets_timers_run(patched_client: KazooClient) -> None:
    """It gives way on a time slice, though get_async() never has to wait for anything."""
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        while True:
            gevent.sleep(0.001)
            ticks += 1

    ticker = gevent.spawn(tick)
    results = [patched_client.get_async("/") for _ in range(20_000)]
    ticked_meanwhile = ticks
    assert all(result.get(timeout=300) for result in results)
    ticker.kill()
    assert ticked_meanwhile > 5


def test_a_flood_that_is_killed_leaves_nothing_half_done(patched_client: KazooClient) -> None:
    """The kill arrives, every request that was issued is answered, and so is the next one."""
    issued: list[Any] = []

    def flood() -> None:
        while True:
            issued.append(patched_client.get_async("/"))

    flooding: gevent.Greenlet[..., Any] = gevent.spawn(flood)
    wait_until(lambda: len(issued) > 2_000, sleep=gevent.sleep)
    flooding.kill(timeout=10)
    assert isinstance(flooding.value, gevent.GreenletExit)
    assert all(result.get(timeout=300) for result in issued)
    assert patched_client.get("/")


def test_a_flood_may_be_issued_in_the_hub(patched_client: KazooClient) -> None:
    """A callback of the event loop cannot give way, and need not."""
    issued: list[Any] = []

    def flood() -> None:
        issued.extend(patched_client.get_async("/") for _ in range(1_000))

    gevent.get_hub().loop.run_callback(flood)
    wait_until(lambda: len(issued) == 1_000, sleep=gevent.sleep)
    assert all(result.get(timeout=300) for result in issued)


def test_a_flood_from_many_greenlets_is_all_done(patched_client: KazooClient) -> None:
    """50 greenlets with 200 requests in flight each: nothing hangs, no false closed error."""
    patched_client.create("/node", b"data")

    def work() -> int:
        results = [patched_client.get_async("/node") for _ in range(200)]
        return sum(result.get(timeout=300)[0] == b"data" for result in results)

    workers = [gevent.spawn(work) for _ in range(50)]
    assert [worker.get(timeout=300) for worker in workers] == [200] * 50


def test_other_greenlets_run_while_a_client_waits(patched_client: KazooClient) -> None:
    """Not monkey patched, start(), get() and stop() let a ticker tick."""
    gaps: list[float] = []
    loop = gevent.get_hub().loop

    def tick() -> None:
        last = loop.now()
        while True:
            gevent.sleep(0.005)
            gaps.append(loop.now() - last)
            last = loop.now()

    ticker = gevent.spawn(tick)
    patched_client.stop()
    patched_client.start()
    requests = 0
    while len(gaps) <= 5 and requests < 10_000:  # 300 may take less than the ticker's five times
        patched_client.get("/")
        requests += 1
    ticker.kill()
    assert len(gaps) > 5


def test_a_client_built_while_patched_keeps_working_after_undo(
    make_patched_client: MakeClient,
) -> None:
    """Started before the undo, and started after it."""
    started, waiting = make_patched_client(), make_patched_client(start=False)
    unpatch_all()
    started.create("/node", b"data")
    waiting.start()
    assert waiting.get("/node")[0] == b"data"
    started.restart()
    assert started.get("/node")[0] == b"data"


def test_requests_from_native_threads_are_answered(patched_client: KazooClient) -> None:
    """gevent's thread pool, while greenlets use the same client: each value is right."""
    patched_client.create("/shared", b"0")

    def work(number: int) -> bool:
        path = f"/from-{number}"
        patched_client.create(path, b"%d" % number)
        right = [patched_client.get(path)[0] == b"%d" % number for _ in range(20)]
        with pytest.raises(KazooTimeoutError):
            patched_client.handler.async_result().get(timeout=0.01)
        return all(right)

    pool = ThreadPool(4)
    jobs = [pool.spawn(work, number) for number in range(8)]
    greenlets = [gevent.spawn(work, number) for number in range(8, 16)]
    assert [job.get(timeout=30) for job in jobs] == [True] * 8
    assert [greenlet.get(timeout=30) for greenlet in greenlets] == [True] * 8


def test_a_client_starts_again_after_a_stop_right_after_start_async(
    make_patched_client: MakeClient,
) -> None:
    """On the default the new connection may find the old one's request to close, and obey it."""
    client = make_patched_client(start=False)
    client.start_async()
    client.stop()
    client.start()
    assert client.exists("/none") is None

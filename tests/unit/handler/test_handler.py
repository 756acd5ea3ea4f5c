"""``SequentialGeventHandler`` on its own."""

from __future__ import annotations

import inspect
import logging
import sys
from functools import partial
from time import monotonic
from typing import Any

import gevent
import gevent.event
import gevent.queue
import pytest
from gevent.local import local
from greenlet import greenlet
from kazoo.exceptions import ConnectionClosedError
from kazoo.handlers import gevent as stock
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.interfaces import IHandler
from kazoo.protocol.states import Callback

import kazoo_gevent_patch.handler.sequential
from kazoo_gevent_patch import AsyncResult, SequentialGeventHandler
from kazoo_gevent_patch.handler.queues import Queue
from kazoo_gevent_patch.loop.hubs import hub_of_this_thread
from tests.native import NativeThread, outcomes
from tests.support import wait_until


def test_it_is_kazoos_handler_with_everything_the_interface_asks_for() -> None:
    """Checks for kazoo's class hold, and nothing of kazoo's interface is missing."""
    handler = SequentialGeventHandler()
    assert isinstance(handler, stock.SequentialGeventHandler)
    wanted = [name for name, _ in inspect.getmembers(IHandler, inspect.isfunction)]
    wanted += ["create_socket_pair", "name", "queue_empty", "queue_impl", "running"]
    assert [name for name in wanted if not hasattr(handler, name)] == []
    assert handler.timeout_exception is KazooTimeoutError
    assert isinstance(handler.queue_impl(), Queue)
    assert handler.queue_empty is gevent.queue.Empty
    assert isinstance(handler.event_object(), gevent.event.Event)
    assert isinstance(handler.async_result(), AsyncResult)


@pytest.mark.parametrize("seconds", [0, 0.01, -1])
def test_sleep_lets_the_greenlets_of_the_thread_run(seconds: float) -> None:
    """As gevent.sleep does, which takes less than nothing for nothing."""
    seen: list[bool] = []
    gevent.spawn(seen.append, True)
    SequentialGeventHandler().sleep_func(seconds)
    assert seen


@pytest.mark.parametrize("seconds", [0, 0.01, -1])
def test_sleep_in_a_native_thread_makes_no_event_loop(seconds: float) -> None:
    """Nobody would close it; and with greenlets of its own the thread has one."""

    def work() -> tuple[bool, list[bool]]:
        SequentialGeventHandler().sleep_func(seconds)
        without = hub_of_this_thread() is None
        seen: list[bool] = []
        gevent.spawn(seen.append, True)
        SequentialGeventHandler().sleep_func(seconds)
        gevent.get_hub().destroy(destroy_loop=True)
        return without, seen

    assert NativeThread(work).get() == (True, [True])


def test_start_and_stop_may_be_repeated_and_alternated(
    handler: SequentialGeventHandler,
) -> None:
    """Starting twice, stopping twice and starting again are all right."""
    seen: list[int] = []
    for number in range(3):
        handler.start()
        handler.start()
        assert handler.running
        handler.dispatch_callback(Callback("watch", seen.append, (number,)))
        handler.stop()
        handler.stop()
        assert not handler.running
        assert handler.callback_queue.empty()
    assert seen == [0, 1, 2]


def test_callbacks_of_a_type_run_one_at_a_time_in_order(handler: SequentialGeventHandler) -> None:
    """A callback begins when the one before it has returned."""
    seen: list[tuple[str, int]] = []

    def callback(number: int) -> None:
        seen.append(("in", number))
        gevent.sleep(0.001)
        seen.append(("out", number))

    for number in range(4):
        handler.dispatch_callback(Callback("watch", callback, (number,)))
    wait_until(lambda: len(seen) == 8, sleep=gevent.sleep)
    assert seen == [(step, number) for number in range(4) for step in ("in", "out")]


@pytest.mark.parametrize("blocked", ["watch", "completion", "session"])
def test_a_blocked_callback_does_not_delay_other_types(
    handler: SequentialGeventHandler, blocked: str
) -> None:
    """Each type of event has a queue and a worker of its own."""
    release = gevent.event.Event()
    seen: list[str] = []
    handler.dispatch_callback(Callback(blocked, release.wait, ()))
    for kind in ("watch", "completion", "session"):
        handler.dispatch_callback(Callback(kind, seen.append, (kind,)))
    wait_until(lambda: len(seen) == 2, sleep=gevent.sleep)
    assert blocked not in seen
    release.set()
    wait_until(lambda: len(seen) == 3, sleep=gevent.sleep)


@pytest.mark.parametrize("error", [ValueError("bang"), gevent.Timeout(), gevent.queue.Empty()])
def test_a_callback_that_raises_is_logged_and_the_next_one_runs(
    handler: SequentialGeventHandler,
    caplog: pytest.LogCaptureFixture,
    error: BaseException,
) -> None:
    """The traceback goes to kazoo's logger of this handler; the worker goes on."""
    seen: list[str] = []

    def bad_callback() -> None:
        raise error

    with caplog.at_level(logging.ERROR, logger="kazoo.handlers.gevent"):
        handler.dispatch_callback(Callback("watch", bad_callback, ()))
        handler.dispatch_callback(Callback("watch", seen.append, ("next",)))
        wait_until(lambda: seen, sleep=gevent.sleep)
    (record,) = caplog.records
    assert record.name == "kazoo.handlers.gevent"
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    assert "bad_callback" in caplog.text  # the traceback reaches into the callback


def test_a_worker_that_was_killed_leaves_the_rest_to_another(
    handler: SequentialGeventHandler,
) -> None:
    """Killing the greenlet of a callback, or of one not yet run, loses no other callback."""
    seen: list[str] = []
    workers: list[greenlet] = []

    def victim() -> None:
        workers.append(gevent.getcurrent())
        gevent.sleep(30)

    handler.dispatch_callback(Callback("watch", victim, ()))
    handler.dispatch_callback(Callback("watch", seen.append, ("after the victim",)))
    wait_until(lambda: workers, sleep=gevent.sleep)
    gevent.kill(workers[0])
    wait_until(lambda: seen, sleep=gevent.sleep)
    handler.dispatch_callback(Callback("watch", seen.append, ("never ran",)))
    worker = handler.callback_queue.worker
    assert worker is not None
    gevent.kill(worker)
    handler.dispatch_callback(Callback("watch", seen.append, ("last",)))
    wait_until(lambda: seen[-1] == "last", sleep=gevent.sleep)
    assert seen == ["after the victim", "never ran", "last"]


def test_stop_runs_what_was_queued_and_empties_the_queues(
    handler: SequentialGeventHandler,
) -> None:
    """When stop() returns, callbacks that were queued before it have run."""
    seen: list[int] = []

    def slowly(number: int) -> None:
        gevent.sleep(0.001)
        seen.append(number)

    for number in range(3):
        handler.dispatch_callback(Callback("watch", slowly, (number,)))
    handler.stop()
    assert seen == [0, 1, 2]
    assert handler.callback_queue.empty()
    assert handler.callback_queue.qsize() == 0


@pytest.mark.parametrize("kind", ["watch", "completion"])
def test_a_callback_may_stop_and_restart_the_handler(
    handler: SequentialGeventHandler, kind: str
) -> None:
    """stop() and start() from inside a callback return; one at a time still holds."""
    seen: list[str] = []

    def restart() -> None:
        handler.stop()
        seen.append("stopped")
        handler.start()
        handler.dispatch_callback(Callback(kind, seen.append, ("queued after",)))
        gevent.sleep(0.01)
        seen.append("restarted")

    handler.dispatch_callback(Callback(kind, restart, ()))
    handler.dispatch_callback(Callback(kind, seen.append, ("queued before",)))
    wait_until(lambda: len(seen) == 4, sleep=gevent.sleep)
    assert seen == ["stopped", "restarted", "queued before", "queued after"]


def test_stop_does_not_wait_for_ever_for_a_callback(
    handler: SequentialGeventHandler,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A callback that never returns costs stop() its time-out, a warning and the queue."""
    monkeypatch.setattr(kazoo_gevent_patch.handler.sequential, "STOP_TIMEOUT", 0.05)
    release = gevent.event.Event()
    seen: list[str] = []
    handler.dispatch_callback(Callback("watch", release.wait, ()))
    handler.dispatch_callback(Callback("watch", seen.append, ("dropped",)))
    handler.stop()
    assert handler.callback_queue.empty()
    assert "has not returned within 0.05 seconds of stop()" in caplog.text
    release.set()
    handler.start()
    handler.dispatch_callback(Callback("watch", seen.append, ("after",)))
    wait_until(lambda: seen, sleep=gevent.sleep)
    assert seen == ["after"]


def test_what_is_dispatched_while_stopped_waits_for_the_start() -> None:
    """As with kazoo's default: watch callbacks queued while stopped run at the next start."""
    handler = SequentialGeventHandler()
    seen: list[str] = []
    handler.dispatch_callback(Callback("watch", seen.append, ("early",)))
    gevent.sleep(0.01)  # nothing to wait for: the point is that nothing happens
    assert seen == []
    handler.start()
    wait_until(lambda: seen, sleep=gevent.sleep)
    handler.stop()
    assert seen == ["early"]


@pytest.mark.parametrize("kind", ["watch", "completion"])
def test_what_callbacks_keep_in_a_thread_local_lasts_until_stop(
    handler: SequentialGeventHandler, kind: str
) -> None:
    """Callbacks of a type share a thread's storage (Django's connections), however far apart."""
    storage = local()
    opened: list[int] = []
    seen: list[int] = []

    def callback(number: int) -> None:
        if not hasattr(storage, "connection"):
            opened.append(number)
            storage.connection = number
        seen.append(number)

    for number in range(6):
        if number == 3:
            handler.stop()
            handler.start()
        handler.dispatch_callback(Callback(kind, callback, (number,)))
        assert handler._queue(kind).join(5)
    assert seen == list(range(6))
    assert opened == [0, 3]


def test_workers_come_with_the_first_callback_and_go_with_stop(
    handler: SequentialGeventHandler,
) -> None:
    """A handler without callbacks has no greenlets, and none is left when stop() returns."""
    queue = handler.callback_queue
    workers = [queue.worker]
    handler.dispatch_callback(Callback("watch", int, ()))
    worker = queue.worker
    assert worker is not None
    assert workers == [None]
    assert queue.join(5)
    assert worker.is_alive()
    handler.stop()
    assert [worker.is_alive(), queue.worker] == [False, None]


def test_a_worker_that_waits_does_not_keep_the_event_loop_running(
    handler: SequentialGeventHandler,
) -> None:
    """gevent still finds out that nothing will ever happen."""
    handler.dispatch_callback(Callback("watch", int, ()))
    assert handler.callback_queue.join(5)
    assert gevent.wait(timeout=5)  # true when there is nothing left to wait for


def test_a_handler_that_is_forgotten_leaves_no_worker_behind(
    handler: SequentialGeventHandler,
) -> None:
    """What forked children, and clients of a thread that ends, do with their handler."""
    handler.dispatch_callback(Callback("watch", int, ()))
    queue = handler.callback_queue
    assert queue.join(5)
    worker = queue.worker
    assert worker is not None
    ended: list[object] = []
    worker.rawlink(ended.append)  # as gevent's dummy threads do
    handler.abandon()
    assert [worker.is_alive(), queue.worker] == [False, None]


def test_a_worker_that_is_killed_while_it_waits_is_replaced(
    handler: SequentialGeventHandler,
) -> None:
    """Also when a callback was put, and has woken it, just before."""
    seen: list[int] = []
    for number in range(2):
        handler.dispatch_callback(Callback("watch", seen.append, (number,)))
        assert handler.callback_queue.join(5)
        worker = handler.callback_queue.worker
        assert worker is not None
        if number:
            handler.dispatch_callback(Callback("watch", seen.append, (2,)))
        gevent.kill(worker)
    wait_until(lambda: seen == [0, 1, 2], sleep=gevent.sleep)
    assert handler.callback_queue.join(5)


def test_the_queue_goes_on_in_another_event_loop() -> None:
    """Started in a thread whose loop was destroyed, or that has ended, and then in this one."""
    handler = SequentialGeventHandler()
    seen: list[int] = []

    def live(number: int) -> None:
        handler.start()
        handler.dispatch_callback(Callback("watch", seen.append, (number,)))
        assert handler.callback_queue.join(5)
        handler.stop()
        gevent.get_hub().destroy(destroy_loop=True)

    for number in range(3):
        NativeThread(live, number).get()
    handler.start()
    handler.dispatch_callback(Callback("watch", seen.append, (3,)))
    handler.stop()
    assert seen == [0, 1, 2, 3]


def test_native_threads_put_and_join_while_the_worker_comes_and_goes(
    handler: SequentialGeventHandler,
) -> None:
    """No callback is left lying while the worker waits, and join() returns when all has run."""
    queue = handler.callback_queue
    seen: list[tuple[int, int]] = []
    rounds = 300

    def put(thread: int) -> None:
        for number in range(rounds):
            queue.put(partial(seen.append, (thread, number)))
            assert queue.join(5)
            assert (thread, number) in seen

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [NativeThread(put, thread) for thread in range(3)]
        outcomes(threads)
    finally:
        sys.setswitchinterval(interval)
    assert sorted(seen) == [(thread, number) for thread in range(3) for number in range(rounds)]


def test_spawn_returns_what_code_for_threads_expects(handler: SequentialGeventHandler) -> None:
    """A spawned greenlet has the methods of a thread that kazoo's users call."""
    release = gevent.event.Event()
    spawned = handler.spawn(lambda word, end: (release.wait(), word + end)[1], "a", end="b")
    assert spawned.is_alive()
    assert spawned.daemon is True
    assert spawned.name
    spawned.join(0.01)
    spawned.join(-1)
    assert spawned.is_alive()
    release.set()
    spawned.join()
    assert not spawned.is_alive()
    assert spawned.value == "ab"


def test_a_spawned_greenlet_cannot_join_itself(handler: SequentialGeventHandler) -> None:
    """Like a thread, it raises instead of waiting for ever."""

    def join_oneself() -> None:
        with pytest.raises(RuntimeError, match="cannot join current greenlet"):
            spawned.join()

    spawned = handler.spawn(join_oneself)
    spawned.get(timeout=5)


@pytest.mark.parametrize("make", ["lock_object", "rlock_object"])
def test_locks_have_the_signature_of_threadings(
    handler: SequentialGeventHandler, make: str
) -> None:
    """Both locks take blocking and timeout, -1 included, and exclude other greenlets."""
    lock = getattr(handler, make)()
    with lock:
        attempts: list[gevent.Greenlet[..., Any]] = [
            gevent.spawn(lock.acquire, blocking=False),
            gevent.spawn(lock.acquire, blocking=True, timeout=0.01),
            gevent.spawn(lock.acquire, True, 0.01),
        ]
        gevent.joinall(attempts, timeout=5)
        assert [attempt.value for attempt in attempts] == [False] * 3
        patient = gevent.spawn(lock.acquire, blocking=True, timeout=-1)
    assert patient.get(timeout=5) is True


def test_releasing_an_unlocked_lock_raises_as_a_threads_lock_does(
    handler: SequentialGeventHandler,
) -> None:
    """RuntimeError, which code for threads catches."""
    with pytest.raises(RuntimeError):
        handler.lock_object().release()


def test_a_derived_handler_may_select_in_its_own_way() -> None:
    """Its method is called, after a fork too, and kazoo's is not what it finds above itself."""
    calls: list[float | None] = []

    class Traced(SequentialGeventHandler):
        def select(self, rlist: Any, wlist: Any, xlist: Any, timeout: float | None = None) -> Any:
            calls.append(timeout)
            return super().select(rlist, wlist, xlist, timeout)

    handler = Traced()
    for timeout in (5.0, 10.0):
        handler.abandon()
        reader, writer = handler.create_socket_pair()
        writer.send(b"\0")
        assert handler.select([reader], [], [], timeout) == ([reader], [], [])
    assert calls == [5.0, 10.0]


@pytest.mark.parametrize("state", ["new", "started", "stopped"])
def test_who_tries_again_at_once_after_a_failure_lets_timers_run(state: str) -> None:
    """A request of a closed client fails without a wait."""
    handler = SequentialGeventHandler()
    if state != "new":
        handler.start()
    if state == "stopped":
        handler.stop()
    rung: list[bool] = []
    timer = gevent.spawn_later(0, rung.append, True)
    deadline = monotonic() + 10
    while not rung and monotonic() < deadline:
        handler.async_result().set_exception(ConnectionClosedError())
    timer.kill()
    handler.stop()
    assert rung

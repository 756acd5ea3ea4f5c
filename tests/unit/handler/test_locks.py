"""``Lock`` and ``RLock``, shared by greenlets and native threads."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from gevent import get_hub, getcurrent

from kazoo_gevent_patch.handler.locks import Lock, RLock
from kazoo_gevent_patch.loop.waiting import WaitingList
from tests.interleaving import Interleaved
from tests.native import NativeThread, outcomes
from tests.support import wait_until

Make = Callable[[], Any]


@pytest.fixture(params=[Lock, RLock])
def lock(request: pytest.FixtureRequest) -> Any:
    """Give a lock of each kind."""
    return request.param()


def waiting(lock: Lock, number: int) -> None:
    """Wait until so many wait for the lock."""
    wait_until(lambda: f" {number} waiting" in repr(lock), sleep=gevent.sleep)


def test_it_locks_as_a_threading_lock_does(lock: Any) -> None:
    """acquire, release, locked and the with statement, with and without waiting."""
    assert lock.acquire() is True
    assert lock.locked()
    assert gevent.spawn(lock.acquire, False).get() is False
    assert gevent.spawn(lock.acquire, timeout=0.01).get() is False
    assert NativeThread(lock.acquire, True, 0.01).get() is False
    lock.release()
    with lock as entered:
        assert entered is True
    assert not lock.locked()
    with pytest.raises(RuntimeError):
        lock.release()


def test_a_native_thread_hands_it_to_a_greenlet_and_back(lock: Any) -> None:
    """Each waits for the other, in its own event loop."""
    order: list[str] = []

    def work(name: str) -> None:
        with lock:
            order.append(name)
            gevent.sleep(0.01)

    with lock:
        workers = [NativeThread(work, "native"), gevent.spawn(work, "greenlet")]
        gevent.sleep(0.05)  # nothing may happen
        assert order == []
    outcomes(workers)
    assert sorted(order) == ["greenlet", "native"]


def test_who_waits_longest_gets_it_next() -> None:
    """First come, first served in each thread, and nobody overtakes."""
    lock, order = Lock(), list[int]()
    lock.acquire()

    def work(number: int) -> None:
        with lock:
            order.append(number)

    workers: list[Any] = []
    for number in range(6):
        workers.append(NativeThread(work, number) if number % 2 else gevent.spawn(work, number))
        waiting(lock, number + 1)
    lock.release()
    assert lock.acquire(False) is False
    outcomes(workers)
    assert sorted(order) == list(range(6))
    assert [number for number in order if number % 2 == 0] == [0, 2, 4]


@pytest.mark.parametrize("how", ["kill", "timeout"])
def test_who_is_handed_it_and_killed_at_once_hands_it_on(how: str) -> None:
    """The lock is not lost with its next holder."""
    lock = Lock()
    lock.acquire()
    first = gevent.spawn(lock.acquire)
    waiting(lock, 1)
    second = gevent.spawn(lock.acquire)
    waiting(lock, 2)
    # The kill is on its way when the lock is handed over, and arrives first.
    first.kill(gevent.GreenletExit if how == "kill" else gevent.Timeout(), block=False)
    lock.release()
    assert second.get(timeout=5) is True
    assert first.value is not True
    assert lock.holder is second
    lock.release()
    assert not lock.locked()


def test_who_is_killed_while_it_waits_leaves_the_line() -> None:
    """The next in line gets the lock."""
    lock = Lock()
    lock.acquire()
    first = gevent.spawn(lock.acquire)
    waiting(lock, 1)
    first.kill()
    waiting(lock, 0)
    lock.release()
    assert lock.acquire(False) is True


def test_it_says_who_holds_it() -> None:
    """The holder and its hub, also right after it was handed on."""
    hub, lock = get_hub(), Lock()
    lock.acquire()
    assert (lock.holder, lock.holder_hub) == (getcurrent(), hub)


def test_a_release_between_the_look_and_the_wait_is_seen() -> None:
    """Code that joins the list right after the holder looked at it finds the lock free."""
    lock = Lock()
    lock.acquire()
    lock._waiting = Interleaved(before=lock.release)
    assert lock.acquire(timeout=5) is True


def test_a_release_between_joining_and_the_second_look_is_seen() -> None:
    """Code that is in the list when the holder looks is handed the lock, and does not miss that."""
    lock = Lock()
    lock.acquire()
    lock._waiting = Interleaved(after=lock.release)
    assert lock.acquire(timeout=5) is True
    assert lock.locked()


def test_code_that_joins_while_it_is_set_free_is_not_forgotten() -> None:
    """It finds the lock locked, or the code that releases the lock finds it in the list."""
    lock = Lock()
    lock.acquire()
    late: list[gevent.Greenlet[..., bool]] = []

    class Late(WaitingList):
        def __bool__(self) -> bool:
            if not late and not lock._native.locked():
                late.append(gevent.spawn(lock.acquire))
                gevent.sleep(0)  # it joins between the two steps of release()
            return len(self) > 0

    lock._waiting = Late()
    lock.release()
    assert late[0].get(timeout=5) is True
    assert lock.locked()


def test_a_loop_that_computes_keeps_no_other_thread_waiting() -> None:
    """A greenlet of it is first in the list; the lock goes to a thread that can take it."""
    lock = Lock()
    lock.acquire()
    computing, enough = threading.Event(), threading.Event()

    def compute() -> None:
        gevent.spawn(lock.acquire)
        gevent.sleep(0.01)
        waiting(lock, 1)
        computing.set()
        enough.wait(30)  # its event loop does not run

    busy = threading.Thread(target=compute)
    busy.start()
    assert computing.wait(30)
    other = NativeThread(lock.acquire)
    waiting(lock, 2)
    lock.release()
    try:
        assert other.get(timeout=10) is True
    finally:
        enough.set()
        busy.join()


def test_a_waiter_whose_thread_has_ended_is_passed_over() -> None:
    """A greenlet that a native thread left waiting never runs again."""
    lock = Lock()
    lock.acquire()

    def leave_one_waiting() -> None:
        gevent.spawn(lock.acquire)
        gevent.sleep(0.01)

    thread = threading.Thread(target=leave_one_waiting)
    thread.start()
    thread.join()
    waiting(lock, 1)
    second = gevent.spawn(lock.acquire)
    gevent.sleep(0)  # it waits
    lock.release()
    assert second.get(timeout=5) is True


def test_it_is_re_entrant_for_one_greenlet_only() -> None:
    """An RLock counts its owner's calls; nobody else may release it."""
    lock = RLock()
    with lock, lock:
        assert lock.acquire(False)
        lock.release()
        assert gevent.spawn(lock.acquire, False).get() is False
        assert NativeThread(lock.acquire, False).get() is False
        with pytest.raises(RuntimeError):
            NativeThread(lock.release).get()
    assert not lock.locked()


@pytest.mark.parametrize("make", [Lock, RLock])
def test_a_condition_works_with_it(make: Make) -> None:
    """threading.Condition, which asks a re-entrant lock for more than its interface."""
    condition = threading.Condition(make())
    with condition:
        assert condition.wait(0.01) is False
        condition.notify_all()
    assert condition.acquire(False)


@pytest.mark.parametrize("seed", range(3))
def test_no_two_hold_it_and_nobody_waits_for_ever(seed: int) -> None:
    """Native threads and greenlets that acquire, time out and are killed at random."""
    lock, inside, wrong = Lock(), list[object](), list[object]()
    acquired = [0]

    def work(chance: random.Random) -> None:
        for _ in range(150):
            if lock.acquire(timeout=chance.choice([-1, 0.0, 0.0005])):
                try:
                    inside.append(getcurrent())
                    gevent.sleep(0)
                    wrong.extend(inside[:-1])
                    acquired[0] += 1
                finally:
                    inside.pop()
                    lock.release()

    def workers(number: int, kind: Callable[..., Any]) -> list[Any]:
        return [kind(work, random.Random(f"{seed} {kind} {n}")) for n in range(number)]

    native, greenlets = workers(4, NativeThread), workers(20, gevent.spawn)
    chance = random.Random(seed)
    for victim in chance.sample(greenlets, 10):
        gevent.sleep(chance.random() * 0.01)
        victim.kill()
    outcomes(native + greenlets)
    assert wrong == []
    assert acquired[0] > 0
    assert lock.acquire(False)
    assert " 0 waiting" in repr(lock)


@pytest.mark.parametrize("arguments", [(False, 5), (True, -5)])
@pytest.mark.parametrize("kind", [Lock, RLock, threading.Lock, threading.RLock])
def test_a_lock_refuses_what_a_lock_of_threading_refuses(kind: Any, arguments: Any) -> None:
    """A time-out without waiting, and one of less than no time."""
    lock = kind()
    with pytest.raises(ValueError, match="timeout"):
        lock.acquire(*arguments)
    assert lock.acquire(blocking=False)

"""The helper thread: when it is there, and when it calls."""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from math import inf
from types import SimpleNamespace
from typing import Any

import pytest

from kazoo_gevent_patch.heartbeats import helper as module
from kazoo_gevent_patch.heartbeats.helper import Helper
from tests.support import wait_until

FAR_OFF = 1000.0


class Thing:
    """Something to attend to every so many seconds."""

    def __init__(self, seconds: float = FAR_OFF) -> None:
        self.seconds = seconds
        self.times: list[float] = []

    def attend(self) -> float:
        self.times.append(time.monotonic())
        return self.seconds

    def is_attended(self) -> bool:
        return bool(self.times)


def native_threads() -> set[str]:
    return set(os.listdir("/proc/self/task"))


@pytest.fixture
def helper() -> Iterator[Helper]:
    """Give a helper of its own, whose thread ends with the test."""
    helper = Helper()
    yield helper
    helper.pause()


@pytest.fixture
def threads(helper: Helper) -> Callable[[], int]:
    """Give what counts the native threads that there are more than before."""
    before = native_threads()
    return lambda: len(native_threads() - before)


def test_there_is_one_thread_however_much_there_is_to_attend_to(
    helper: Helper, threads: Callable[[], int]
) -> None:
    """From the first thing to the last one."""
    assert threads() == 0
    things = [Thing() for _ in range(500)]
    for thing in things:
        helper.add(thing, FAR_OFF)
    wait_until(things[0].is_attended)
    assert threads() == 1
    for thing in things:
        helper.remove(thing)
    wait_until(lambda: threads() == 0)


def test_it_calls_when_it_is_to(helper: Helper) -> None:
    """In as many seconds as it was told the last time, and no sooner."""
    thing = Thing(0.05)
    helper.add(thing, 0.05)
    wait_until(lambda: len(thing.times) > 5)
    # What is added may wake the thread one time too many.
    assert min(later - earlier for earlier, later in pairwise(thing.times[1:])) >= 0.049


def test_what_comes_later_and_is_due_sooner_wakes_the_thread(helper: Helper) -> None:
    """And what is due after it would wake anyway does not."""
    first, later, sooner = Thing(FAR_OFF), Thing(FAR_OFF), Thing(FAR_OFF)
    helper.add(first, FAR_OFF)
    wait_until(lambda: helper._wakes_at < time.monotonic() + 2 * FAR_OFF)
    helper.add(later, 2 * FAR_OFF)
    assert not later.is_attended()
    helper.add(sooner, 0.0)
    wait_until(sooner.is_attended)
    assert later.is_attended()


def test_what_is_attended_to_already_wakes_nobody(
    helper: Helper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each client that starts adds what answers ``inspect``; the thread goes on sleeping."""
    rings: list[None] = []
    monkeypatch.setattr(helper, "_ring", lambda: rings.append(None))
    thing = Thing()
    helper.add(thing, 0.0)
    wait_until(lambda: helper._wakes_at < inf)
    before = len(rings)
    helper.add(thing, 0.0)
    assert len(rings) == before
    helper.add(Thing(), 0.0)
    assert len(rings) == before + 1
    monkeypatch.undo()  # the fixture ends the thread


def test_what_is_removed_while_it_is_added_again_is_attended_to(helper: Helper) -> None:
    """Two threads, each with a client: one stops while the other starts."""
    thing, other = Thing(), Thing()

    class Attended(set[Any]):
        def add(self, reference: Any) -> None:
            helper.remove(thing)
            looks = len(other.times)
            helper._ring()
            wait_until(lambda: len(other.times) > looks and helper._wakes_at < inf)
            super().add(reference)

    helper.add(other, 0.0)
    helper.add(thing, 0.0)
    wait_until(lambda: thing.times and helper._wakes_at < inf)
    before = len(thing.times)
    helper._attended = Attended(helper._attended)
    helper.add(thing, 0.0)
    wait_until(lambda: len(thing.times) > before, 20.0)


def test_nothing_is_kept_alive(helper: Helper, threads: Callable[[], int]) -> None:
    """What nobody else holds is not attended to, and the thread ends when it next wakes."""
    thing = Thing(0.01)
    helper.add(thing, 0.01)
    wait_until(thing.is_attended)
    del thing
    gc.collect()
    wait_until(lambda: threads() == 0)


def test_a_pause_ends_the_thread_and_waits_for_it(
    helper: Helper, threads: Callable[[], int]
) -> None:
    """When it returns, the kernel knows no such thread; there is one again after the last."""
    thing = Thing(0.0001)
    for _ in range(100):
        helper.add(thing, 0.0)
        helper.pause()
        assert threads() == 0
        helper.pause()
        helper.resume()
        helper.add(thing, 0.0)
        assert threads() == 0
        helper.resume()
        assert threads() == 1


def test_threads_that_add_at_once_start_one(helper: Helper, threads: Callable[[], int]) -> None:
    """Whoever takes the arguments out starts the thread."""
    for _ in range(20):
        things = [Thing() for _ in range(8)]
        gate = threading.Barrier(len(things))

        def add(thing: Thing, gate: threading.Barrier = gate) -> None:
            gate.wait(10)
            helper.add(thing, FAR_OFF)

        adders = [threading.Thread(target=add, args=(thing,)) for thing in things]
        for adder in adders:
            adder.start()
        for adder in adders:
            adder.join(10)
        wait_until(lambda: threads() == 1 and helper._wakes_at < inf)
        assert any(thing.is_attended() for thing in things)
        for thing in things:
            helper.remove(thing)
        wait_until(lambda: threads() == 0)


def test_what_is_added_while_the_thread_ends_is_attended_to(helper: Helper) -> None:
    """It finds that there still is a thread, which starts another as its last act."""
    late = Thing()

    class AddingFirst(list[tuple[()]]):
        """Has something added before the thread says that it has ended."""

        def append(self, arguments: tuple[()]) -> None:
            helper.add(late, FAR_OFF)
            super().append(arguments)

    helper._free = AddingFirst(helper._free)
    first = Thing()
    helper.add(first, FAR_OFF)
    wait_until(first.is_attended)
    helper.remove(first)
    wait_until(late.is_attended)
    helper._free = []  # what would add once more


def test_where_no_thread_can_be_started_a_warning_says_so(
    helper: Helper, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is tried again with the next session."""

    def start(function: object, arguments: object) -> None:
        raise RuntimeError("can't start new thread")

    first, second = Thing(), Thing()
    with monkeypatch.context() as patch:
        patch.setattr(module, "_start_new_thread", start)
        helper.add(first, FAR_OFF)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "can't start new thread" in record.getMessage()
    helper.add(second, FAR_OFF)
    wait_until(first.is_attended)


def test_a_child_has_a_thread_of_its_own_when_it_needs_one() -> None:
    """The parent has its own again; at the fork there is none."""
    before = native_threads()
    helper, thing = module.helper, Thing()
    helper.add(thing, FAR_OFF)
    wait_until(thing.is_attended)
    assert len(native_threads() - before) == 1
    pid = os.fork()
    if not pid:
        alone = len(native_threads())
        own = Thing()
        helper.add(own, FAR_OFF)
        wait_until(own.is_attended)
        helper.remove(own)
        wait_until(lambda: len(native_threads()) == 1)
        os._exit(alone)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    assert len(native_threads() - before) == 1
    helper.remove(thing)
    wait_until(lambda: not native_threads() - before)


def test_signals_are_blocked_only_to_start_the_thread(
    helper: Helper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a system call, and more work in Python than to connect a client."""
    calls: list[int] = []

    def count(how: int, mask: object) -> object:
        calls.append(how)
        return signal.pthread_sigmask(how, mask)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_signal", SimpleNamespace(pthread_sigmask=count))
    things = [Thing() for _ in range(50)]
    for thing in things:
        helper.add(thing, FAR_OFF)
    assert calls == [signal.SIG_BLOCK, signal.SIG_BLOCK, signal.SIG_SETMASK]


def test_an_exception_of_a_signal_leaves_no_signal_blocked(
    helper: Helper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its handler may run as soon as the others are blocked."""

    def set_and_raise(how: int, mask: object) -> object:
        before = signal.pthread_sigmask(how, mask)  # type: ignore[arg-type]
        if how == signal.SIG_BLOCK and mask:
            raise KeyboardInterrupt
        return before

    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    monkeypatch.setattr(module, "_signal", SimpleNamespace(pthread_sigmask=set_and_raise))
    with pytest.raises(KeyboardInterrupt):
        helper.add(Thing(), FAR_OFF)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before

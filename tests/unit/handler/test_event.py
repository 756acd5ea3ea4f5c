"""``Event``, shared by greenlets and native threads."""

from __future__ import annotations

import random
import sys
from functools import partial
from types import FrameType
from typing import Any

import gevent
import gevent.event
import pytest

from kazoo_gevent_patch.handler.event import Event
from tests.interleaving import Interleaved
from tests.native import NativeThread, outcomes
from tests.support import wait_until


def test_it_is_an_event_as_threading_and_gevent_have_it() -> None:
    """set, clear, is_set, wait, and what only gevent's has."""
    event = Event()
    assert isinstance(event, gevent.event.Event)
    assert not any([event.is_set(), event.isSet(), event.ready()])
    assert event.wait(0.01) is False
    assert event.wait(-1) is False
    event.set()
    assert event.is_set()
    assert event.isSet()
    assert event.ready()
    assert event.wait() is True
    event.clear()
    assert not event.is_set()


def _all_wait(event: Event) -> bool:
    return event.linkcount() == 2


def test_whoever_sets_it_wakes_greenlets_and_native_threads() -> None:
    """From a greenlet and from a native thread without an event loop."""
    for set_by in (gevent.spawn, NativeThread):
        event = Event()
        workers: list[Any] = [gevent.spawn(event.wait), NativeThread(event.wait)]
        wait_until(partial(_all_wait, event), sleep=gevent.sleep)
        set_by(event.set)
        assert outcomes(workers) == [True, True]
        assert event.linkcount() == 0


def test_who_waits_learns_of_a_set_that_was_cleared_at_once() -> None:
    """As with threading's: wait returns True for a set during the wait."""
    event = Event()
    workers: list[Any] = [gevent.spawn(event.wait, 5), NativeThread(event.wait, 5)]
    wait_until(lambda: event.linkcount() == len(workers), sleep=gevent.sleep)
    event.set()
    event.clear()
    assert outcomes(workers) == [True, True]


def test_who_is_killed_or_times_out_leaves_the_line() -> None:
    """Nothing stays behind of a wait that ended early."""
    event = Event()
    greenlet = gevent.spawn(event.wait)
    wait_until(lambda: event.linkcount() == 1, sleep=gevent.sleep)
    greenlet.kill()
    assert event.wait(0.01) is False
    assert event.linkcount() == 0


def test_an_outer_timeout_passes_through() -> None:
    """gevent.Timeout round a wait is raised as it is."""
    mine = gevent.Timeout(0.01)
    with pytest.raises(gevent.Timeout) as caught, mine:
        Event().wait()
    assert caught.value is mine


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_set_on_either_side_of_joining_the_list_is_seen(moment: str) -> None:
    """The two halves of set and of wait, in the orders in which a wake-up could be lost."""
    event = Event()
    event._waiting = Interleaved(**{moment: lambda: NativeThread(event.set).get()})
    assert event.wait(5) is True


def test_gevent_can_wait_for_it_among_others() -> None:
    """gevent.wait, which links a callback of its own, set from a native thread."""
    event, other = Event(), gevent.event.Event()
    gevent.spawn_later(0.01, NativeThread, event.set)
    assert gevent.wait([event, other], timeout=5, count=1) == [event]


def test_a_callback_is_compared_with_callbacks_only() -> None:
    """Not with the places of the greenlets that wait for the event."""

    class Callback:
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            return True

        def __call__(self, _: object) -> None:
            pass

    event = Event()
    waiter = gevent.spawn(event.wait)
    wait_until(event.waiters, sleep=gevent.sleep)
    event.unlink(Callback())
    event.set()
    assert waiter.get(timeout=5)


def test_a_linked_callback_is_called_once_in_the_linkers_event_loop() -> None:
    """Set before or after; unlinked, it is not called."""
    event, seen = Event(), list[object]()

    def callback(about: object) -> None:
        seen.append((about, gevent.getcurrent()))

    event.rawlink(callback)
    event.unlink(callback)
    event.rawlink(callback)
    NativeThread(event.set).get()
    wait_until(lambda: seen, sleep=gevent.sleep)
    assert seen == [(event, gevent.get_hub())]
    event.rawlink(callback)
    wait_until(lambda: len(seen) > 1, sleep=gevent.sleep)
    assert seen == [(event, gevent.get_hub())] * 2


@pytest.mark.parametrize("seed", range(3))
def test_no_wake_up_is_lost_under_load(seed: int) -> None:
    """Pairs that wake each other in turn, across threads, with timers in between."""

    def play(mine: Event, theirs: Event, chance: random.Random) -> int:
        rounds = 0
        for _ in range(100):
            while not mine.wait(chance.choice([None, 0.001])):
                pass
            mine.clear()
            theirs.set()
            rounds += 1
        return rounds

    workers: list[Any] = []
    for pair in range(6):
        ping, pong = Event(), Event()
        for number, (mine, theirs) in enumerate([(ping, pong), (pong, ping)]):
            kind = NativeThread if (pair + number) % 2 else gevent.spawn
            workers.append(kind(play, mine, theirs, random.Random(f"{seed} {pair} {number}")))
        ping.set()
    assert outcomes(workers) == [100] * 12


def test_a_link_does_not_set_an_event_again_that_another_thread_has_cleared() -> None:
    """It is cleared when the link has found it set, and before the callback is called."""
    event, called = Event(), list[object]()
    event.set()

    def clear(frame: FrameType, happens: str, _: object) -> Any:
        # The last line of the method is what it does when it has found the event set.
        if frame.f_code is Event.rawlink.__code__ and happens == "line":
            lines = [line for *_, line in frame.f_code.co_lines() if line is not None]
            if frame.f_lineno == max(lines):
                event.clear()
        return clear

    before = sys.gettrace()
    sys.settrace(clear)
    try:
        event.rawlink(called.append)
    finally:
        sys.settrace(before)
    assert not event.is_set()
    gevent.sleep(0)
    assert called == [event]

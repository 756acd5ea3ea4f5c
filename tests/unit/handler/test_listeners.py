"""The queue of what state listeners have to hear: who waits for whom."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import gevent
import pytest
from gevent import GreenletExit, getcurrent

from kazoo_gevent_patch.handler.event import Event
from kazoo_gevent_patch.handler.listeners import ListenerQueue
from tests.native import NativeThread
from tests.support import wait_until


@pytest.fixture
def queue() -> Iterator[ListenerQueue]:
    """Give a queue whose greenlet ends with the test."""
    queue = ListenerQueue()
    yield queue
    queue.end()


def in_hub(function: Callable[[], object]) -> None:
    """Call the function in the hub."""
    done = Event()

    def run() -> None:
        function()
        done.set()

    gevent.get_hub().loop.run_callback(run)
    assert done.wait(10)


def hear(queue: ListenerQueue, calls: list[Callable[[], object]]) -> None:
    """Have the queue make the calls of a state."""
    queue.run(lambda: calls)


PLACES: dict[str, Callable[[Callable[[], object]], object]] = {
    "the main greenlet": lambda function: function(),
    "a greenlet": lambda function: gevent.spawn(function).get(timeout=10),
    "the hub": in_hub,
    "a native thread": lambda function: NativeThread(function).get(10),
}


@pytest.mark.parametrize("place", PLACES)
def test_what_does_not_wait_has_run_before_anybody_else_goes_on(
    queue: ListenerQueue, place: str
) -> None:
    """Also who was in the loop's queue first; over and over."""
    seen: list[str] = []

    def run() -> None:
        for number in range(3):
            gevent.get_hub().loop.run_callback(seen.append, "another")
            hear(queue, [partial(seen.append, f"{number} {name}") for name in "ab"])
            assert seen == [f"{number} a", f"{number} b"]
            if place != "the hub":
                gevent.sleep(0)
            seen.clear()

    PLACES[place](run)


@pytest.mark.parametrize("place", ["the main greenlet", "a greenlet", "the hub"])
def test_as_soon_as_one_waits_the_caller_goes_on(queue: ListenerQueue, place: str) -> None:
    """What comes behind it keeps its turn, and so does what is put later."""
    seen: list[object] = []
    go_on = Event()

    def wait() -> None:
        seen.append("waits")
        assert go_on.wait(10)
        seen.append("waited")

    def run() -> None:
        hear(queue, [wait, partial(seen.append, "next")])
        assert seen == ["waits"]
        hear(queue, [partial(seen.append, "later")])
        assert seen == ["waits"]

    PLACES[place](run)
    assert not queue.join(0.01)
    go_on.set()
    assert queue.join(10)
    assert seen == ["waits", "waited", "next", "later"]


def test_one_greenlet_runs_them_all_until_the_end(queue: ListenerQueue) -> None:
    """It is the same after one has waited; after the end it is gone, and another comes."""
    greenlets: list[Any] = []

    def note(wait: bool) -> None:
        greenlets.append(getcurrent())
        if wait:
            gevent.sleep(0.001)

    for wait in (False, True, False):
        hear(queue, [partial(note, wait)])
        assert queue.join(10)
    assert len(set(greenlets)) == 1
    queue.end()
    gone = weakref.ref(greenlets[0])
    wait_until(greenlets[0].ready, sleep=gevent.sleep)
    greenlets.clear()
    wait_until(lambda: gc.collect() >= 0 and gone() is None, sleep=gevent.sleep)
    hear(queue, [partial(note, False)])
    assert len(greenlets) == 1


def test_an_end_that_is_overtaken_by_more_is_none(queue: ListenerQueue) -> None:
    """The client is started again before the loop has come to ending the greenlet."""
    seen: list[object] = []
    go_on = Event()
    hear(queue, [partial(seen.append, getcurrent)])
    queue.end()
    hear(queue, [lambda: go_on.wait(10), partial(seen.append, "ran")])
    gevent.sleep(0.01)  # the loop comes to it while the greenlet waits
    go_on.set()
    assert queue.join(10)
    assert seen[-1] == "ran"


@pytest.mark.parametrize("error", [GreenletExit, gevent.Timeout])
def test_one_that_raises_what_ends_a_greenlet_takes_no_other_with_it(
    queue: ListenerQueue, error: type[BaseException]
) -> None:
    """Those behind it run, and those that come later."""
    seen: list[str] = []

    def leave() -> None:
        raise error

    gevent.get_hub().exception_stream = None
    try:
        hear(queue, [leave, partial(seen.append, "behind")])
        assert queue.join(10)
    finally:
        del gevent.get_hub().exception_stream
    hear(queue, [partial(seen.append, "later")])
    assert seen == ["behind", "later"]


@pytest.mark.parametrize("when", ["parked", "in a listener"])
def test_a_greenlet_that_is_killed_is_replaced(queue: ListenerQueue, when: str) -> None:
    """As gevent.killall does with all that it finds; nothing that waits for its turn is lost."""
    greenlets: list[Any] = []
    seen: list[str] = []
    hear(queue, [lambda: greenlets.append(getcurrent())])
    if when == "in a listener":
        hear(queue, [lambda: gevent.sleep(30), partial(seen.append, "behind")])
    greenlets[0].kill(timeout=10)
    hear(queue, [partial(seen.append, "later")])
    assert queue.join(10)
    assert seen == (["later"] if when == "parked" else ["behind", "later"])


def test_a_caller_that_is_killed_takes_nothing_with_it(queue: ListenerQueue) -> None:
    """The connection greenlet, while a listener waits: the listener goes on, and so do others."""
    seen: list[str] = []
    go_on = Event()
    caller: Any = gevent.spawn(
        lambda: hear(queue, [lambda: go_on.wait(10), partial(seen.append, "behind")])
    )
    # The kill comes in the very turn of the loop in which the caller would go on.
    gevent.get_hub().loop.run_callback(partial(caller.kill, block=False))
    caller.join(10)
    go_on.set()
    assert queue.join(10)
    assert seen == ["behind"]


def test_a_listener_that_joins_does_not_wait_for_itself(queue: ListenerQueue) -> None:
    """stop() in a listener."""
    joined: list[bool] = []
    hear(queue, [lambda: joined.append(queue.join(10))])
    assert joined == [True]


def test_more_from_inside_a_listener_comes_in_turn(queue: ListenerQueue) -> None:
    """A listener that changes the state itself."""
    seen: list[str] = []

    def change() -> None:
        hear(queue, [partial(seen.append, "third")])
        seen.append("first")

    hear(queue, [change, partial(seen.append, "second")])
    assert seen == ["first", "second", "third"]

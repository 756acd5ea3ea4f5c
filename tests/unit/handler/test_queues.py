"""``Queue``, shared by greenlets and native threads."""

from __future__ import annotations

import queue as queue_module
from collections.abc import Callable
from queue import Empty
from typing import Any

import gevent
import pytest

from kazoo_gevent_patch.handler.queues import Queue
from tests.interleaving import Interleaved
from tests.native import NativeThread, outcomes

KINDS: list[Callable[..., Any]] = [NativeThread, gevent.spawn]


def test_it_is_first_in_first_out() -> None:
    """put, get, empty, qsize, and Empty at once or in time."""
    queue = Queue()
    for number in range(3):
        queue.put(number)
    assert (queue.qsize(), queue.empty()) == (3, False)
    assert [queue.get(), queue.get(timeout=1), queue.get_nowait()] == [0, 1, 2]
    for impatient in (queue.get_nowait, lambda: queue.get(timeout=0.01)):
        with pytest.raises(Empty):
            impatient()
    assert queue.empty()


def test_each_item_reaches_one_of_those_that_wait() -> None:
    """Native threads and greenlets on both ends, some of them killed while they wait."""
    queue, taken = Queue(), list[int]()

    def take(_: int) -> None:
        for _ in range(50):
            taken.append(queue.get(timeout=20))

    def put(start: int) -> None:
        for number in range(start, start + 100):
            queue.put(number)
            gevent.sleep(0)

    victims = [gevent.spawn(lambda: taken.append(queue.get())) for _ in range(5)]
    takers: list[Any] = [kind(take, 0) for kind in KINDS * 4]
    gevent.sleep(0.01)  # they wait, or are about to
    gevent.killall(victims, block=False)
    outcomes([*takers, *(kind(put, n * 100) for n, kind in enumerate(KINDS * 2))])
    assert sorted(taken) == list(range(400))


def test_who_is_woken_and_killed_at_once_wakes_the_next() -> None:
    """The item is not left while somebody waits for it."""
    queue = Queue()
    first, second = gevent.spawn(queue.get), gevent.spawn(queue.get)
    gevent.sleep(0.01)  # both wait
    first.kill(block=False)  # on its way when the item comes, and first to arrive
    queue.put("item")
    assert second.get(timeout=5) == "item"


def test_an_item_that_comes_before_the_place_in_the_list_is_seen() -> None:
    """Code that joins the list looks for an item afterwards."""
    queue = Queue()
    queue._waiting = Interleaved(before=NativeThread(queue.put, "item").get)
    assert queue.get(timeout=5) == "item"


def test_code_that_takes_one_item_after_the_other_lets_the_loop_run() -> None:
    """As the worker of a TreeCache does, while a large tree is read."""
    queue, timers = Queue(), list[int]()
    for _ in range(1_000_000):
        queue.put(timers)
    timer = gevent.spawn_later(0.001, timers.append, 1)
    while not queue.get(timeout=1):
        pass
    timer.join()
    assert not queue.empty()
    queue.get_nowait()


def test_what_must_not_wait_takes_an_item_at_once() -> None:
    """In the event loop itself, and where no time is given, whatever came before."""
    queue, taken = Queue(), list[int]()
    for number in range(5):
        queue.put(number)
    queue.get()  # from here on this greenlet is the one that took the last item
    gevent.sleep(0.01)
    queue._slice.ends = 0.0
    ran = gevent.spawn(taken.append, -1)
    taken += [queue.get_nowait(), queue.get(timeout=0)]
    loop: Any = gevent.get_hub().loop
    loop.run_callback(lambda: taken.extend([queue.get(), queue.get()]))
    ran.join()
    gevent.sleep(0.01)
    assert taken == [1, 2, -1, 3, 4]


def test_a_wait_of_less_than_no_time_is_refused() -> None:
    """As queue.Queue refuses it."""
    queues: tuple[Any, ...] = Queue(), queue_module.Queue()
    for queue in queues:
        with pytest.raises(ValueError, match="non-negative"):
            queue.get(timeout=-1)

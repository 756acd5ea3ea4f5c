"""Nobody who does much keeps the event loop from everybody else for long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from time import monotonic, perf_counter
from typing import Any

import gevent
from kazoo.client import KazooClient

from kazoo_gevent_patch.changes.protocol import ATTEMPT, LONGEST_QUEUE, _next_attempt
from kazoo_gevent_patch.wire.pace import FEWEST
from tests.server.conftest import MakeClient

MANY = 100
WORK = 0.001


class Turns:
    """Counts the turns of this thread's event loop: a timer rings once in each."""

    def __init__(self) -> None:
        self.number = 0
        self._counter = gevent.spawn(self._count)

    def _count(self) -> None:
        while True:
            gevent.sleep(1e-9)
            self.number += 1

    def close(self) -> None:
        self._counter.kill()


def work() -> None:
    """Compute for a while."""
    end = perf_counter() + WORK
    while perf_counter() < end:
        pass


def test_greenlets_that_work_after_their_replies_go_on_a_few_at_a_time(
    patched_client: KazooClient,
) -> None:
    """With kazoo's gevent handler it is one in each turn of the loop. Here it was half of them."""
    turns, worked = Turns(), Counter[int]()

    def get_and_work() -> None:
        for _ in range(10):
            patched_client.get("/")
            worked[turns.number] += 1
            work()

    gevent.joinall([gevent.spawn(get_and_work) for _ in range(MANY)], raise_error=True)
    turns.close()
    assert sum(worked.values()) == MANY * 10
    assert max(worked.values()) <= 4 * FEWEST  # the timers of libuv ring in every other turn


def test_clients_that_connect_at_once_take_turns(make_patched_client: MakeClient) -> None:
    """Else a turn of the loop has the work of all of them in it."""
    attempts: list[float] = []

    def noting(connect: Callable[..., Any], **kwargs: Any) -> Any:
        attempts.append(perf_counter())
        return connect(**kwargs)

    clients = [make_patched_client(start=False) for _ in range(MANY)]
    for client in clients:
        client.handler.create_connection = partial(noting, client.handler.create_connection)
    for connected in [client.start_async() for client in clients]:
        assert connected.wait(20)
    assert attempts[-1] - attempts[0] > (MANY - 5) * ATTEMPT


def test_a_clock_that_was_set_forward_keeps_nobody_waiting(
    make_patched_client: MakeClient,
) -> None:
    """A test that freezes the time leaves the turns of attempts to connect far in the future."""
    _next_attempt[0] = monotonic() + 1000 * LONGEST_QUEUE
    client = make_patched_client(start=False)
    client.start(timeout=10)
    assert client.connected


def test_turns_grow_when_the_work_is_short(patched_client: KazooClient) -> None:
    """A herd that works for long makes them short; what comes later is not slowed by that."""

    def get(work: Callable[[], object]) -> None:
        for _ in range(20):
            patched_client.get("/")
            work()

    pace = patched_client.handler.selector.slice
    gevent.joinall([gevent.spawn(get, work) for _ in range(MANY)], raise_error=True)
    assert pace._most <= 2 * FEWEST
    gevent.joinall([gevent.spawn(get, bool) for _ in range(MANY)], raise_error=True)
    assert pace._most > 2 * FEWEST

"""Nobody who does much keeps the event loop from everybody else for long."""

from __future__ import annotations

from collections import Counter
from time import perf_counter
from typing import Any

import gevent
from kazoo.client import KazooClient

from kazoo_gevent_patch import SequentialGeventHandler
from kazoo_gevent_patch.changes.protocol import ATTEMPT
from tests.server.conftest import MakeClient

MANY = 100
WORK = 0.001


class Turns:
    """Counts the turns of this thread's event loop."""

    def __init__(self) -> None:
        self.number = 0
        loop: Any = gevent.get_hub().loop
        self._watcher = loop.prepare()
        self._watcher.start(self._count)

    def _count(self) -> None:
        self.number += 1

    def close(self) -> None:
        self._watcher.close()


def work() -> None:
    """Compute for a while."""
    end = perf_counter() + WORK
    while perf_counter() < end:
        pass


def test_greenlets_that_work_after_their_replies_go_on_a_few_at_a_time(
    patched_client: KazooClient,
) -> None:
    """With kazoo's gevent handler it is one in each turn of the loop; it was half of them here."""
    turns, worked = Turns(), Counter[int]()

    def get_and_work() -> None:
        for _ in range(10):
            patched_client.get("/")
            worked[turns.number] += 1
            work()

    gevent.joinall([gevent.spawn(get_and_work) for _ in range(MANY)], raise_error=True)
    turns.close()
    assert sum(worked.values()) == MANY * 10
    assert max(worked.values()) < MANY // 4
    assert sum(worked.values()) / len(worked) < 6


class Noting(SequentialGeventHandler):
    """Notes when each attempt to connect begins."""

    attempts: list[float]

    def create_connection(self, *args: Any, **kwargs: Any) -> Any:
        self.attempts.append(perf_counter())
        return super().create_connection(*args, **kwargs)


def test_clients_that_connect_at_once_take_turns(make_patched_client: MakeClient) -> None:
    """Else a turn of the loop has the work of all of them in it."""
    attempts: list[float] = []
    handlers = [Noting() for _ in range(MANY)]
    for handler in handlers:
        handler.attempts = attempts
    clients = [make_patched_client(start=False, handler=handler) for handler in handlers]
    for connected in [client.start_async() for client in clients]:
        assert connected.wait(20)
    assert attempts[-1] - attempts[0] > (MANY - 5) * ATTEMPT

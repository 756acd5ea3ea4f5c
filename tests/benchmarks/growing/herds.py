"""Recipes of kazoo that many want something of at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from kazoo.client import KazooClient

from tests.benchmarks.bare import BareClient
from tests.benchmarks.growing.sizes import PATIENCE, Work, at_once, new_node
from tests.benchmarks.jobs import DATA, Job
from tests.benchmarks.kazoo_clients import started

_CONSUMERS: Final = 20
_SETTLED: Final = 0.5
"""Seconds without a change after which a partitioner takes its members for complete."""

_SHARES: Final = 2
"""Parts of the set for each member."""


@contextmanager
def lock(client: Any, job: Job, size: int) -> Iterator[Work]:
    """Have many greenlets of one client take one lock, in turn."""
    path = new_node(job, "lock")
    client.create(path)

    def contend() -> None:
        with client.Lock(path):
            pass

    def work() -> dict[str, float]:
        at_once(client, size, contend)
        return {"units": size}

    yield work


@contextmanager
def locking_queue(client: Any, job: Job, size: int) -> Iterator[Work]:
    """Have each of 20 consumers of one client take an item of a queue of so many."""
    path = new_node(job, "queue")
    entries = [f"{path}/entries/entry-100-{number:010}" for number in range(size)]
    with BareClient(job.hosts) as bare:
        bare.create_many([path, f"{path}/taken", f"{path}/entries", *entries], DATA)

    def consume() -> None:
        queue = client.LockingQueue(path)
        assert queue.get(PATIENCE) == DATA
        assert queue.consume()

    def work() -> dict[str, float]:
        at_once(client, _CONSUMERS, consume)
        return {"units": _CONSUMERS}

    yield work


@contextmanager
def partitioner(client: Any, job: Job, size: int) -> Iterator[Work]:
    """Have so many members, each with a client, divide a set among them."""
    path = new_node(job, "partitioner")
    parts = tuple(f"part-{number:04}" for number in range(size * _SHARES))
    with ExitStack() as running:
        clients = [running.enter_context(started(job.hosts)) for _ in range(size)]
        waiting = list(enumerate(clients))
        taken: list[str] = []

        def join() -> None:
            number, own = waiting.pop()
            taken.extend(_share(own, path, parts, f"member-{number:04}", size))

        def work() -> dict[str, float]:
            at_once(client, size, join)
            assert sorted(taken) == sorted(parts)
            return {"units": size}

        yield work


def _share(
    client: KazooClient, path: str, parts: tuple[str, ...], name: str, members: int
) -> list[str]:
    """Return the parts that a member gets when all members are there."""
    partitioner = client.SetPartitioner(path, set=parts, identifier=name, time_boundary=_SETTLED)
    while True:
        if partitioner.failed:
            raise RuntimeError("a member has failed")
        if partitioner.release:
            partitioner.release_set()
        elif partitioner.acquired:
            share = list(partitioner)
            if len(share) == _SHARES:
                return share
            client.handler.sleep_func(_SETTLED / 10)
        else:
            partitioner.wait_for_acquire(1)

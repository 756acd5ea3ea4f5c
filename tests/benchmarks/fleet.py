"""Many clients in one process: what they cost, and whether they stay connected."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from kazoo.client import KazooClient

from tests.benchmarks.jobs import SESSION_TIMEOUT, Job, batches
from tests.benchmarks.kazoo_clients import started
from tests.benchmarks.measuring import Metrics, Stopwatch, native_threads, resident_kib

_CONNECT_AT_ONCE: Final = 100
_CONNECT_TIMEOUT: Final = 60.0
_SETTLE: Final = 1.0
_STOPPERS: Final = 20


class Fleet:
    """Clients that are connected at the same time."""

    def __init__(self, hosts: str, size: int, spawn: Callable[..., Any], **options: Any) -> None:
        self._clients = [
            KazooClient(hosts, timeout=SESSION_TIMEOUT, **options) for _ in range(size)
        ]
        self._spawn = spawn
        self._changed: list[object] = []

    def connect(self) -> None:
        """Start all, some at once; raise when one does not connect."""
        waiting = iter(self._clients)
        for size in batches(len(self._clients), _CONNECT_AT_ONCE):
            group = [next(waiting) for _ in range(size)]
            for connected in [client.start_async() for client in group]:
                connected.wait(_CONNECT_TIMEOUT)
        for client in self._clients:
            if not client.connected:
                raise TimeoutError(f"a client has not connected in {_CONNECT_TIMEOUT:g} s")
            client.add_listener(self._changed.append)

    def is_mostly_connected(self) -> bool:
        """Return whether at least three of four are connected now."""
        return sum(bool(client.connected) for client in self._clients) >= 0.75 * len(self._clients)

    def kept(self) -> float:
        """Return which part of the clients has been connected without a break."""
        connected = sum(bool(client.connected) for client in self._clients)
        return max(0, connected - len(self._changed)) / len(self._clients)

    def stop(self) -> None:
        """Stop all."""
        waiting = list(self._clients)

        def stop_some() -> None:
            while waiting:
                client = waiting.pop()
                client.stop()
                client.close()

        for stopper in [self._spawn(stop_some) for _ in range(_STOPPERS)]:
            stopper.join()


@contextmanager
def _fleet(job: Job, handler: Any) -> Iterator[Fleet]:
    fleet = Fleet(job.hosts, job.amount, handler.spawn)
    try:
        fleet.connect()
        handler.sleep_func(_SETTLE)
        yield fleet
    finally:
        fleet.stop()


def resources(job: Job) -> Metrics:
    """Measure the threads, the memory and the idle CPU time that connected clients take.

    Memory is above that of the process with one client.
    """
    with started(job.hosts) as first:
        memory = resident_kib()
        with _fleet(job, first.handler) as fleet:
            taken = resident_kib() - memory
            threads = native_threads()
            with Stopwatch() as watch:
                first.handler.sleep_func(job.seconds)
            kept = fleet.kept()
    return {
        "threads": threads,
        "memory": taken / job.amount,
        "idle": 100 * watch.cpu_seconds / watch.seconds,
        "kept": kept,
    }


def hold(job: Job) -> Metrics:
    """Keep clients connected for a while."""
    with started(job.hosts) as first:
        start = time.perf_counter()
        with _fleet(job, first.handler) as fleet:
            connecting = time.perf_counter() - start - _SETTLE
            first.handler.sleep_func(job.seconds)
            kept = fleet.kept()
    return {"kept": kept, "connecting": connecting}


def build(job: Job) -> Metrics:
    """Build clients, and connect none."""
    for _ in range(job.warm_up):
        KazooClient(job.hosts)
    with Stopwatch() as watch:
        clients = [KazooClient(job.hosts) for _ in range(job.amount)]
    return watch.metrics(len(clients))

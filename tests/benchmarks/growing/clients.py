"""Many clients in one process: they come and go, lose their server, and do nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.fleet import Fleet
from tests.benchmarks.growing.sizes import PATIENCE, Work, growing
from tests.benchmarks.jobs import SESSION_TIMEOUT, Job
from tests.benchmarks.kazoo_clients import started
from tests.benchmarks.measuring import Metrics, peak_kib, resident_kib
from tests.benchmarks.servers import QUEUE
from tests.support import wait_until
from tests.zookeeper import ZooKeeper

_SETTLE: Final = 1.0
_RETRY: Final = {"max_tries": -1, "max_delay": 0.5}
"""How each client of a storm tries again: soon, so that the wait hides nothing."""

_STALL: Final = SESSION_TIMEOUT / 2


@contextmanager
def connecting(client: Any, job: Job, size: int) -> Iterator[Work]:
    """Connect many clients, some at once, and stop them."""
    fleet = Fleet(job.hosts, size, client.handler.spawn)

    def work() -> dict[str, float]:
        fleet.connect()
        fleet.stop()
        return {"units": size}

    yield work


@contextmanager
def life_cycles(client: Any, job: Job, size: int) -> Iterator[Work]:
    """Build a client, start it and stop it, one after the other."""

    def work() -> dict[str, float]:
        for _ in range(size):
            with started(job.hosts):
                pass
        return {"units": size}

    yield work


def storm(job: Job) -> Metrics:
    """Let a server of our own crash and start again under many clients."""
    with ZooKeeper(extra_config=QUEUE) as server:
        scenario = partial(_storm, server)
        measure = growing(scenario, ticks=False, warms_up=False)
        return measure(job._replace(hosts=server.hosts))


@contextmanager
def _storm(server: ZooKeeper, client: Any, job: Job, size: int) -> Iterator[Work]:
    before = resident_kib()
    fleet = Fleet(job.hosts, size, client.handler.spawn, connection_retry=dict(_RETRY))
    fleet.connect()
    client.handler.sleep_func(_SETTLE)
    # The kernel notes the most memory from here on.
    Path("/proc/self/clear_refs").write_text("5")

    def work() -> dict[str, float]:
        server.kill()
        server.start()
        start = time.perf_counter()
        # Not for the last one: in most of its starts ZooKeeper 3.8 leaves some of the first
        # clients without an answer, whatever their handler. They try again after a time-out.
        wait_until(fleet.is_mostly_connected, PATIENCE, client.handler.sleep_func)
        back = time.perf_counter() - start
        return {"units": size, "back": back, "peak": (peak_kib() - before) / size}

    try:
        yield work
    finally:
        fleet.stop()


@contextmanager
def idle(client: Any, job: Job, size: int) -> Iterator[Work]:
    """Keep many clients that do nothing; of the largest size, stand still, and fork."""
    before = resident_kib()
    watchers = _active_watchers()
    fleet = Fleet(job.hosts, size, client.handler.spawn)
    try:
        fleet.connect()
        client.handler.sleep_func(_SETTLE)
        told = {
            "units": size * job.seconds,
            "memory": (resident_kib() - before) / size,
            "watchers": (_active_watchers() - watchers) / size,
        }

        def work() -> dict[str, float]:
            client.handler.sleep_func(job.seconds)
            return told

        yield work
        if size == job.amount:
            told["stall"] = _cpu_of_a_stall(client) / size
            told["fork"] = fork()
            told["kept"] = fleet.kept()
    finally:
        fleet.stop()


def _active_watchers() -> int:
    from gevent import get_hub

    loop: Any = get_hub().loop
    return int(loop.activecnt)


def _cpu_of_a_stall(client: Any) -> float:
    """Stand still for half a session time-out; return microseconds of CPU until it is judged."""
    from gevent.monkey import get_original

    used = -time.process_time()
    get_original("time", "sleep")(_STALL)
    client.handler.sleep_func(_SETTLE)
    return (used + time.process_time()) * 1e6


def fork() -> float:
    """Return how many milliseconds a fork takes until the child goes on."""
    from gevent.monkey import get_original

    reading, writing = os.pipe()
    start = time.perf_counter()
    child = os.fork()
    if not child:
        try:
            os.write(writing, f"{time.perf_counter() - start}".encode())
        finally:
            os._exit(0)
    os.close(writing)  # so that a child that ends without a word is no wait for ever
    took = os.read(reading, 100)
    os.close(reading)
    # gevent's waitpid waits for SIGCHLD, which gevent listens to only from its first child on: the
    # signal of a child that ends before its parent has gone on is lost, and waitpid never returns.
    get_original("os", "waitpid")(child, 0)
    return float(took) * 1e3

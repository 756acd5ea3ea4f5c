"""How late another greenlet, or thread, of the process is while a client is busy.

kazoo's own handlers issue reads no faster than the server answers them. So they never have many
reads in flight, and only the flood compares them with this package.
"""

from __future__ import annotations

import gc
import uuid
from collections.abc import Callable, Iterable
from time import perf_counter, process_time
from typing import Any, Final

from tests.benchmarks.jobs import READS_WHILE_TICKING, Job, batches
from tests.benchmarks.kazoo_clients import started
from tests.benchmarks.measuring import Metrics, Stopwatch, quantile
from tests.support import wait_until

TICK: Final = 0.002
"""Seconds between two ticks."""

WATCHES: Final = 500
_WATCH_TIMEOUT: Final = 10.0


class Ticker:
    """Sleeps over and over, in a greenlet or thread of its own, and notes how late it wakes up.

    It does so in ``with`` blocks, of which there may be several. While Python's garbage
    collector looks for cycles, nothing else in the process runs, so the ticker times the
    collections too. It also notes how late the process itself made it: without the
    collections, and at most the CPU time of the process, because the machine may be busy.
    """

    def __init__(self, handler: Any) -> None:
        self._handler = handler
        self._goes_on = False
        self._late: list[float] = []
        self._own: list[float] = []
        self._collections = [0.0]
        self._due = 0.0
        self._collected_since = 0.0
        """Seconds of collections since the ticker was due."""

    def __enter__(self) -> Ticker:
        self._goes_on = True
        gc.callbacks.append(self._on_collection)
        self._worker = self._handler.spawn(self._tick)
        self._handler.sleep_func(2 * TICK)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._goes_on = False
        self._worker.join()
        gc.callbacks.remove(self._on_collection)

    def _tick(self) -> None:
        sleep = self._handler.sleep_func
        while self._goes_on:
            self._due = perf_counter() + TICK
            self._collected_since = 0.0
            used = -process_time()
            sleep(TICK)
            late = perf_counter() - self._due
            used += process_time()
            self._late.append(late)
            self._own.append(max(min(late, used) - self._collected_since, 0))

    def _on_collection(self, phase: str, info: object) -> None:
        if phase == "start":
            self._began = perf_counter()
        else:
            now = perf_counter()
            self._collections.append(now - self._began)
            self._collected_since += max(now - max(self._began, self._due), 0)

    def metrics(self) -> Metrics:
        """Return milliseconds: late at the 99th percentile, and at most; the same by the
        process's own doing; the longest collection."""
        return {
            "p99": quantile(self._late, 0.99) * 1e3,
            "worst": max(self._late) * 1e3,
            "own p99": quantile(self._own, 0.99) * 1e3,
            "own": max(self._own) * 1e3,
            "collecting": max(self._collections) * 1e3,
        }


def draining(job: Job, **options: Any) -> Metrics:
    """Tick while reads that are in flight are answered."""
    with started(job.hosts, **options) as client:
        ticker = Ticker(client.handler)
        with Stopwatch() as watch:
            for size in batches(job.amount, READS_WHILE_TICKING):
                _drain(client, job, size, ticker)
    return ticker.metrics() | watch.metrics(job.amount)


def draining_tls(job: Job) -> Metrics:
    """Tick while reads that are in flight are answered over TLS."""
    return draining(job, use_ssl=True, verify_certs=False)


def flooding(job: Job) -> Metrics:
    """Tick while a loop issues the reads, without a pause, and while they are answered."""
    issuing: list[float] = []
    with started(job.hosts) as client, Stopwatch() as watch, Ticker(client.handler) as ticker:
        for size in batches(job.amount, READS_WHILE_TICKING):
            start = perf_counter()
            reads = _issue(client, job, size)
            issuing.append(perf_counter() - start)
            _wait_for(reads)
    return ticker.metrics() | watch.metrics(job.amount) | {"issuing": max(issuing) * 1e3}


def watches(job: Job) -> Metrics:
    """Tick while reads are answered and many watches fire at once."""
    fired: list[object] = []
    with started(job.hosts) as client, started(job.hosts) as owner:
        paths = _create_ephemerals(owner, f"{job.root}/watches-{uuid.uuid4().hex}")
        _wait_for([client.get_async(path, watch=fired.append) for path in paths])
        ticker = Ticker(client.handler)
        with Stopwatch() as watch:
            # The nodes go with the session, all at once.
            _drain(client, job, job.amount, ticker, meanwhile=owner.stop)
        wait_until(lambda: len(fired) == WATCHES, _WATCH_TIMEOUT, client.handler.sleep_func)
    return ticker.metrics() | watch.metrics(job.amount)


def _create_ephemerals(client: Any, parent: str) -> list[str]:
    client.create(parent)
    paths = [f"{parent}/{i}" for i in range(WATCHES)]
    _wait_for([client.create_async(path, ephemeral=True) for path in paths])
    return paths


def _drain(
    client: Any,
    job: Job,
    amount: int,
    ticker: Ticker,
    meanwhile: Callable[[], object] | None = None,
) -> None:
    reads = _issue(client, job, amount)
    with ticker:
        if meanwhile is not None:
            meanwhile()
        _wait_for(reads)


def _issue(client: Any, job: Job, amount: int) -> list[Any]:
    return [client.get_async(job.node) for _ in range(amount)]


def _wait_for(results: Iterable[Any]) -> None:
    for result in results:
        result.get()

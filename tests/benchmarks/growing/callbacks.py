"""Callbacks: of results, and of watches that come at a steady pace."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any, Final

from tests.benchmarks.bare import BareClient
from tests.benchmarks.growing.sizes import PATIENCE, Work, wait_for
from tests.benchmarks.growing.trees import flat
from tests.benchmarks.jobs import DATA, IN_FLIGHT, Job, batches
from tests.benchmarks.measuring import quantile
from tests.support import wait_until

_WRITES_AT_ONCE: Final = 8


@contextmanager
def results(client: Any, job: Job, size: int) -> Iterator[Work]:
    """Link a callback to each of many results."""
    left = 0
    all_called = client.handler.event_object()

    def called(result: Any) -> None:
        nonlocal left
        left -= 1  # callbacks run one at a time
        if not left:
            all_called.set()

    def work() -> dict[str, float]:
        nonlocal left
        for amount in batches(size, IN_FLIGHT):
            all_called.clear()
            left = amount
            for _ in range(amount):
                client.get_async(job.node).rawlink(called)
            wait_for(all_called, "all callbacks have been called")
        return {"units": size}

    yield work


@contextmanager
def paced_watches(client: Any, job: Job, size: int) -> Iterator[Work]:
    """Have so many watches fire a second; the callback of each makes a request, and waits for it.

    What makes them fire is a bare socket in the same process.
    """
    events = int(size * job.seconds)
    written: deque[float] = deque()
    lags: list[float] = []
    paths = flat(job, "paced", events)

    def on_event(event: Any) -> None:
        client.get(event.path)
        lags.append(perf_counter() - written.popleft())

    for result in [client.get_async(path, watch=on_event) for path in paths]:
        result.get()

    def write() -> None:
        start = perf_counter()
        with BareClient(job.hosts) as bare:
            for first in range(0, events, _WRITES_AT_ONCE):
                client.handler.sleep_func(max(0, start + first / size - perf_counter()))
                some = paths[first : first + _WRITES_AT_ONCE]
                written.extend([perf_counter()] * len(some))
                bare.set_each(some, DATA)

    def work() -> dict[str, float]:
        writer = client.handler.spawn(write)
        writer.join()
        wait_until(lambda: len(lags) == events, PATIENCE, client.handler.sleep_func)
        return {"units": events, "lag": quantile(lags, 0.99) * 1e3}

    yield work

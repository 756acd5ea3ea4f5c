"""A crowd of greenlets that share one client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from time import perf_counter
from typing import Any

from tests.benchmarks.growing.sizes import Work, at_once
from tests.benchmarks.jobs import Job
from tests.benchmarks.measuring import quantile


@contextmanager
def sharing(client: Any, job: Job, size: int) -> Iterator[Work]:
    """Have so many greenlets, or threads, read one node after another for a while."""
    waits: list[float] = []

    def work() -> dict[str, float]:
        end = perf_counter() + job.seconds

        def read() -> None:
            now = perf_counter()
            while now < end:
                client.get(job.node)
                before, now = now, perf_counter()
                waits.append(now - before)

        at_once(client, size, read)
        return {
            "units": len(waits),
            "p50": median(waits) * 1e3,
            "p99": quantile(waits, 0.99) * 1e3,
            "p99.9": quantile(waits, 0.999) * 1e3,
            "unfair": max(waits) / median(waits),
        }

    yield work

"""Whether an operation costs more when more of them are in flight."""

from __future__ import annotations

from collections.abc import Callable

from tests.benchmarks.jobs import FEW_IN_FLIGHT, MANY_IN_FLIGHT, Job, batches
from tests.benchmarks.measuring import Metrics, Stopwatch


def metrics(job: Job, get_many: Callable[[int], object]) -> Metrics:
    """Compare the CPU time of a read among few and among many that are in flight at once."""
    get_many(job.warm_up)
    few = _cpu(get_many, job.amount, FEW_IN_FLIGHT)
    many = _cpu(get_many, job.amount, MANY_IN_FLIGHT)
    return {"cpu few": few, "cpu": many, "growth": many / few}


def _cpu(get_many: Callable[[int], object], amount: int, at_once: int) -> float:
    with Stopwatch() as watch:
        for size in batches(amount, at_once):
            get_many(size)
    return watch.metrics(amount)["cpu"]

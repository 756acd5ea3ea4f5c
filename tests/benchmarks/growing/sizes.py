"""Does a workload at each size, and tells what one unit of it costs there."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Final

from tests.benchmarks.fairness import Ticker
from tests.benchmarks.jobs import Job
from tests.benchmarks.kazoo_clients import started
from tests.benchmarks.measuring import Metrics, Stopwatch

DOUBLINGS: Final = 3
PATIENCE: Final = 100.0
"""Seconds that a part of a workload waits for another one."""

_LATENESS: Final = {"late": "p99", "own": "own p99"}

Work = Callable[[], Metrics]
"""Does what is measured. Returns ``units``, and what else there is to tell of this size."""

Scenario = Callable[[Any, Job, int], AbstractContextManager[Work]]
"""Prepares the work of a size for a client, and clears up after it."""


def sizes(largest: int) -> list[int]:
    """Return the sizes, from the smallest to the largest."""
    return [max(1, largest >> doublings) for doublings in range(DOUBLINGS, -1, -1)]


def new_node(job: Job, kind: str) -> str:
    """Return the path of a node that nobody else has."""
    return f"{job.root}/{kind}-{uuid.uuid4().hex}"


def growing(
    scenario: Scenario, *, ticks: bool = True, warms_up: bool = True
) -> Callable[[Job], Metrics]:
    """Return what measures the scenario at all sizes.

    It yields microseconds a unit, of the clock and of the CPU, at the largest size, and how many
    times the CPU time of the smallest size that is; and the two figures of each size.

    :param ticks: whether a 2 ms ticker runs meanwhile, whose lateness is measured.
    :param warms_up: whether the smallest size is done once before it is measured.
    """
    return partial(_measured, scenario, ticks, warms_up)


def _measured(scenario: Scenario, ticks: bool, warms_up: bool, job: Job) -> Metrics:
    of_size: dict[int, Metrics] = {}
    with started(job.hosts) as client:
        steps = sizes(job.amount)
        if warms_up:
            with scenario(client, job, steps[0]) as work:
                work()
        for size in steps:
            of_size[size] = _at(scenario, client, job, size, ticks)
    series = {
        f"{name} at {size}": metrics[name]
        for size, metrics in of_size.items()
        for name in ("wall", "cpu")
    }
    first, last = of_size[steps[0]], of_size[steps[-1]]
    return {**last, "growth": last["cpu"] / max(first["cpu"], 0.1), **series}


def _at(scenario: Scenario, client: Any, job: Job, size: int, ticks: bool) -> Metrics:
    ticker = Ticker(client.handler) if ticks else None
    with scenario(client, job, size) as work, Stopwatch() as watch, ticker or nullcontext():
        told = work()
    units = told.pop("units")
    of_ticks = ticker.metrics() if ticker else {}
    return {
        "wall": watch.seconds / units * 1e6,
        "cpu": watch.cpu_seconds / units * 1e6,
        **{name: of_ticks[metric] for name, metric in _LATENESS.items() if of_ticks},
        **told,
    }


def wait_for(event: Any, what: str) -> None:
    """Wait until an event of a handler is set."""
    event.wait(PATIENCE)
    if not event.is_set():
        raise TimeoutError(f"{what}: not within {PATIENCE:g} s")


def at_once(client: Any, amount: int, do: Callable[[], None]) -> None:
    """Call the function so many times, each time in a greenlet, or a thread, of its own.

    Raises what the first one raised that failed.
    """
    failures: list[BaseException] = []

    def attempt() -> None:
        try:
            do()
        except BaseException as error:
            failures.append(error)

    workers = [client.handler.spawn(attempt) for _ in range(amount)]
    for worker in workers:
        worker.join()
    if failures:
        raise failures[0]

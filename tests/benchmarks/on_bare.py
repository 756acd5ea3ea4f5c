"""The workloads on the bare socket."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from tests.benchmarks import growth
from tests.benchmarks.bare import BareClient
from tests.benchmarks.jobs import DATA, IN_FLIGHT, LARGE_DATA, Job, batches
from tests.benchmarks.measuring import Metrics, Stopwatch

_Work = Callable[[BareClient, Job, int], None]


def _get(client: BareClient, job: Job, amount: int) -> None:
    for _ in range(amount):
        client.get(job.node)


def _set(client: BareClient, job: Job, amount: int) -> None:
    for _ in range(amount):
        client.set(job.node, DATA)


def _flight(client: BareClient, job: Job, amount: int) -> None:
    for size in batches(amount, IN_FLIGHT):
        client.get_many(job.node, size)


def _read_large(client: BareClient, job: Job, amount: int) -> None:
    for _ in range(amount):
        client.get(job.large_node)


def _write_large(client: BareClient, job: Job, amount: int) -> None:
    for _ in range(amount):
        client.set(job.large_node, LARGE_DATA)


def _measured(work: _Work, job: Job) -> Metrics:
    with BareClient(job.hosts) as client:
        work(client, job, job.warm_up)
        with Stopwatch() as watch:
            work(client, job, job.amount)
    return watch.metrics(job.amount)


def _growth(job: Job) -> Metrics:
    with BareClient(job.hosts) as client:
        return growth.metrics(job, partial(client.get_many, job.node))


WORK: Final[Mapping[str, Callable[[Job], Metrics]]] = {
    "get": partial(_measured, _get),
    "set": partial(_measured, _set),
    "flight": partial(_measured, _flight),
    "read large": partial(_measured, _read_large),
    "write large": partial(_measured, _write_large),
    "growth": _growth,
}

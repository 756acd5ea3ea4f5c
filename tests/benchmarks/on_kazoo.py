"""The workloads on a kazoo client, the same code for each of its handlers."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from tests.benchmarks import fairness, fleet, growth
from tests.benchmarks.growing import callbacks, clients, crowds, herds, trees
from tests.benchmarks.growing.sizes import growing
from tests.benchmarks.jobs import DATA, GETTERS, IN_FLIGHT, LARGE_DATA, Job, batches
from tests.benchmarks.kazoo_clients import started
from tests.benchmarks.measuring import Metrics, Stopwatch

_Work = Callable[[Any, Job, int], None]


def _get(client: Any, job: Job, amount: int) -> None:
    for _ in range(amount):
        client.get(job.node)


def _set(client: Any, job: Job, amount: int) -> None:
    for _ in range(amount):
        client.set(job.node, DATA)


def _getters(client: Any, job: Job, amount: int) -> None:
    each = max(1, amount // GETTERS)
    workers = [client.handler.spawn(_get, client, job, each) for _ in range(GETTERS)]
    for worker in workers:
        worker.join()


def _get_many(client: Any, job: Job, amount: int) -> None:
    results = [client.get_async(job.node) for _ in range(amount)]
    for result in results:
        result.get()


def _flight(client: Any, job: Job, amount: int) -> None:
    for size in batches(amount, IN_FLIGHT):
        _get_many(client, job, size)


def _create(client: Any, job: Job, amount: int) -> None:
    top = f"{job.root}/create-{uuid.uuid4().hex}"
    client.create(top)
    results = [client.create_async(f"{top}/{i}/leaf", makepath=True) for i in range(amount)]
    for result in results:
        result.get()


def _read_large(client: Any, job: Job, amount: int) -> None:
    for _ in range(amount):
        client.get(job.large_node)


def _write_large(client: Any, job: Job, amount: int) -> None:
    for _ in range(amount):
        client.set(job.large_node, LARGE_DATA)


def _measured(work: _Work, job: Job) -> Metrics:
    with started(job.hosts) as client:
        work(client, job, job.warm_up)
        with Stopwatch() as watch:
            work(client, job, job.amount)
    return watch.metrics(job.amount)


def _growth(job: Job) -> Metrics:
    with started(job.hosts) as client:
        return growth.metrics(job, partial(_get_many, client, job))


WORK: Final[Mapping[str, Callable[[Job], Metrics]]] = {
    "get": partial(_measured, _get),
    "set": partial(_measured, _set),
    "getters": partial(_measured, _getters),
    "flight": partial(_measured, _flight),
    "create": partial(_measured, _create),
    "read large": partial(_measured, _read_large),
    "write large": partial(_measured, _write_large),
    "growth": _growth,
    "draining": fairness.draining,
    "flooding": fairness.flooding,
    "watches": fairness.watches,
    "draining tls": fairness.draining_tls,
    "fleet": fleet.resources,
    "hold": fleet.hold,
    "build": fleet.build,
    "tree cache": growing(trees.tree_cache),
    "watches set again": growing(trees.watches),
    "data watches": growing(trees.data_watches),
    "children": growing(trees.children),
    "connecting": growing(clients.connecting),
    "life cycles": growing(clients.life_cycles),
    "lock": growing(herds.lock),
    "locking queue": growing(herds.locking_queue),
    "partitioner": growing(herds.partitioner, warms_up=False),
    "callbacks": growing(callbacks.results),
    "paced watches": growing(callbacks.paced_watches),
    "sharing": growing(crowds.sharing),
    "storm": clients.storm,
    "idle": growing(clients.idle, ticks=False, warms_up=False),
}

"""The workloads on aiozk: a task for each greenlet, thread or request of the others."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

import aiozk
from aiozk.exc import NoNode

from tests.benchmarks.jobs import (
    DATA,
    GETTERS,
    IN_FLIGHT,
    LARGE_DATA,
    SESSION_TIMEOUT,
    Job,
    batches,
)
from tests.benchmarks.measuring import Metrics, Stopwatch

_Work = Callable[[Any, Job, int], Awaitable[None]]
_ANY_VERSION: Final = -1


async def _get(client: Any, job: Job, amount: int) -> None:
    for _ in range(amount):
        await client.get(job.node)


async def _set(client: Any, job: Job, amount: int) -> None:
    for _ in range(amount):
        await client.set(job.node, DATA, _ANY_VERSION)


async def _getters(client: Any, job: Job, amount: int) -> None:
    each = max(1, amount // GETTERS)
    await asyncio.gather(*(_get(client, job, each) for _ in range(GETTERS)))


async def _flight(client: Any, job: Job, amount: int) -> None:
    for size in batches(amount, IN_FLIGHT):
        await asyncio.gather(*(client.get(job.node) for _ in range(size)))


async def _create(client: Any, job: Job, amount: int) -> None:
    top = f"{job.root}/create-{uuid.uuid4().hex}"
    await client.create(top)
    await asyncio.gather(*(_create_with_parents(client, f"{top}/{i}") for i in range(amount)))


async def _create_with_parents(client: Any, parent: str) -> None:
    """Do what kazoo's ``makepath`` does."""
    try:
        await client.create(f"{parent}/leaf", b"")
    except NoNode:
        await client.ensure_path(parent)
        await client.create(f"{parent}/leaf", b"")


async def _read_large(client: Any, job: Job, amount: int) -> None:
    for _ in range(amount):
        await client.get(job.large_node)


async def _write_large(client: Any, job: Job, amount: int) -> None:
    for _ in range(amount):
        await client.set(job.large_node, LARGE_DATA, _ANY_VERSION)


async def _measured(work: _Work, job: Job) -> Metrics:
    client = aiozk.ZKClient(job.hosts, session_timeout=SESSION_TIMEOUT)
    await client.start()
    try:
        await work(client, job, job.warm_up)
        with Stopwatch() as watch:
            await work(client, job, job.amount)
    finally:
        await client.close()
    return watch.metrics(job.amount)


def _run(work: _Work, job: Job) -> Metrics:
    return asyncio.run(_measured(work, job))


WORK: Final[Mapping[str, Callable[[Job], Metrics]]] = {
    "get": partial(_run, _get),
    "set": partial(_run, _set),
    "getters": partial(_run, _getters),
    "flight": partial(_run, _flight),
    "create": partial(_run, _create),
    "read large": partial(_run, _read_large),
    "write large": partial(_run, _write_large),
}

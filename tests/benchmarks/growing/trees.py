"""Many nodes: caches of them, lists of them, watches on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from kazoo.protocol.connection import _CONNECTION_DROP
from kazoo.protocol.states import EventType
from kazoo.recipe.cache import TreeCache, TreeEvent

from tests.benchmarks.bare import BareClient
from tests.benchmarks.growing.sizes import PATIENCE, Work, new_node, wait_for
from tests.benchmarks.jobs import DATA, Job
from tests.support import wait_until

_FAN_OUT: Final = 100
_LISTINGS: Final = 5


def _make(job: Job, paths: Sequence[str]) -> None:
    with BareClient(job.hosts) as bare:
        bare.create_many(paths, DATA)


def flat(job: Job, kind: str, size: int) -> list[str]:
    """Make a node with so many children, and return their paths."""
    top = new_node(job, kind)
    paths = [f"{top}/{number}" for number in range(size)]
    _make(job, [top, *paths])
    return paths


@contextmanager
def tree_cache(client: Any, job: Job, size: int) -> Iterator[Work]:
    """Fill a ``TreeCache``."""
    top = new_node(job, "tree")
    branches = [f"{top}/{number}" for number in range(max(1, size // _FAN_OUT))]
    leaves = [f"{branches[number % len(branches)]}/{number}" for number in range(size)]
    _make(job, [top, *branches, *leaves])
    cache = TreeCache(client, top)
    filled = client.handler.event_object()

    def listen(event: Any) -> None:
        if event.event_type == TreeEvent.INITIALIZED:
            filled.set()

    def work() -> dict[str, float]:
        cache.listen(listen)
        cache.start()
        wait_for(filled, "the cache is filled")
        return {"units": size}

    try:
        yield work
    finally:
        cache.close()


@contextmanager
def children(client: Any, job: Job, size: int) -> Iterator[Work]:
    """List the children of a node over and over."""
    top = f"{job.root}/children-{size}"
    if client.exists(top) is None:  # all contenders list the same
        _make(job, [top, *(f"{top}/child-{number:08}" for number in range(size))])

    def work() -> dict[str, float]:
        for _ in range(_LISTINGS):
            assert len(client.get_children(top)) == size
        return {"units": size * _LISTINGS}

    yield work


class _Watcher:
    """Watches nodes, and sets each watch again when the connection was lost."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.set_again: list[Any] = []
        self.fired = 0

    def watch(self, path: str) -> Any:
        return self._client.get_async(path, watch=self._on_event)

    def _on_event(self, event: Any) -> None:
        if event.type == EventType.NONE:
            self.set_again.append(event)
        else:
            self.fired += 1


@contextmanager
def watches(client: Any, job: Job, size: int) -> Iterator[Work]:
    """Lose the connection, set all watches again, and have all of them fire."""
    paths = flat(job, "watched", size)
    watcher = _Watcher(client)
    sleep = client.handler.sleep_func
    for result in [watcher.watch(path) for path in paths]:
        result.get()

    def work() -> dict[str, float]:
        client._call(_CONNECTION_DROP, client.handler.async_result())
        wait_until(lambda: len(watcher.set_again) == size, PATIENCE, sleep)
        wait_until(lambda: client.connected, PATIENCE, sleep)
        for result in [watcher.watch(path) for path in paths]:
            result.get()
        with BareClient(job.hosts) as bare:
            bare.set_each(paths, DATA)
        wait_until(lambda: watcher.fired == size, PATIENCE, sleep)
        return {"units": size}

    yield work


@contextmanager
def data_watches(client: Any, job: Job, size: int) -> Iterator[Work]:
    """Have each of many ``DataWatch`` see a change."""
    paths = flat(job, "data", size)
    seen: list[Any] = []
    for path in paths:
        client.DataWatch(path, lambda data, stat: seen.append(stat) if stat.version else None)

    def work() -> dict[str, float]:
        with BareClient(job.hosts) as bare:
            bare.set_each(paths, DATA)
        wait_until(lambda: len(seen) >= size, PATIENCE, client.handler.sleep_func)
        return {"units": size}

    yield work

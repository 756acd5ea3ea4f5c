"""Recipes that wait in callbacks and in state listeners, where the default deadlocks.

What a recipe waits for is told by a watch, or by the callback of a result, of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import gevent
import pytest
from kazoo.client import KazooClient
from kazoo.recipe.cache import TreeCache
from kazoo.recipe.watchers import PatientChildrenWatch

from tests.server.conftest import MakeClient
from tests.support import wait_until

Help = Callable[[], object]
"""What another client does when the callback waits."""


def lock(zk: KazooClient, other: KazooClient) -> tuple[Help, Help]:
    """Another client holds the lock."""
    held = other.Lock("/lock")
    held.acquire()
    return partial(_enter, zk.Lock("/lock")), partial(_when_it_watches, zk, "/lock", held.release)


def election(zk: KazooClient, other: KazooClient) -> tuple[Help, Help]:
    """Another client leads."""
    held = other.Lock("/election")
    held.acquire()
    return partial(zk.Election("/election").run, int), partial(
        _when_it_watches, zk, "/election", held.release
    )


def semaphore(zk: KazooClient, other: KazooClient) -> tuple[Help, Help]:
    """Another client has the only lease."""
    held = other.Semaphore("/semaphore")
    held.acquire()
    return partial(_enter, zk.Semaphore("/semaphore")), partial(
        _when_it_watches, zk, "/semaphore", held.release
    )


def barrier(zk: KazooClient, other: KazooClient) -> tuple[Help, Help]:
    """It stands."""
    other.Barrier("/barrier").create()
    remove = other.Barrier("/barrier").remove
    return zk.Barrier("/barrier").wait, partial(_when_it_watches, zk, "/barrier", remove)


def double_barrier(zk: KazooClient, other: KazooClient) -> tuple[Help, Help]:
    """Another client comes, and goes, when this one is there."""
    mine, theirs = (client.DoubleBarrier("/double", 2) for client in (zk, other))

    def enter_and_leave() -> None:
        mine.enter()
        mine.leave()

    def come_and_go() -> None:
        theirs.enter()
        theirs.leave()

    return enter_and_leave, partial(gevent.spawn, come_and_go)


def locking_queue(zk: KazooClient, other: KazooClient) -> tuple[Help, Help]:
    """It is empty."""
    return zk.LockingQueue("/queue").get, partial(other.LockingQueue("/queue").put, b"item")


def patient_watch(zk: KazooClient, other: KazooClient) -> tuple[Help, Help]:
    """A child comes soon after the nodes have settled."""
    zk.ensure_path("/patient")

    def until_something_changes() -> None:
        _, changed = PatientChildrenWatch(zk, "/patient", time_boundary=0.05).start().get()
        changed.get(timeout=20)

    return until_something_changes, partial(gevent.spawn_later, 0.5, other.create, "/patient/child")


def set_partitioner(zk: KazooClient, other: KazooClient) -> tuple[Help, Help]:
    """Another client holds one of the parts."""
    held = other.Lock("/set/locks/a")
    held.acquire()

    def take_part() -> None:
        member = zk.SetPartitioner("/set", ("a", "b"), time_boundary=0.1)
        member.wait_for_acquire(20)
        assert member.acquired
        member.finish()

    return take_part, partial(_when_it_watches, zk, "/set/locks", held.release)


def tree_cache(zk: KazooClient, other: KazooClient) -> tuple[Help, Help]:
    """It follows what another client creates."""
    zk.ensure_path("/tree")

    def follow() -> None:
        cache = TreeCache(zk, "/tree")
        cache.start()
        wait_until(lambda: cache.get_children("/tree"), sleep=gevent.sleep)
        cache.close()

    return follow, partial(gevent.spawn_later, 0.2, other.create, "/tree/child")


def _when_it_watches(zk: KazooClient, path: str, help_it: Help) -> None:
    """Help when the recipe waits for nothing but a watch below the path."""

    def watches() -> bool:
        watched = {**zk._data_watchers, **zk._child_watchers}
        return any(watchers and path in node for node, watchers in watched.items())

    wait_until(watches, sleep=gevent.sleep)
    help_it()


def _enter(recipe: Any) -> None:
    with recipe:
        assert recipe.is_acquired


RECIPES = [
    lock, election, semaphore, barrier, double_barrier, locking_queue, patient_watch,
    set_partitioner, tree_cache,
]  # fmt: skip

PLACES: dict[str, Callable[[KazooClient, Callable[[object], object]], object]] = {
    "a watch callback": lambda zk, go: (zk.exists("/event", watch=go), zk.create("/event")),
    "a callback of a result": lambda zk, go: zk.get_async("/").rawlink(go),
    "a state listener": lambda zk, go: (zk.add_listener(go), zk._connection._socket.shutdown(2)),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_may_wait_anywhere(
    make_patched_client: MakeClient,
    place: str,
    recipe: Callable[[KazooClient, KazooClient], tuple[Help, Help]],
) -> None:
    """It goes on when another client does what it waits for; other callbacks keep their turn."""
    zk, other = make_patched_client(), make_patched_client()
    wait, help_it = recipe(zk, other)
    seen: list[str] = []

    def callback(_: object) -> None:
        if not seen:
            seen.append("begun")
            wait()
            seen.append("ended")

    PLACES[place](zk, callback)
    wait_until(lambda: seen, sleep=gevent.sleep)
    zk.get("/", watch=lambda _: seen.append("the next"))
    if place == "a watch callback":
        other.set("/", b"")
    help_it()
    wait_until(lambda: "ended" in seen, timeout=30, sleep=gevent.sleep)
    if place == "a watch callback":
        wait_until(lambda: len(seen) == 3, sleep=gevent.sleep)
        assert seen == ["begun", "ended", "the next"]

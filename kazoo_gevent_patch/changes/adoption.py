"""Moving a client that was built before ``patch_all()`` to our handler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from gevent.monkey import get_original
from kazoo.retry import KazooRetry

from kazoo_gevent_patch import inventory
from kazoo_gevent_patch.changes import recipes
from kazoo_gevent_patch.changes.retries import aligned
from kazoo_gevent_patch.handler.sequential import SequentialGeventHandler

KAZOOS_OWN: Final = frozenset(
    {
        # KazooClient
        "handler", "_live", "_stopped", "_writer_stopped", "_conn_retry", "_retry",
        # ConnectionHandler
        "connection_closed", "connection_stopped", "ping_outstanding", "retry_sleeper",
        # recipes
        "wake_event", "_run_lock", "children_changed", "_task_queue",
    }
)  # fmt: skip
"""The attributes of kazoo 2.8 to 2.11 that hold what a handler made, or a retry object. An
application may keep events and locks of its own on a subclass; those are not ours to swap."""


def move(client: Any) -> None:
    """Put a client that does not run, and the recipes built on it, on a handler of ours.

    What they hold of the old handler's making (events, locks, queues), and their retry
    objects, are replaced by what the new handler has in their place.
    """
    client.close()  # else it would keep the socket pair of its last session
    old, new = client.handler, SequentialGeventHandler()
    for thing in (client, client._connection, *inventory.recipes_of(client)):
        for name in {*KAZOOS_OWN, recipes.method_lock(thing)} & vars(thing).keys():
            setattr(thing, name, _counterpart(getattr(thing, name), old, new))


def prepare(client: Any) -> None:
    """Have a ``TreeCache`` that is built before the client moves need no change when it does.

    All other recipes that hold what a handler made are remembered when they are built. Our
    queue serves native threads as well.
    """
    client.handler.queue_impl = SequentialGeventHandler.queue_impl


def _counterpart(value: Any, old: Any, new: SequentialGeventHandler) -> Any:
    """Return what takes the place of ``value``: itself, if the old handler did not make it."""
    if value is old:
        return new
    kind = type(value)
    if kind is KazooRetry:
        return aligned(value, new)
    if kind is type(old).queue_impl:
        queue = new.queue_impl()
        while not value.empty():
            queue.put(value.get())
        return queue
    if kind in _kinds("Lock", old.lock_object):
        return new.lock_object()
    if kind in _kinds("Event", old.event_object):
        event = new.event_object()
        if value.is_set():
            event.set()
        return event
    return value


def _kinds(name: str, make: Callable[[], object]) -> tuple[type, type]:
    # gevent's patching replaces the classes: what was made before is of the original ones.
    return type(get_original("threading", name)()), type(make())

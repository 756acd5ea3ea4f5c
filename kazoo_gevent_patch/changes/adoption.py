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
    new = SequentialGeventHandler()
    swap = _Swap(client.handler, new)
    for thing in (client, client._connection, *inventory.recipes_of(client)):
        for name in {*KAZOOS_OWN, recipes.method_lock(thing)} & vars(thing).keys():
            setattr(thing, name, swap.counterpart(getattr(thing, name)))


def prepare(client: Any) -> None:
    """Have a ``TreeCache`` that is built before the client moves need no change when it does.

    All other recipes that hold what a handler made are remembered when they are built. Our
    queue serves native threads as well.
    """
    client.handler.queue_impl = SequentialGeventHandler.queue_impl


class _Swap:
    """Knows what takes the place of each thing that the old handler made."""

    def __init__(self, old: Any, new: SequentialGeventHandler) -> None:
        self._old = old
        self._new = new
        # gevent's patching replaces the classes: what was made before is of the original ones.
        originals = [get_original("threading", name) for name in ("Lock", "Event")]
        made = (old.lock_object, old.event_object)
        kinds = [
            (type(original()), type(make())) for original, make in zip(originals, made, strict=True)
        ]
        self._by_type: list[tuple[tuple[type, ...], Callable[[Any], Any]]] = [
            (kinds[0], lambda _: new.lock_object()),
            (kinds[1], self._event),
            ((type(old).queue_impl,), self._queue),
            ((KazooRetry,), lambda retry: aligned(retry, new)),
        ]

    def counterpart(self, value: Any) -> Any:
        """Return what takes the place of ``value``: itself, if the old handler did not make it."""
        if value is self._old:
            return self._new
        for kinds, convert in self._by_type:
            if type(value) in kinds:
                return convert(value)
        return value

    def _event(self, old: Any) -> Any:
        new = self._new.event_object()
        if old.is_set():
            new.set()
        return new

    def _queue(self, old: Any) -> Any:
        new = self._new.queue_impl()
        while not old.empty():
            new.put(old.get())
        return new

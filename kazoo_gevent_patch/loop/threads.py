"""Native threads: whether one has ended, and what is to be done when it does.

An event loop runs in one native thread. When that has ended, nothing that waited in it ever
goes on, and its ident may be another thread's by then; so each thread that matters has a
record that outlives it.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from typing import Any

from gevent import get_hub
from gevent.hub import Hub
from gevent.monkey import get_original

from kazoo_gevent_patch.loop import forks
from kazoo_gevent_patch.loop.hubs import hub_of_this_thread
from kazoo_gevent_patch.weak import IdentitySet


class NativeThread:
    """The record of a native thread."""

    __slots__ = ("__weakref__", "ended", "hub")

    def __init__(self) -> None:
        self.ended = False
        self.hub: Hub | None = None
        """The hub that was made here for this thread, and ends with it."""


class _Life:
    """Lives as long as its thread: nothing but the thread's own storage holds it."""

    __slots__ = ("__weakref__",)


hooks: list[Callable[[NativeThread], None]] = []
"""What is called in a thread that ends, with its record, once. What one raises is logged."""

log = logging.getLogger("kazoo_gevent_patch")

_storage: Any = get_original("threading", "local")()
_records = IdentitySet()


def this_thread() -> NativeThread:
    """Return the record of the calling native thread."""
    try:
        record: NativeThread = _storage.record
    except AttributeError:
        record = _storage.record = NativeThread()
        _storage.life = _Life()
        _records.add(record)
        # The interpreter's exit ends all threads at once; nobody is left to be told then.
        weakref.finalize(_storage.life, _end, record).atexit = False
    return record


def hub_bound_to_thread() -> Hub:
    """Return the hub of the calling thread; one that is made for it here ends with the thread.

    Nobody else would destroy it: a hub keeps two descriptors open, and when a process has no
    more of them the next hub, of whatever thread, aborts it.
    """
    hub = hub_of_this_thread()
    if hub is None:
        hub = this_thread().hub = get_hub()
    return hub


def _end(record: NativeThread) -> None:
    # In a forked child all threads but one end too; what becomes of their clients there is
    # another matter, which the hooks for a fork see to (kazoo_gevent_patch.changes.forking).
    if record.ended or forks.was_forked():
        return
    record.ended = True
    for hook in hooks:
        try:
            hook(record)
        except Exception:
            log.exception("What lived in a native thread that has ended is left as it is")
    if record.hub is not None and record.hub.loop is not None:
        record.hub.destroy(destroy_loop=True)


def _after_fork_in_child(_: object) -> None:
    """Only the thread that called fork goes on in the child; no hook is told of the others."""
    this = this_thread()
    for record in _records:
        record.ended = record is not this


forks.hooks.append(_after_fork_in_child)

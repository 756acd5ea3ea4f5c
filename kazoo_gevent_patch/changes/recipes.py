"""What the recipes of an inherited client forget in a forked child.

After a lost session the server has deleted a recipe's ephemeral nodes. After a fork they
live on, as the parent's: the child must neither take them for its own nor delete them.
A ``TreeCache`` has no nodes, but a greenlet, which is the parent's too.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any, Final

from gevent import get_hub, getcurrent

from kazoo_gevent_patch import inventory
from kazoo_gevent_patch.changes import sections
from kazoo_gevent_patch.handler.greenlets import HandlerGreenlet

OWNED: Final[dict[str, object]] = {
    "is_acquired": False,  # Lock, Semaphore
    "create_tried": False,  # Lock looks for a node with its prefix only if it tried before
    "participating": False,  # Party, DoubleBarrier
    "processing_element": None,  # LockingQueue
}
"""What a recipe believes of its nodes, and what it believes when it has none."""

LEFT: Final = "_kazoo_gevent_patch_left"
"""The attribute of a recipe with the path of its node in an earlier session, and the greenlet that
held it through that node: a weak reference, or None if the recipe only waited."""

IDENTITIES: Final = ("prefix", "node", "node_name", "id", "create_path")
"""The attributes with the random identity by which a recipe knows its own nodes. It is a UUID, and
begins a node's name. The application may have others, in the path or in attributes of its own."""

_UUID: Final = re.compile("[0-9a-f]{32}")


def remember(
    wrapped: Callable[..., None], recipe: object, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """Remember a recipe from the moment it is built; some wait in their constructors."""
    inventory.recipes.add(recipe)
    wrapped(*args, **kwargs)


def disown(recipe: Any) -> None:
    """Make the recipe forget what its parent process owns, before anybody uses it here."""
    sections.lose(recipe)
    begin_anew(recipe)
    state = vars(recipe)
    state.pop(LEFT, None)  # the parent's to remove
    lock_name = method_lock(recipe)
    if lock_name is not None:
        _disown_acquisition(recipe, lock_name)
    for name, make in (("_run_lock", "lock_object"), ("_state_change", "rlock_object")):
        if name in state:  # always held in a with block: its holder releases the one it took
            state[name] = getattr(recipe._client.handler, make)()
    if "_task_queue" in state:
        _go_on_with_tasks(recipe)


def begin_anew(recipe: Any) -> None:
    """Make the recipe forget its nodes, and take another identity."""
    take_another_identity(recipe)
    if method_lock(recipe) is not None:
        vars(recipe)["node"] = None
    forget(recipe)


def take_another_identity(recipe: Any) -> None:
    """Have the recipe know its nodes by another name from now on."""
    known_by = identity(recipe)
    name = known_by.decode() if isinstance(known_by, bytes) else str(known_by)
    if own := _UUID.match(name.rpartition("/")[2]):
        _rename(vars(recipe), own[0], uuid.uuid4().hex)


def forget(recipe: Any) -> None:
    """Have the recipe own nothing.

    Do this last: another native thread's acquire() goes on as soon as the lock is not acquired.
    """
    state = vars(recipe)
    for name, nothing in OWNED.items():
        if name in state:
            state[name] = nothing


def identity(recipe: object) -> object:
    """Return what the recipe knows its nodes by, which changes last when it begins anew."""
    state = vars(recipe)
    # A LockingQueue has an identity and no path to create; it alone has this other attribute.
    return state.get("id" if "processing_element" in state else "create_path")


def method_lock(recipe: object) -> str | None:
    """Return the name of the lock that a ``Lock`` holds in acquire(); None for other recipes."""
    state = vars(recipe)
    if "_acquire_method_lock" in state:
        return "_acquire_method_lock"
    # Before kazoo 2.10. Only a Lock has the other attribute.
    return "_lock" if {"_lock", "create_tried"} <= state.keys() else None


def _disown_acquisition(lock: Any, name: str) -> None:
    """End an acquire() that was under way at the fork: its node is the parent's."""
    held = getattr(lock, name)
    if not held.locked():
        return
    holder = getattr(held, "holder", None)
    left_behind = getattr(held, "holder_hub", None) is not get_hub()
    if left_behind or (isinstance(holder, HandlerGreenlet) and holder.is_inherited):
        setattr(lock, name, lock.client.handler.lock_object())
    else:
        lock.cancelled = True  # that greenlet goes on here, and gets CancelledError


def _go_on_with_tasks(cache: Any) -> None:
    """Run the tasks of a started ``TreeCache`` here; the first new session reads all anew.

    One greenlet runs them, which is why the cache needs no lock.
    """
    handler = cache._client.handler
    cache._task_queue = handler.queue_impl()
    # A listener of the cache that called fork goes on in the child, and so does its greenlet.
    if cache._state == cache.STATE_STARTED and cache._task_thread is not getcurrent():
        cache._task_thread = handler.spawn(cache._do_background)


def _rename(state: dict[str, Any], old: str, new: str) -> None:
    """Replace the recipe's identity wherever it begins the name of a node."""
    for name in IDENTITIES:
        value = state.get(name)
        if isinstance(value, bytes):
            if value == old.encode():
                state[name] = new.encode()
        elif isinstance(value, str):
            parent, slash, node = value.rpartition("/")
            if node.startswith(old):
                state[name] = parent + slash + new + node.removeprefix(old)

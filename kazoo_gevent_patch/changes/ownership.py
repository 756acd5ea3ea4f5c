"""What a recipe owns belongs to one session, and is lost with it.

kazoo's recipes find "their" node by a random identity that they keep for life. A server may have an
earlier session of the client still, when the client has been told that it has ended: a ``Lock``
then took its node in that session for its own, and believed in it when the server deleted it.

Here an identity belongs to one session. When that ends, and before anybody hears of it, every
recipe that has used its identity takes another one, and owns nothing. A node of the earlier session
is somebody's node, which stands in the way until it is gone. Where the recipe only waited, it
removes that node before it tries again; where it was the holder, the code that held it may not know
yet, and the node stays until that code releases it, or until the server ends the session. A member
of a party or a barrier keeps its name, which others may know: it removes its node in any case.

An attempt is one call of a recipe's inner function, which kazoo repeats after errors. It notes the
identity that it uses when it begins, and looks whether that is still the recipe's when it ends. The
code that ends the session changes the identity first, and then sets the recipe's flags back; the
code that acquires sets the flag first, and then looks at the identity. So one of the two sees the
other, in whatever thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final
from weakref import ref

from gevent import getcurrent
from kazoo.exceptions import KazooException, NoAuthError, NoNodeError
from kazoo.recipe.partitioner import PartitionState
from kazoo.retry import ForceRetryError

from kazoo_gevent_patch import inventory
from kazoo_gevent_patch.changes import forking, sections
from kazoo_gevent_patch.changes.recipes import (
    LEFT,
    OWNED,
    forget,
    identity,
    method_lock,
    take_another_identity,
)
from kazoo_gevent_patch.weak import IdentitySet

log = logging.getLogger("kazoo_gevent_patch")

_USED: Final = "_kazoo_gevent_patch_used"
"""The attribute of a recipe with the identity that it used last, and the greenlet that did."""

_LASTING: Final = "_kazoo_gevent_patch_lasting"
"""The attribute of a ``Lock`` with the identity under which it made a node that is not ephemeral.
Such a node, and so the lock, outlives the session."""

_OWNERS: Final = "_kazoo_gevent_patch_owners"
"""The attribute of a client with the recipes that have ever used an identity."""

_MOST_NAMES: Final = 10
"""How many recipes the line about a lost session names."""

_Args = tuple[Any, ...]
_Kwargs = dict[str, Any]
_Call = Callable[..., Any]


def is_ours(recipe: Any) -> bool:
    """Return whether the client of the recipe is on our handler."""
    return forking.is_ours(recipe.client)


def is_current(recipe: Any) -> bool:
    """Return whether the session in which the recipe was used last has not ended."""
    used = vars(recipe).get(_USED)
    # A subclass may have inner functions of its own, which note nothing.
    return used is None or used[0] == identity(recipe)


def owns(recipe: Any) -> bool:
    """Return whether ``is_current``, and no other greenlet has tried since the current one."""
    used = vars(recipe).get(_USED)
    return used is None or (is_current(recipe) and used[1]() is getcurrent())


def attempt(wrapped: _Call, recipe: Any, args: _Args, kwargs: _Kwargs) -> Any:
    """``_inner_join``, ``_inner_enter``, ``_inner_acquire``: an attempt lies in one session."""
    if not is_ours(recipe) or vars(recipe).get("is_acquired"):
        return wrapped(*args, **kwargs)
    _remove_left(recipe)
    _use(recipe)
    outcome = wrapped(*args, **kwargs)
    if outcome is False or is_current(recipe):
        return outcome
    raise ForceRetryError("The session has ended meanwhile")


def lock_attempt(wrapped: _Call, lock: Any, args: _Args, kwargs: _Kwargs) -> Any:
    """``Lock._inner_acquire``: the same; a node that is not ephemeral outlives the session."""
    if is_ours(lock) and not lock.is_acquired:
        state = vars(lock)
        if LEFT in state and _left(lock) is None:
            # Code in this process held it, and has not released it: as kazoo has it.
            if not kwargs.get("blocking", True):
                return False
            raise ForceRetryError("The code that held it has not released it")
        if not kwargs.get("ephemeral", True):
            state[_LASTING] = identity(lock)
        elif _is_lasting(lock):
            if lock.create_tried and (node := lock._find_node()):
                lock._delete_node(node)  # nothing else ever would
            _begin_anew(lock)  # what an earlier attempt left would count as ephemeral
    return attempt(wrapped, lock, args, kwargs)


def get_predecessor(wrapped: _Call, lock: Any, args: _Args, kwargs: _Kwargs) -> Any:
    """``Lock._get_predecessor``: a node of an earlier session waits for nobody."""
    predecessor = wrapped(*args, **kwargs)
    if not is_ours(lock) or owns(lock):
        return predecessor
    (node,) = (*args, *kwargs.values())
    vars(lock)[LEFT] = f"{lock.path}/{node}", None
    raise ForceRetryError("The session has ended meanwhile")


def inner_release(wrapped: _Call, recipe: Any, args: _Args, kwargs: _Kwargs) -> Any:
    """``_inner_release``: what was lost is not released; it may be somebody else's by now.

    As kazoo has it, anybody may release it for the code that has lost it.
    """
    if is_ours(recipe):
        if sections.has_lost(recipe):
            if _left(recipe) is not None:
                _give_up(recipe)
            return False
        if LEFT in vars(recipe) and not recipe.is_acquired:
            sections.settle(recipe)
            _give_up(recipe)
            return False
    released = wrapped(*args, **kwargs)
    if released:
        vars(recipe).pop(_LASTING, None)
    return released


def inner_leave(wrapped: _Call, recipe: Any, args: _Args, kwargs: _Kwargs) -> Any:
    """``_inner_leave``: a membership that was lost is not left; nothing of others is touched."""
    if is_ours(recipe) and LEFT in vars(recipe):
        _give_up(recipe)
        return False
    return wrapped(*args, **kwargs)


def take(wrapped: _Call, queue: Any, args: _Args, kwargs: _Kwargs) -> Any:
    """``LockingQueue._take``: notes in which session."""
    if is_ours(queue):
        _use(queue)
    return wrapped(*args, **kwargs)


def allocate(wrapped: _Call, partitioner: Any, args: _Args, kwargs: _Kwargs) -> Any:
    """``SetPartitioner._allocate_transition``: one that has failed meanwhile keeps no locks."""
    client = partitioner._client
    ours = forking.is_ours(client)
    if ours:
        _owners(client).add(partitioner)
    wrapped(*args, **kwargs)
    if ours and partitioner.failed:
        for lock in list(partitioner._locks):  # which stay there for finish()
            with suppress(KazooException):
                lock.release()


def lose_all(client: Any) -> None:
    """Have the recipes of a client forget what they owned in its session, which has ended."""
    lost = []
    for recipe in vars(client).get(_OWNERS, ()):
        try:
            if _lose(recipe):
                lost.append(_name(recipe))
        except Exception:
            log.exception("%s does not know that its session has ended", _name(recipe))
    if not lost:
        return
    named = ", ".join(sorted(lost)[:_MOST_NAMES])
    more = f" and {len(lost) - _MOST_NAMES} more" if len(lost) > _MOST_NAMES else ""
    # After stop() nobody is surprised.
    level = logging.WARNING if inventory.is_running(client) else logging.INFO
    log.log(
        level,
        "Session 0x%x of %s has ended, and with it: %s%s",
        client._session_id or 0,
        inventory.describe(client),
        named,
        more,
    )


def _lose(recipe: Any) -> bool:
    """Have a recipe forget what it owned; return whether that was more than an attempt."""
    state = vars(recipe)
    if "_state_change" in state:
        return _fail(recipe)
    if is_current(recipe) and not _is_lasting(recipe):
        held = any(
            state[name] != nothing
            for name, nothing in OWNED.items()
            if name in state and name != "create_tried"
        )
        _begin_anew(recipe)
        return held
    return False


def _fail(partitioner: Any) -> bool:
    """Have a ``SetPartitioner`` fail, as it does itself when it hears ``LOST``.

    It would do so in a greenlet, which begins after the application's listeners have heard.
    """
    had = bool(partitioner.acquired)
    if not partitioner.failed:
        with partitioner._state_change:
            partitioner._set_state(PartitionState.FAILURE)
    return had


def _begin_anew(recipe: Any) -> None:
    state = vars(recipe)
    holder = sections.lose(recipe)
    path, node = state.get("create_path"), state.get("node")  # a LockingQueue has neither
    if method_lock(recipe) is not None:
        path = node and f"{recipe.path}/{node}"
    if path:
        state[LEFT] = path, holder
    if "participating" in state:
        # Its name is for life: the application may know it. No other attempt is current.
        state[_USED] = None, ref(getcurrent())
    else:
        take_another_identity(recipe)
    if method_lock(recipe) is not None:
        state["node"] = node  # code that still counts on it may read its number
    # Another thread may have acquired it between the two.
    late = sections.lose(recipe)
    if late is not None and path:
        state[LEFT] = path, late
    forget(recipe)


def _use(recipe: Any) -> None:
    _owners(recipe.client).add(recipe)
    # From here on the end of the session changes the identity.
    vars(recipe)[_USED] = identity(recipe), ref(getcurrent())


def _owners(client: Any) -> IdentitySet:
    owners: IdentitySet = vars(client).setdefault(_OWNERS, IdentitySet())
    return owners


def _remove_left(recipe: Any) -> None:
    """Delete the recipe's node in an earlier session, unless code may still count on it."""
    left = _left(recipe)
    if left is None:
        return
    try:
        recipe.client.delete(left)
    except NoNodeError:
        pass
    except NoAuthError:  # the client may only make nodes; this one ends with its session
        if "participating" in vars(recipe):
            take_another_identity(recipe)
    vars(recipe).pop(LEFT, None)


def _give_up(recipe: Any) -> None:
    """Have the recipe's node in an earlier session deleted, and do not wait for that."""
    left, _ = vars(recipe).pop(LEFT, (None, None))
    if left is not None:
        recipe.client.delete_async(left)


def _left(recipe: Any) -> str | None:
    """Return the path of the recipe's node in an earlier session, if it may be deleted."""
    path, holder = vars(recipe).get(LEFT, (None, None))
    greenlet = None if holder is None else holder()
    counts_on_it = greenlet is not None and not greenlet.dead and greenlet is not getcurrent()
    return None if counts_on_it else path


def _is_lasting(recipe: Any) -> bool:
    return bool(vars(recipe).get(_LASTING) == identity(recipe))


def _name(recipe: Any) -> str:
    path = getattr(recipe, "path", None) or getattr(recipe, "_path", "")
    return f"{type(recipe).__name__} {path}"

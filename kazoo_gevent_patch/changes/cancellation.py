"""What a recipe leaves on the server when a greenlet is killed, or times out, inside it.

kazoo's recipes clean up after their own errors (``KazooException``). ``GreenletExit``,
``gevent.Timeout`` and ``KeyboardInterrupt`` are none: a lock's node would stay for as long as
the session lives, and lock everybody out, though nobody holds the lock; a member's node would
count for a greenlet that is not there.

The recipe is as new at once, with an identity of its own, so that it may be used again; a
greenlet of its own removes what the old identity left. The exception waits for no server.
The requests of one session are carried out in their order, so the clean-up finds a node
whose creation was on its way.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import FunctionType, TracebackType
from typing import Any

from gevent import getcurrent
from kazoo.exceptions import KazooException, NoNodeError
from kazoo.retry import KazooRetry

from kazoo_gevent_patch.changes import sections
from kazoo_gevent_patch.changes.ownership import is_current, is_ours, owns
from kazoo_gevent_patch.changes.recipes import begin_anew, method_lock

log = logging.getLogger("kazoo_gevent_patch")

_Args = tuple[Any, ...]
_Kwargs = dict[str, Any]
_Call = Callable[..., Any]


def acquire_on_entry(wrapped: _Call, recipe: Any, args: _Args, kwargs: _Kwargs) -> Any:
    """``__enter__`` of ``Lock`` and ``Semaphore``: no signal comes between its lines.

    It would come when the lock is acquired, and before the caller's block begins.
    """
    if not is_ours(recipe):
        return wrapped(*args, **kwargs)
    recipe.acquire()
    return recipe


def release_on_exit(wrapped: _Call, recipe: Any, args: _Args, kwargs: _Kwargs) -> Any:
    """``__exit__`` of ``Lock`` and ``Semaphore``, the same way."""
    if not is_ours(recipe):
        return wrapped(*args, **kwargs)
    recipe.release()
    return None


def _cleaning_up(
    call: _Call, abandon: Callable[[Any, BaseException], object], *, unless: str = ""
) -> _Call:
    """Return a replacement that makes the call, and abandons what a cancelled one has left.

    :param unless: a flag of the recipe: if it is set before the call, nothing is abandoned.
    """

    def replace(wrapped: _Call, recipe: Any, args: _Args, kwargs: _Kwargs) -> Any:
        owned_before = unless and getattr(recipe, unless)
        try:
            return call(wrapped, recipe, args, kwargs)
        except KazooException:
            raise
        except BaseException as error:
            if is_ours(recipe) and not owned_before:
                abandon(recipe, error)
            raise

    return replace


def _acquire(wrapped: _Call, recipe: Any, args: _Args, kwargs: _Kwargs) -> Any:
    """Acquire a lock or a lease, again if its session ended in these last lines."""
    while True:
        acquired = wrapped(*args, **kwargs)
        if not acquired or not is_ours(recipe):
            return acquired
        sections.enter(recipe)
        if owns(recipe):
            return acquired
        sections.leave(recipe)
        recipe.is_acquired = False


def _release(wrapped: _Call, recipe: Any, args: _Args, kwargs: _Kwargs) -> Any:
    released = wrapped(*args, **kwargs)
    sections.leave(recipe)
    return released


def _get(wrapped: _Call, queue: Any, args: _Args, kwargs: _Kwargs) -> Any:
    """Take an item, and another one if the session of the first has ended."""
    item = wrapped(*args, **kwargs)
    while item is not None and is_ours(queue) and not is_current(queue):
        queue.processing_element = None
        item = wrapped(*args, **kwargs)
    return item


def _enter(wrapped: _Call, recipe: Any, args: _Args, kwargs: _Kwargs) -> Any:
    """Become a member, and again if the session has ended."""
    result = wrapped(*args, **kwargs)
    while is_ours(recipe) and not is_current(recipe):
        result = wrapped(*args, **kwargs)
    return result


def _as_kazoo_does(wrapped: _Call, _: Any, args: _Args, kwargs: _Kwargs) -> Any:
    return wrapped(*args, **kwargs)


def _abandon_acquisition(lock: Any, error: BaseException) -> None:
    """Leave no node of a cancelled acquire(), unless another acquire() of the object goes on.

    That one finds the node by its prefix and takes it for its own. It may be one in another native
    thread, which got the lock that kazoo holds in acquire() when this one released it.
    """
    entrance = getattr(lock, method_lock(lock) or "")
    if entrance.locked() and entrance.holder is getcurrent():
        entrance.release()  # a signal came between two lines of kazoo's
    if not entrance.acquire(False):
        return
    try:
        # An acquire() of a lock that is held leaves that held.
        if not lock.is_acquired or _has_just_acquired(error):
            _abandon_lock(lock)
    finally:
        entrance.release()


def _has_just_acquired(error: BaseException) -> bool:
    """Return whether a signal came in the last lines of ``Lock.acquire``."""
    frames = dict(_frames(error.__traceback__))
    acquire = frames.get("acquire", {})
    return bool(acquire.get("gotten")) and not acquire.get("already_acquired")


def _abandon_held(recipe: Any, error: BaseException) -> None:
    if recipe.is_acquired and not sections.has_lost(recipe):
        if method_lock(recipe) is not None:
            _abandon_lock(recipe)
        else:
            _abandon_node(recipe, error)


def _abandon_lock(lock: Any) -> None:
    client, path, prefix = lock.client, lock.path, lock.prefix
    begin_anew(lock)

    def clean_up(retry: KazooRetry) -> None:
        for child in retry(client.get_children, path):
            if child.startswith(prefix):
                retry(client.delete, f"{path}/{child}")

    _clean_up_in_background(client, path, clean_up)


def _abandon_node(recipe: Any, _: BaseException, *others: str) -> None:
    client, paths = recipe.client, (*others, recipe.create_path)
    begin_anew(recipe)

    def clean_up(retry: KazooRetry) -> None:
        for path in paths:
            with suppress(NoNodeError):
                retry(client.delete, path)

    _clean_up_in_background(client, paths[-1], clean_up)


def _abandon_barrier(barrier: Any, error: BaseException) -> None:
    # A member that leaves deletes this one first: it would let the next come in alone.
    _abandon_node(barrier, error, f"{barrier.path}/ready")


def _abandon_item(queue: Any, error: BaseException) -> None:
    """Have the watches of a cancelled get() take nothing any more; give back what they took."""
    frames = dict(_frames(error.__traceback__))
    check = frames.get("_inner_get", {}).get("check_for_updates")
    if not isinstance(check, FunctionType):
        return
    cells = dict(zip(check.__code__.co_freevars, check.__closure__ or (), strict=True))
    cells["canceled"].cell_contents = True
    client, taking = queue.client, frames.get("_take", {}).get("id_")

    def clean_up(retry: KazooRetry) -> None:
        with cells["lock"].cell_contents:  # until a watch that is taking an item has done so
            taken = {taking, *(item for item, _ in cells["value"].cell_contents)} - {None}
        for path in (f"{queue._lock_path}/{item}" for item in taken):
            if retry(client.get, path)[0] == queue.id:
                retry(client.delete, path)

    _clean_up_in_background(client, queue._lock_path, clean_up)


def _frames(trace: TracebackType | None) -> Iterator[tuple[str, dict[str, Any]]]:
    while trace is not None:
        yield trace.tb_frame.f_code.co_name, trace.tb_frame.f_locals
        trace = trace.tb_next


def _clean_up_in_background(
    client: Any, path: str, clean_up: Callable[[KazooRetry], object]
) -> None:
    def run() -> None:
        try:
            # It tries until it succeeds or the client is stopped.
            clean_up(KazooRetry(max_tries=-1, max_delay=1.0, sleep_func=client.handler.sleep_func))
        except KazooException:
            pass  # there is nothing to remove, or the client was stopped, which ends the session
        except Exception as error:
            # kazoo cannot read a reply, and raises what its parser met. The text of that may hold
            # a part of the reply.
            log.warning(
                "A cancelled call may have left a node at %s: the clean-up failed with %s. The "
                "node goes when the session ends",
                path,
                type(error),
            )

    client.handler.spawn(run)


lock_acquire = _cleaning_up(_acquire, _abandon_acquisition)
"""``Lock.acquire``: one that is cancelled leaves no node behind."""

semaphore_acquire = _cleaning_up(_acquire, _abandon_node, unless="is_acquired")
"""``Semaphore.acquire``: one that is cancelled leaves no lease behind."""

release = _cleaning_up(_release, _abandon_held)
"""``release`` of ``Lock`` and ``Semaphore``: one that is cancelled releases all the same."""

locking_queue_get = _cleaning_up(_get, _abandon_item)
"""``LockingQueue._inner_get``: one that is cancelled takes no item, now or later."""

enter = _cleaning_up(_enter, _abandon_node, unless="participating")
"""``BaseParty.join`` and ``DoubleBarrier.enter``: one that is cancelled is no member."""

party_leave = _cleaning_up(_as_kazoo_does, _abandon_node)
"""``BaseParty.leave``: one that is cancelled leaves all the same."""

double_barrier_leave = _cleaning_up(_as_kazoo_does, _abandon_barrier)
"""``DoubleBarrier.leave``: one that is cancelled keeps nobody else inside."""

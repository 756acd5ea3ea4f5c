"""Critical sections that go on in a forked child, as copies of the parent's greenlets.

A native thread does not survive a fork, but a greenlet does: gevent has it go on in the child. If
it holds a ``Lock`` or a lease, or leads, the parent's greenlet does so too, and what is in the
critical section would be done twice. It cannot be kept from going on. But here its requests fail,
and say why, until it has released what it does not hold in this process. No other greenlet is
refused: a greenlet from before the fork that is in no critical section may have been started for
the child.
"""

from __future__ import annotations

import logging
from typing import Any, Final
from weakref import ref

from gevent import getcurrent
from kazoo.exceptions import ConnectionClosedError

from kazoo_gevent_patch.errors import KazooGeventPatchError
from kazoo_gevent_patch.weak import IdentitySet

log = logging.getLogger("kazoo_gevent_patch")

_HOLDER: Final = "_kazoo_gevent_patch_holder"
"""The attribute of a recipe that tells which greenlet has acquired it."""


class ParentHoldsError(KazooGeventPatchError, ConnectionClosedError):  # type: ignore[misc]
    """A greenlet makes a request in a critical section that its parent process is in."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(
            f"This greenlet held {path} when the process was forked, and goes on in the child too, "
            "as gevent has it; in this process it holds nothing, and its requests fail until it "
            "releases what it held. Fork before such greenlets begin, or use the start method "
            "spawn of multiprocessing"
        )

    def __reduce__(self) -> tuple[type[ParentHoldsError], tuple[str]]:
        return type(self), (self.path,)


_LOST: Final = "_kazoo_gevent_patch_lost"
"""The attribute of a recipe with the greenlets that hold it no more, and have not released it."""


def enter(recipe: Any) -> None:
    """Remember which greenlet has acquired a lock or a lease."""
    _forget_loss(recipe)
    vars(recipe)[_HOLDER] = ref(getcurrent())


def leave(recipe: Any) -> None:
    """Say that a lock or a lease is released, in whatever process."""
    if not _forget_loss(recipe):
        holder = vars(recipe).pop(_HOLDER, None)
        if holder is not None and holder() is getcurrent():
            return  # it was acquired in this process
    guard = guard_of(recipe.client)
    if guard is not None:
        guard.forget(recipe)


def lose(recipe: Any) -> Any:
    """Say that the greenlet that has acquired a lock or a lease holds it no more.

    It may go on, and release it; another greenlet may have acquired the same object by then.
    Returns a weak reference to that greenlet; None if nobody has acquired it.
    """
    holder = vars(recipe).pop(_HOLDER, None)
    greenlet = None if holder is None else holder()
    if greenlet is not None:
        vars(recipe).setdefault(_LOST, IdentitySet()).add(greenlet)
    return holder


def settle(recipe: Any) -> None:
    """Say that no greenlet that has lost it counts on it any more."""
    vars(recipe).pop(_LOST, None)


def _forget_loss(recipe: Any) -> bool:
    lost = vars(recipe).get(_LOST)
    return lost is not None and lost.discard(getcurrent())


def has_lost(recipe: Any) -> bool:
    """Return whether the current greenlet has lost it, and has not released it since."""
    return getcurrent() in vars(recipe).get(_LOST, ())


def guard_of(client: Any) -> Guard | None:
    """Return what guards the client in this process, be it used here already or not."""
    stands_in = getattr(vars(client).get("_call"), "__self__", None)
    guard = getattr(stands_in, "guard", stands_in)
    return guard if isinstance(guard, Guard) else None


class Guard:
    """Refuses the requests of greenlets that are in a critical section of the parent process.

    Its bound method stands in the client's instance dictionary over that of the class, in a
    child in which there are such greenlets, for as long as there are. Others pay nothing.
    """

    def __init__(self, client: Any, held: dict[int, tuple[str, ref[Any]]]) -> None:
        self._client = client
        self._held = held
        self._warned = False

    def put_on(self) -> None:
        """Guard the client from now on, if there is anything to guard it from."""
        if self._held:
            self._client._call = self.call

    def forget(self, recipe: object) -> None:
        """Let the greenlet that held the recipe make requests again."""
        self._held.pop(id(recipe), None)
        if not self._held and vars(self._client).get("_call") == self.call:
            del self._client._call

    def refuses(self, async_object: Any) -> bool:
        """Fail the request if the current greenlet may make none; return whether that is so."""
        current = getcurrent()
        path = next((path for path, holder in self._held.values() if holder() is current), None)
        if path is None:
            return False
        error = ParentHoldsError(path)
        if not self._warned:
            self._warned = True
            log.warning("A request is refused: %s", error)
        async_object.set_exception(error)
        return True

    def call(self, request: Any, async_object: Any) -> Any:
        """``KazooClient._call``: every request comes through here."""
        if self.refuses(async_object):
            return False
        return type(self._client)._call(self._client, request, async_object)


def guard(client: Any, recipes: list[Any], called_fork: object) -> Guard:
    """Return what is to guard the client in a child.

    Call this before the recipes forget what the parent owns.

    :param called_fork: the greenlet that called fork; None if that is not known.
    """
    before = guard_of(client)  # in a child of a child
    held = {} if before is None else dict(before._held)
    for recipe in recipes:
        holder = vars(recipe).get(_HOLDER)
        if holder is not None and recipe.is_acquired and _goes_on_unasked(holder(), called_fork):
            held[id(recipe)] = (recipe.path, holder)
    return Guard(client, held)


def _goes_on_unasked(holder: Any, called_fork: object) -> bool:
    """Return whether the greenlet goes on in this process, and has not called fork."""
    if holder is None or holder.dead or getattr(holder, "is_inherited", False):
        return False
    if _root(holder) is not _root(getcurrent()):
        return False  # of a native thread that the fork left behind
    if called_fork is not None:
        return holder is not called_fork
    # The fork was a C program's own, which knows of no greenlets and forks in the main one.
    return holder is not getcurrent() and holder is not _root(holder)


def _root(of: Any) -> Any:
    """Return the main greenlet of the native thread that a greenlet lives in."""
    while of.parent is not None:
        of = of.parent
    return of

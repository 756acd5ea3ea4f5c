"""A set of objects that keeps none of them alive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from weakref import ref


class IdentitySet:
    """Weak references to objects, told apart by identity. Safe in any native thread.

    A ``WeakSet`` would ask the objects for a hash, which a class with an equality of its own may
    not have. And a ``WeakSet`` or a ``WeakValueDictionary`` is iterated by a Python generator,
    which raises ``RuntimeError`` when another thread adds something meanwhile. Each operation
    here is one of a plain dictionary, and those are atomic.
    """

    def __init__(self) -> None:
        self._by_id: dict[int, ref[Any]] = {}

    def add(self, thing: object) -> None:
        """Remember an object for as long as it lives."""
        by_id, key = self._by_id, id(thing)
        # No other object can have this id yet while Python calls this.
        by_id[key] = ref(thing, lambda _: by_id.pop(key, None))

    def discard(self, thing: object) -> bool:
        """Forget an object; return whether it was in the set."""
        return thing in self and self._by_id.pop(id(thing), None) is not None

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, thing: object) -> bool:
        found = self._by_id.get(id(thing))
        return found is not None and found() is thing

    def __iter__(self) -> Iterator[Any]:
        """Return an iterator over the objects that are in the set, and alive, now."""
        things = [found() for found in list(self._by_id.values())]
        return iter([thing for thing in things if thing is not None])

"""A set of objects that keeps none of them alive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from weakref import WeakValueDictionary


class IdentitySet:
    """Weak references to objects, told apart by identity.

    A ``WeakSet`` would ask them for a hash, which a class with an equality of its own may
    not have.
    """

    def __init__(self) -> None:
        self._by_id: WeakValueDictionary[int, Any] = WeakValueDictionary()

    def add(self, thing: object) -> None:
        """Remember an object for as long as it lives."""
        self._by_id[id(thing)] = thing

    def __contains__(self, thing: object) -> bool:
        return thing is not None and self._by_id.get(id(thing)) is thing

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._by_id.values()))

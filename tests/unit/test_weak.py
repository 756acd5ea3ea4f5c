"""A set that keeps nothing alive, and that any thread may change while another looks at it."""

from __future__ import annotations

import gc
import sys
from types import FrameType
from typing import Any

import pytest

from kazoo_gevent_patch.weak import IdentitySet


class Thing:
    """Anything."""


class Unhashable:
    """Equal to all of its kind, and so without a hash."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unhashable)

    __hash__ = None  # type: ignore[assignment]


def test_objects_are_told_apart_by_identity() -> None:
    """Also those that are equal and have no hash; None is never in it."""
    things = IdentitySet()
    first, second = Unhashable(), Unhashable()
    things.add(first)
    things.add(first)
    assert first in things
    assert second not in things
    assert None not in things
    assert [thing is first for thing in things] == [True]
    assert not things.discard(second)
    assert things.discard(first)
    assert not things.discard(first)
    assert list(things) == []


@pytest.mark.parametrize("cycle", [False, True])
def test_what_dies_is_forgotten(cycle: bool) -> None:
    """At once, or when the garbage collector finds it; a new object at its address is not it."""
    things, lasting = IdentitySet(), Thing()
    things.add(lasting)
    for _ in range(100):
        thing: Any = Thing()
        assert thing not in things
        things.add(thing)
        if cycle:
            thing.itself = thing
    del thing
    gc.collect()
    assert list(things) == [lasting]
    assert len(things._by_id) == 1


def test_others_may_add_and_drop_while_one_looks() -> None:
    """Between any two lines of Python of the one that iterates."""
    things, lasting = IdentitySet(), [Thing() for _ in range(5)]
    added: list[Thing] = []
    for thing in lasting:
        things.add(thing)

    def interfere(frame: FrameType, event: str, arg: object) -> Any:
        del frame, event, arg
        sys.settrace(None)
        added.append(Thing())
        things.add(added[-1])
        things.add(Thing())  # and it dies at once
        sys.settrace(interfere)
        return interfere

    before = sys.gettrace()
    sys.settrace(interfere)
    try:
        seen = list(things)
    finally:
        sys.settrace(before)
    assert len(added) > 2  # there were places to interfere
    assert seen[:5] == lasting


def test_what_is_discarded_is_gone_and_counted_no_more() -> None:
    """Once; something else with an equal value stays, and so does what is not in the set."""
    things, first, second = IdentitySet(), Unhashable(), Unhashable()
    things.add(first)
    assert len(things) == 1
    things.discard(second)
    assert first in things
    things.discard(first)
    things.discard(first)
    assert (len(things), list(things), bool(things)) == (0, [], False)
    things.add(second)
    del second
    gc.collect()
    assert len(things) == 0

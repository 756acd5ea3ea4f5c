"""Tests that run at once, and those that cannot stand a neighbour."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.support import ROOT

_FOLDER: Final = ROOT / "build" / "neighbours"
_HAS_TURN: Final = "KAZOO_TESTS_HAVE_TURN"


@contextmanager
def turn(*, is_alone: bool) -> Iterator[None]:
    """Wait for a test's turn: no test of this tree runs beside one that is alone.

    The locks are on files: every process of every run in this tree heeds them, and they are free
    again when a process dies. A run that a test starts shares the turn of that test.
    """
    if _HAS_TURN in os.environ:
        yield
        return
    _FOLDER.mkdir(parents=True, exist_ok=True)
    with (_FOLDER / "door").open("w") as door, (_FOLDER / "room").open("w") as room:
        # A test that is to be alone keeps the door shut until the others have left the room;
        # through an open door new ones could come in for ever.
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        os.environ[_HAS_TURN] = "1"
        try:
            yield
        finally:
            del os.environ[_HAS_TURN]

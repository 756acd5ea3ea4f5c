"""Waiting lists in which something happens at the worst moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kazoo_gevent_patch.loop.waiting import WaitingList


class Interleaved(WaitingList):
    """Calls a function just before and another just after the first place joins."""

    def __init__(
        self,
        before: Callable[[], object] = lambda: None,
        after: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__()
        self._moments = [after, before]

    def append(self, place: Any) -> None:
        """Let a place join."""
        if self._moments:
            self._moments.pop()()
        super().append(place)
        if self._moments:
            self._moments.pop()()

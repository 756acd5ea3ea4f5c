"""The open streams of Server-Sent Events of this worker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .membership import Membership
from .page import fragment

HEARTBEAT: Final = 3.0
"""Seconds of silence after which a stream sends a comment: only a write notices that a browser
has gone."""

RETRY: Final = b"retry: 1000\n\n"


class Stream:
    """The body of one response: the view, and again whenever it changes, until the worker leaves.

    Nothing is queued for a slow browser: it gets the latest view when it is ready.
    """

    open: Final[set[Stream]] = set()

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self.open.add(self)

    def __iter__(self) -> Iterator[bytes]:
        yield RETRY
        seen = None
        while not self._membership.has_left:
            view = self._membership.view
            if view is seen:
                yield b":\n\n"
            else:
                yield _event(fragment(view, self._membership.session()))
            seen = view
            view.outdated.wait(HEARTBEAT)

    def close(self) -> None:
        """Forget the stream. WSGI promises this call, however the response has ended."""
        self.open.discard(self)


def _event(text: str) -> bytes:
    lines = "".join(f"data: {line}\n" for line in text.splitlines())
    return f"event: view\n{lines}\n".encode()

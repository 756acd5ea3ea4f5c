"""What the interpreter's exit waits for: callbacks, and what could not wait when it was called.

kazoo's default handler joins its worker threads at exit, so that what has come is dealt with.
"""

from __future__ import annotations

import atexit
import logging
from collections.abc import Callable
from time import monotonic
from typing import Final

from kazoo_gevent_patch.handler.event import Event
from kazoo_gevent_patch.weak import IdentitySet

EXIT_TIMEOUT: Final = 3.0
"""Seconds that the interpreter's exit waits, in total."""

log = logging.getLogger("kazoo_gevent_patch")

_handlers = IdentitySet()
"""Those whose ``join_deferred`` and ``busy_queues`` are asked what is left to run."""


def remember(handler: object) -> None:
    """Have the interpreter's exit wait for what the handler has to run then."""
    _handlers.add(handler)


def finish() -> None:
    """Wait for what was deferred, and for the callbacks that are queued by then."""
    deadline = monotonic() + EXIT_TIMEOUT
    for handler in _handlers:
        _until(deadline, handler.join_deferred)
    # Not until the queues are empty: callbacks may go on queueing callbacks for ever.
    marks = [(queue, Event()) for handler in _handlers for queue in handler.busy_queues()]
    for queue, mark in marks:
        queue.put(mark.set)
    late = [queue for queue, mark in marks if not _until(deadline, mark.wait)]
    if late:
        log.warning(
            "The interpreter exits: %d callbacks have not returned within %g seconds and are cut "
            "off; %d that were queued behind them are dropped",
            len(late),
            EXIT_TIMEOUT,
            sum(queue.qsize() - 1 for queue in late),  # one is the mark
        )


def _until(deadline: float, wait: Callable[[float], object]) -> object:
    """Wait for the seconds that are left, and return what ``wait`` returns.

    ``sys.exit()`` in a greenlet is raised in the main one, which is here by then; what it asks
    for is under way. gunicorn's gevent worker calls it a tenth of a second after its loop ended.
    """
    while True:
        left = deadline - monotonic()
        try:
            return wait(max(left, 0))
        except SystemExit:
            if left <= 0:
                return None


atexit.register(finish)

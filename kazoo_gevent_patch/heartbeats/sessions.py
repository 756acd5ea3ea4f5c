"""The sessions of this process, each with what its heartbeat takes."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from kazoo_gevent_patch.heartbeats.helper import helper
from kazoo_gevent_patch.loop import forks
from kazoo_gevent_patch.settings.environment import STALLS
from kazoo_gevent_patch.settings.options import keep_choice
from kazoo_gevent_patch.stalls import watch as stalls
from kazoo_gevent_patch.stalls.judge import WatchedClient, tolerated
from kazoo_gevent_patch.stalls.watch import LoopWatch
from kazoo_gevent_patch.wire.connection import Connection

HEARTBEAT: Final = struct.pack("!iii", 8, -2, 11)
"""A message of eight bytes: the xid and the type of ZooKeeper's ping."""

AGAIN: Final = 1 / 10
"""The part of the time between two heartbeats after which one that failed is tried again."""

PUSH: Final = 0.001
"""Seconds between two tries to send the rest of a large message, while the server takes it: the
heartbeat can only go behind it."""

PUSH_AGAIN: Final = 0.02
"""The same, while there is no room at all."""


class Session:
    """A session on one connection, as the helper thread sees it."""

    __slots__ = ("__weakref__", "_client", "_connection", "_loop", "_next")

    def __init__(self, client: WatchedClient, connection: Connection, loop: LoopWatch) -> None:
        self._client = client
        self._connection = connection
        self._loop = loop
        self._next = 0.0
        """When the next heartbeat may be tried, at the soonest."""

    def attend(self) -> float:
        """Send a heartbeat if the event loop is late by a third of the time-out.

        Called by the helper thread. Returns in how many seconds it is to be called again.
        """
        interval = tolerated(self._client.timeout)
        now = stalls.clock()
        late = now - self._loop.judge.due
        left = max(interval - late, self._next - now)
        if left > 0:
            return left
        pause = self._beat(interval) if self._may_go_on(late) else interval * AGAIN
        self._next = now + pause
        return pause

    def _may_go_on(self, late: float) -> bool:
        keep = keep_choice()
        is_wanted = keep if isinstance(keep, bool) else late <= keep
        return is_wanted and self._client.is_running() and self._loop.may_run()

    def _beat(self, interval: float) -> float:
        """Send a heartbeat, if there is room; return in how many seconds to come again."""
        connection = self._connection
        waits = len(connection.behind)
        # The loop finds a broken connection when it runs: what the error is, it is told then.
        with suppress(OSError, ValueError):
            if connection.interject(HEARTBEAT, self._client.is_running):
                self._client.heartbeats += 1
                return interval
            left = len(connection.behind)
            if left:
                return PUSH if left < waits else PUSH_AGAIN
        return interval * AGAIN


def is_uwsgi_master() -> bool:
    """Return whether this is uWSGI's master process, which forks workers for as long as it lives.

    It must have no thread that runs Python: uWSGI lets go of the interpreter's lock, then forks. A
    worker that is forked while a thread holds the lock waits for it for ever.
    """
    # A program may have a module of this name.
    masterpid = getattr(sys.modules.get("uwsgi"), "masterpid", None)
    return masterpid is not None and bool(masterpid() == os.getpid())


def keep(client: WatchedClient, connection: Any, timeout: float) -> Callable[[], None] | None:
    """Keep the client's session, which was just established, and warn of stalls that endanger it.

    Does what is switched on of the two.

    Called in the client's event loop.

    :param connection: the connection that the session is on.
    :param timeout: the session time-out that was negotiated, in seconds.
    :returns: what ends it, from any thread; None if there is nothing to do.
    """
    is_kept = bool(keep_choice()) and isinstance(connection, Connection) and not is_uwsgi_master()
    if not (is_kept or STALLS.is_on()):
        return None
    loop = stalls.watch(client, timeout)
    session = None
    if is_kept:
        session = Session(client, connection, loop)
        helper.add(session, tolerated(timeout))

    def end() -> None:
        loop.remove(client)
        if session is not None:
            helper.remove(session)

    return end


forks.hooks.append(helper.forget)

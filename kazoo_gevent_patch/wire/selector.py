"""``select``: waits for the connection and for the wake channel, and for any descriptors."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from select import POLLIN, POLLNVAL, POLLOUT
from time import perf_counter
from typing import Any

import gevent.select
from gevent import getcurrent

from kazoo_gevent_patch.loop.threads import hub_bound_to_thread
from kazoo_gevent_patch.loop.waiting import SLICE
from kazoo_gevent_patch.wire.connection import Connection
from kazoo_gevent_patch.wire.descriptor import READ, WRITE
from kazoo_gevent_patch.wire.pace import Pace
from kazoo_gevent_patch.wire.wake_channel import SILENT, WakeReader

Ready = tuple[list[Any], list[Any], list[Any]]


class Selector:
    """``select`` for one handler: tries first, waits second, and gives way to others."""

    def __init__(self) -> None:
        self.slice = Pace()
        """What is left of the time until others must run."""
        self.greenlet: object = None
        """The greenlet that waited here last: the connection greenlet."""

    def select(
        self,
        rlist: Sequence[Any],
        wlist: Sequence[Any],
        xlist: Sequence[Any],
        timeout: float | None = None,
    ) -> Ready:
        """Wait as ``select.select`` does and return what is ready of each list.

        ``timeout`` is in seconds, ``None`` means for ever. Raises ``TypeError`` or
        ``ValueError`` where kazoo's own ``selector_select`` does, and ``OSError`` if what
        was sent before cannot be. Blocks only the calling greenlet; exceptional conditions
        (``xlist``) are never reported, as in kazoo.
        """
        # The questions of kazoo's connection loop for each request and reply come first, in
        # their most frequent form. May I write? Is there more of the reply? Nothing that goes
        # on for long is made of these: a large message fills the connection or empties it.
        if wlist:
            if not rlist and len(wlist) == 1:
                (connection,) = wlist  # no index: sets and views of dictionaries have none
                if type(connection) is Connection and not connection.full:
                    return [], [connection], []
        elif len(rlist) == 1:
            (connection,) = rlist
            if type(connection) is Connection and connection.ready:
                return [connection], [], []
        elif len(rlist) == 2 and type(timeout) is float and timeout > 0:  # noqa: PLR2004
            # Is there a request or a reply?
            connection, channel = rlist
            if type(connection) is Connection and type(channel) is WakeReader:
                requests = channel.bytes
                if connection.ready:
                    # Replies do not hold back what waits to be sent.
                    if (requests or not connection.behind) and perf_counter() < self.slice.ends:
                        return ([connection, channel] if requests else [connection]), [], []
                elif requests and perf_counter() < self.slice.ends:
                    return [channel], [], []
                return self._select_own(rlist, (), connection, channel, timeout)
        return self._select_checked(rlist, wlist, timeout)

    def _select_checked(
        self, rlist: Sequence[Any], wlist: Sequence[Any], timeout: float | None
    ) -> Ready:
        if timeout is not None:
            if not isinstance(timeout, (int, float)):
                raise TypeError("timeout must be a number")
            if timeout < 0:
                raise ValueError("timeout must be non-negative")
        own = _own(rlist, wlist)
        if own is None:
            return _select_any(rlist, wlist, timeout)
        connection, channel = own
        if connection is None:  # a program may look at the wake channel alone
            assert channel is not None  # nosec B101 # for the type checker
            if channel.readable() and self.slice.is_over():
                self.slice.give_way()
            elif not channel.readable():
                channel.waiting.wait(channel.readable, timeout)
                self.slice.restart()
            return ([channel] if channel.readable() else []), [], []
        self.greenlet = getcurrent()
        seconds = inf if timeout is None else timeout
        return self._select_own(rlist, wlist, connection, channel or SILENT, seconds)

    def _select_own(
        self,
        rlist: Sequence[Any],
        wlist: Sequence[Any],
        connection: Connection,
        channel: WakeReader,
        timeout: float,
    ) -> Ready:
        # One look at the clock serves both: it costs as much as a call.
        now = perf_counter()
        deadline = now + timeout
        requests, client, expired = channel.bytes, channel.client, False
        # Where there is nothing to do, others run while this waits.
        if now >= self.slice.ends and (requests or connection.ready or wlist):
            self._let_others_run(connection)
        while True:
            if not requests:
                if connection.behind:
                    connection.flush()  # no further request is about to join those that wait
                if client is not None and client._queue:
                    # Its byte was never sent, or is about to be by another thread. That is then
                    # one too many, which kazoo takes when it finds no request.
                    requests.append(0)
            if not wlist and not expired:
                if requests:
                    return ([connection, channel] if connection.ready else [channel]), [], []
                if connection.ready:
                    return [connection], [], []
            else:
                # The timer may have come before news that the event loop had as well.
                connection.look()
                readable: list[Any] = [connection] if connection.ready and rlist else []
                if requests:
                    readable.append(channel)
                writable = list(wlist) if wlist and connection.writable() else []
                if readable or writable or expired:
                    return readable, writable, []
            wanted = (READ if rlist else WRITE) | (WRITE if connection.behind else 0)
            happened = connection.events.wait(wanted, deadline, channel)
            # An event that is neither (an error in the loop) is for recv to tell.
            if happened and happened != WRITE:
                connection.ready = True
            self.slice.ends = perf_counter() + SLICE
            self.slice.woken = 0
            expired = not happened and not requests and perf_counter() >= deadline

    def _let_others_run(self, connection: Connection) -> None:
        connection.flush()
        self.slice.give_way()
        connection.look()  # else requests that keep coming would keep replies waiting


def _own(
    rlist: Sequence[Any], wlist: Sequence[Any]
) -> tuple[Connection | None, WakeReader | None] | None:
    """Return the connection and the wake channel; None if there is more, or anything else."""
    connection = channel = None
    for item in (*rlist, *wlist):
        if isinstance(item, Connection) and connection is None:
            connection = item
        elif isinstance(item, WakeReader) and channel is None and not wlist:
            channel = item
        else:
            return None
    return (connection, channel) if rlist or wlist else None


def _select_any(rlist: Sequence[Any], wlist: Sequence[Any], timeout: float | None) -> Ready:
    """Select among any objects with descriptors, sockets in both lists included."""
    wanted: dict[int, int] = {}
    for items, event in ((rlist, POLLIN), (wlist, POLLOUT)):
        for item in items:
            fd = _descriptor(item)
            wanted[fd] = wanted.get(fd, 0) | event
    hub_bound_to_thread()  # else gevent's makes one
    poll = gevent.select.poll()
    for fd, events in wanted.items():
        poll.register(fd, events)
    read_ahead = any(isinstance(item, Connection) and item.pending() for item in rlist)
    ready = dict(poll.poll(0 if read_ahead else None if timeout is None else timeout * 1000))
    for fd, events in ready.items():
        if events & POLLNVAL:
            raise ValueError(f"Invalid file descriptor: {fd}")
    readable = [
        item
        for item in rlist
        if ready.get(_descriptor(item), 0) & ~POLLOUT
        or (isinstance(item, Connection) and item.pending())
    ]
    writable = [item for item in wlist if ready.get(_descriptor(item), 0) & ~POLLIN]
    return readable, writable, []


def _descriptor(item: Any) -> int:
    """Return the file descriptor of an object; the errors are those of kazoo's ``select``.

    kazoo has a function for it only since 2.9.
    """
    try:
        descriptor = item if isinstance(item, int) else int(item.fileno())
    except (AttributeError, TypeError, ValueError):
        descriptor = -1
    if descriptor < 0:
        raise TypeError(f"{item!r} has no file descriptor")
    return descriptor

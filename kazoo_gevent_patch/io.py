"""The session's connection, and the ``select`` that waits for it and for the wake channel."""

from __future__ import annotations

from collections.abc import Sequence
from select import POLLIN, POLLNVAL, POLLOUT
from time import monotonic
from typing import Any, Final

import gevent.select
from gevent.exceptions import ConcurrentObjectUseError
from gevent.hub import Waiter
from gevent.monkey import get_original
from kazoo.handlers.utils import fileobj_to_fd

from kazoo_gevent_patch.waiting import TimeSlice, call_in_hub
from kazoo_gevent_patch.wake import WakeReader

# gevent replaces select.poll when it patches, by one that runs the event loop.
_poll = get_original("select", "poll")
_close = get_original("os", "close")

READ_SIZE: Final = 65536
"""Bytes asked of the socket at a time, whatever kazoo asks of the connection."""

LARGEST_READ: Final = 1 << 20
"""Bytes asked of the socket at most: a read allocates as much as it asks for, and the
length that kazoo asks for is the peer's word."""

_READ: Final = 1  # the event loop's numbers for what an io watcher waits for
_WRITE: Final = 2
_FAILED: Final = ~(POLLIN | POLLOUT)


class Connection:
    """A connected socket that reads ahead.

    kazoo reads each reply with a ``recv(4)`` and a ``recv`` of its length, each behind a
    ``select``; here both are answered from one large read, and kazoo skips its ``select``
    while ``pending()`` is above zero. Everything else a socket has is the socket's own, the
    blocking modes and time-outs included, which kazoo's four letter commands rely on.

    ``_readable`` and ``_writable`` remember what a poll said. That is safe because only
    this object reads and writes: what is readable stays so until it is read, and what is
    writable stays so until something is written.
    """

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._ahead = b""
        self._position = 0
        self._readable = False
        self._writable = False
        self._poll = _poll()
        self._poll.register(sock.fileno(), POLLIN | POLLOUT)
        self._watchers: dict[int, Any] = {}
        self._waiter: Waiter[Any] | None = None
        self._tls_pending = getattr(sock, "pending", None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def pending(self) -> int:
        """Return how many bytes ``recv`` has in memory."""
        ahead = len(self._ahead) - self._position
        if not ahead and self._tls_pending is not None and self._sock.fileno() >= 0:
            ahead = self._tls_pending()
        return ahead

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Return at most ``size`` bytes, as ``socket.recv`` does; errors are the socket's."""
        start = self._position
        if start < len(self._ahead):
            end = start + size
            part = self._ahead[start:end]
            if end < len(self._ahead):
                self._position = end
            else:
                self._ahead, self._position = b"", 0
            return part
        self._readable = False
        if flags or size >= READ_SIZE:
            received: bytes = self._sock.recv(min(size, LARGEST_READ), flags)
            return received
        received = self._sock.recv(READ_SIZE)
        if len(received) > size:
            self._ahead, self._position = received, size
            return received[:size]
        return received

    def send(self, data: Any, flags: int = 0) -> int:
        """Send what the socket takes of ``data`` and return how many bytes that was."""
        self._writable = False
        sent: int = self._sock.send(data, flags)
        return sent

    def close(self) -> None:
        """Close the socket; a greenlet waiting for it finds it readable, and gets the error."""
        for watcher in self._watchers.values():
            watcher.close()
        self._watchers.clear()
        self._sock.close()
        if self._waiter is not None:
            call_in_hub(self._waiter.hub, self._waiter.switch, None)

    def abandon(self) -> None:
        """Close this process's copy of the descriptor; send nothing, tell no loop. After a fork."""
        for watcher in self._watchers.values():
            watcher.close()
        self._watchers.clear()
        fd = self._sock.detach()
        if fd >= 0:
            _close(fd)

    def readable(self) -> bool:
        """Return whether ``recv`` returns, or raises, at once."""
        return self._readable or self.pending() > 0 or self._look(reading=True)

    def writable(self) -> bool:
        """Return whether ``send`` takes some bytes, or raises, at once."""
        return self._writable or self._look(reading=False)

    def _look(self, *, reading: bool) -> bool:
        if self._sock.fileno() < 0:
            return True
        for _, events in self._poll.poll(0):
            # On an error, or when the peer hung up, the next recv or send tells what it is.
            failed = events & _FAILED
            self._readable = bool(events & POLLIN or failed)
            self._writable = bool(events & POLLOUT or failed)
        return self._readable if reading else self._writable

    def register(self, waiter: Waiter[Any], events: int) -> None:
        """Have ``waiter`` switched to when one of ``events`` comes."""
        if self._waiter is not None:
            raise ConcurrentObjectUseError("Another greenlet already waits for this connection")
        loop = waiter.hub.loop
        watcher = self._watchers.get(events)
        if watcher is None or watcher.loop is not loop:
            watcher = self._watchers[events] = loop.io(self._sock.fileno(), events)
        watcher.start(waiter.switch, None)
        self._waiter = waiter

    def unregister(self) -> None:
        """Undo ``register``."""
        self._waiter = None
        for watcher in self._watchers.values():
            watcher.stop()


_Ready = tuple[list[Any], list[Any], list[Any]]


class Selector:
    """``select`` for one handler: tries first, waits second, and gives way to others."""

    def __init__(self) -> None:
        self._slice = TimeSlice()

    def select(
        self,
        rlist: Sequence[Any],
        wlist: Sequence[Any],
        xlist: Sequence[Any],
        timeout: float | None = None,
    ) -> _Ready:
        """Wait as ``select.select`` does and return what is ready of each list.

        ``timeout`` is in seconds, ``None`` means for ever. Raises ``TypeError`` or
        ``ValueError`` where kazoo's own ``selector_select`` does. Blocks only the calling
        greenlet; exceptional conditions (``xlist``) are never reported, as in kazoo.
        """
        if timeout is not None:
            if not isinstance(timeout, (int, float)):
                raise TypeError("timeout must be a number")
            if timeout < 0:
                raise ValueError("timeout must be non-negative")
        if not all(type(item) in _OWN for item in (*rlist, *wlist)):
            return _select_any(rlist, wlist, timeout)
        deadline = None if timeout is None else monotonic() + timeout
        self._slice.give_way()
        while True:
            readable = [item for item in rlist if item.readable()]
            writable = [item for item in wlist if item.writable()]
            if readable or writable or timeout == 0:
                return readable, writable, []
            remaining = None if deadline is None else deadline - monotonic()
            if remaining is not None and remaining <= 0:
                return [], [], []
            _wait(rlist, wlist, remaining)
            self._slice.restart()


_OWN: Final = frozenset({Connection, WakeReader})


def _wait(rlist: Sequence[Any], wlist: Sequence[Any], timeout: float | None) -> None:
    """Wait until an item may be ready or ``timeout`` seconds have passed, whichever is first."""
    waiter: Waiter[Any] = Waiter()
    registered: list[Connection | WakeReader] = []
    timer = None if timeout is None else waiter.hub.loop.timer(timeout)
    try:
        if timer is not None:
            timer.start(waiter.switch, None)
        for item in {id(item): item for item in (*rlist, *wlist)}.values():
            item.register(waiter, (item in rlist) * _READ | (item in wlist) * _WRITE)
            registered.append(item)
        # A byte that came before the registration woke nobody: look once more.
        if not any(type(item) is WakeReader and item.readable() for item in rlist):
            waiter.get()
    finally:
        if timer is not None:
            timer.close()
        for item in registered:
            item.unregister()


def _select_any(rlist: Sequence[Any], wlist: Sequence[Any], timeout: float | None) -> _Ready:
    """Select among any objects with descriptors, sockets in both lists included."""
    wanted: dict[int, int] = {}
    for items, event in ((rlist, POLLIN), (wlist, POLLOUT)):
        for item in items:
            fd = fileobj_to_fd(item)
            wanted[fd] = wanted.get(fd, 0) | event
    poll = gevent.select.poll()
    for fd, events in wanted.items():
        poll.register(fd, events)
    read_ahead = any(type(item) is Connection and item.pending() for item in rlist)
    ready = dict(poll.poll(0 if read_ahead else None if timeout is None else timeout * 1000))
    for fd, events in ready.items():
        if events & POLLNVAL:
            raise ValueError(f"Invalid file descriptor: {fd}")
    readable = [
        item
        for item in rlist
        if ready.get(fileobj_to_fd(item), 0) & ~POLLOUT
        or (type(item) is Connection and item.pending())
    ]
    writable = [item for item in wlist if ready.get(fileobj_to_fd(item), 0) & ~POLLIN]
    return readable, writable, []

"""The session's connection: a socket that reads ahead and writes behind."""

from __future__ import annotations

import errno
from select import POLLIN
from ssl import SSLWantReadError, SSLWantWriteError
from typing import Any, Final

from gevent.exceptions import ConcurrentObjectUseError
from gevent.hub import Waiter
from gevent.monkey import get_original

from kazoo_gevent_patch.waiting import call_in_hub

# gevent replaces these when it patches, by functions that run the event loop.
_poll = get_original("select", "poll")
_close = get_original("os", "close")

READ_SIZE: Final = 1 << 16
"""Bytes asked of the socket at a time, whatever kazoo asks of the connection."""

LARGEST_READ: Final = 1 << 20
"""Bytes asked of the socket at most: a read allocates as much as it asks for, and the
length that kazoo asks for is the peer's word."""

WRITE_SIZE: Final = 1 << 15
"""Bytes that wait to be sent together at most."""

_FULL: Final = (BlockingIOError, SSLWantReadError, SSLWantWriteError)
_READ: Final = 1  # the event loop's numbers for what an io watcher waits for
_WRITE: Final = 2


def close_copy(sock: Any) -> None:
    """Close this process's copy of a socket's descriptor: nothing is sent, no loop is told."""
    fd = sock.detach()
    if fd >= 0:
        _close(fd)


class Connection:
    """A connected socket that saves system calls.

    kazoo reads each reply with a ``recv(4)`` and a ``recv`` of its length, and sends each
    request by itself. Here the reads are answered from one large read, and kazoo skips its
    ``select`` while ``pending()`` is above zero; the requests that are queued together are
    sent together, as soon as ``select`` is called with no further request waiting.

    Both begin with ``setblocking(False)``, which kazoo calls on a session's connection. In
    a blocking mode, which kazoo's four letter commands use, ``send`` is the socket's own.
    """

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._ahead = b""
        self._position = 0
        self._behind = bytearray()
        self._buffers_writes = False
        # Whether recv would return at once. It stays true until something is received,
        # which nobody does but this object.
        self._readable = False
        self._poll = _poll()
        self._poll.register(sock.fileno(), POLLIN)
        self._watchers: dict[int, Any] = {}
        self._waiter: Waiter[Any] | None = None
        self._tls_pending = getattr(sock, "pending", None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def setblocking(self, flag: bool) -> None:
        """Set the socket's mode; see the class for what this means here."""
        self._buffers_writes = not flag
        self._sock.setblocking(flag)

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
        """Take some of ``data`` for sending and return how many bytes, as ``socket.send`` does.

        An error is raised by this or by a later call, or by ``select``.
        """
        if flags or not self._buffers_writes:
            sent: int = self._sock.send(data, flags)
            return sent
        if self._sock.fileno() < 0:
            raise OSError(errno.EBADF, "The connection is closed")
        taken = data[:WRITE_SIZE]
        self._behind += taken
        if len(self._behind) >= WRITE_SIZE:
            self.flush()
        return len(taken)

    def flush(self) -> None:
        """Send what waits to be sent, as far as the socket takes it without blocking."""
        while self._behind:
            try:
                sent = self._sock.send(self._behind)
            except _FULL:
                return
            del self._behind[:sent]

    def close(self) -> None:
        """Close the socket; a greenlet waiting for it finds it readable, and gets the error."""
        self._close_watchers()
        self._sock.close()
        self._readable = True
        if self._waiter is not None:
            call_in_hub(self._waiter.hub, self._waiter.switch, None)

    def abandon(self) -> None:
        """Close this process's copy of the descriptor; send nothing, tell no loop. After a fork."""
        self._close_watchers()
        close_copy(self._sock)

    def _close_watchers(self) -> None:
        for watcher in self._watchers.values():
            watcher.close()
        self._watchers.clear()

    def readable(self) -> bool:
        """Return whether ``recv`` is known to return, or raise, at once."""
        return self._position < len(self._ahead) or self._readable or self.pending() > 0

    def look(self) -> None:
        """Find out whether ``recv`` returns, or raises, at once; ``readable`` tells it then."""
        if not self.readable():
            # On an error, or when the peer hung up, recv tells what it is.
            self._readable = self._sock.fileno() < 0 or bool(self._poll.poll(0))

    def has_room(self) -> bool:
        """Return whether ``send`` is known to take some bytes at once."""
        return len(self._behind) < WRITE_SIZE

    def writable(self) -> bool:
        """Return whether ``send`` takes some bytes, or raises, at once."""
        if not self.has_room():
            self.flush()
        return self.has_room()

    def register(self, waiter: Waiter[Any], *, reading: bool) -> None:
        """Have ``waiter`` switched to when there is room for what waits to be sent.

        With ``reading``, also when there is something to read.
        """
        if self._waiter is not None:
            raise ConcurrentObjectUseError("Another greenlet already waits for this connection")
        events = (_READ if reading else 0) | (_WRITE if self._behind or not reading else 0)
        loop = waiter.hub.loop
        watcher = self._watchers.get(events)
        if watcher is None or watcher.loop is not loop:
            watcher = self._watchers[events] = loop.io(self._sock.fileno(), events)
        watcher.start(self._on_event, waiter, pass_events=True)
        self._waiter = waiter

    def unregister(self) -> None:
        """Undo ``register``."""
        self._waiter = None
        for watcher in self._watchers.values():
            watcher.stop()

    def _on_event(self, events: int, waiter: Waiter[Any]) -> None:
        # An event that is neither (an error in the loop) is for recv to tell.
        if events != _WRITE:
            self._readable = True
        waiter.switch(None)

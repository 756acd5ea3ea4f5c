"""The session's connection: a socket that reads ahead and writes behind."""

from __future__ import annotations

import errno
from contextlib import suppress
from select import POLLIN
from ssl import SSLWantReadError, SSLWantWriteError
from typing import Any, Final

import gevent.socket
from gevent.monkey import get_original

from kazoo_gevent_patch.descriptor import READ, WRITE, DescriptorEvents
from kazoo_gevent_patch.wake import WakeReader

# gevent replaces these when it patches, by what runs the event loop.
_poll = get_original("select", "poll")
_close = get_original("os", "close")
_socket = get_original("socket", "socket")

READ_SIZE: Final = 1 << 16
"""Bytes asked of the socket at a time, whatever kazoo asks of the connection."""

LARGEST_READ: Final = 1 << 20
"""Bytes asked of the socket at most: a read allocates as much as it asks for, and the
length that kazoo asks for is the peer's word."""

WRITE_SIZE: Final = 1 << 15
"""Bytes that wait to be sent together at most."""

_FULL: Final = (BlockingIOError, SSLWantReadError, SSLWantWriteError)


def close_copy(sock: Any) -> None:
    """Close this process's copy of a socket's descriptor: nothing is sent, no loop is told."""
    try:
        fd = sock.detach()
    except ValueError:
        fd = sock.detach()  # the loop is destroyed: at the first try gevent forgot its watchers
    if fd >= 0:
        _close(fd)


class Connection:
    """A connected socket that saves system calls.

    kazoo reads each reply with a ``recv(4)`` and a ``recv`` of its length, and sends each
    request by itself. Here the reads are answered from one large read, and kazoo skips its
    ``select`` while ``pending()`` is above zero; the requests that are queued together are
    sent together, with the last of them, so that the server works on it while kazoo still
    does its accounts.

    All this begins with ``setblocking(False)``, which kazoo calls on a session's connection.
    In a blocking mode, which kazoo's four letter commands use, ``send`` is the socket's own.

    ``requests`` is the wake channel of the session, which tells whether more of them wait.
    """

    def __init__(self, sock: Any, requests: WakeReader | None = None) -> None:
        self._sock = sock
        self._requests = requests
        self._ahead = b""
        self._position = 0
        self._behind = bytearray()
        self._buffers_writes = False
        # Whether recv would return at once. It stays true until something is received,
        # which nobody does but this object.
        self._readable = False
        self._poll = _poll()
        self._poll.register(sock.fileno(), POLLIN)
        self._events = DescriptorEvents(sock.fileno())
        self._tls_pending = getattr(sock, "pending", None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def setblocking(self, flag: bool) -> None:
        """Set the socket's mode; see the class for what this means here."""
        self.settimeout(None if flag else 0.0)

    def settimeout(self, timeout: float | None) -> None:
        """Set how many seconds the socket's own calls wait: 0 is non-blocking, None for ever."""
        self._buffers_writes = timeout == 0
        kind = _socket if timeout == 0 else gevent.socket.socket
        if self._tls_pending is None and type(self._sock) is not kind:
            # Where nothing is to wait, gevent's methods only cost: more than the system call.
            self._sock = kind(fileno=self._sock.detach())
        self._sock.settimeout(timeout)

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
            # A few bytes in what was allocated for many keep a page of memory each: copied, a
            # reply of 2 GiB that comes in small pieces takes what it is long.
            return received if len(received) >= READ_SIZE else bytes(memoryview(received))
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
        if len(data) >= WRITE_SIZE and not self._behind and self._tls_pending is None:
            try:
                sent = self._sock.send(data)  # without a copy
            except _FULL:
                pass
            else:
                return sent
        taken = data[:WRITE_SIZE]
        self._behind += taken
        if len(self._behind) >= WRITE_SIZE or self._is_last_request():
            self.flush()
        return len(taken)

    def _is_last_request(self) -> bool:
        # kazoo takes a request's byte from the channel only when it has sent the request.
        return self._requests is not None and self._requests.qsize() <= 1

    def flush(self) -> None:
        """Send what waits to be sent, as far as the socket takes it without blocking."""
        while self._behind:
            try:
                sent = self._sock.send(self._behind)
            except _FULL:
                return
            if not sent:
                return  # so gevent's TLS sockets say that they are full
            del self._behind[:sent]

    def close(self) -> None:
        """Close the socket; a greenlet waiting for it finds it readable, and gets the error."""
        self._events.close()
        self._sock.close()
        self._readable = True
        self._events.end_wait()

    def abandon(self) -> None:
        """Close this process's copy of the descriptor; send nothing, tell no loop. After a fork."""
        with suppress(ValueError):  # the loop was destroyed, and its thread is about to end
            self._events.close()
        close_copy(self._sock)

    def readable(self) -> bool:
        """Return whether ``recv`` is known to return, or raise, at once."""
        return (
            self._position < len(self._ahead)
            or self._readable
            or (self._tls_pending is not None and self.pending() > 0)
        )

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

    def wait(self, *, reading: bool, deadline: float | None, channel: WakeReader | None) -> None:
        """Wait until there is room for what waits to be sent; with ``reading``, for a reply too.

        The deadline (by the monotonic clock), a byte in the channel, and a false alarm also
        end the wait.
        """
        events = (READ if reading else 0) | (WRITE if self._behind or not reading else 0)
        happened = self._events.wait(events, deadline, channel)
        # An event that is neither (an error in the loop) is for recv to tell.
        if happened and happened != WRITE:
            self._readable = True

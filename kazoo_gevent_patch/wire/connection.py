"""The session's connection: a socket that reads ahead and writes behind."""

from __future__ import annotations

import errno
import ssl
from contextlib import suppress
from select import POLLIN
from typing import TYPE_CHECKING, Any, Final

import gevent.socket
from gevent.monkey import get_original

from kazoo_gevent_patch.wire.descriptor import WRITE, DescriptorEvents
from kazoo_gevent_patch.wire.wake_channel import WakeReader

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

_FULL: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


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

    What else a socket has is the socket's own.
    """

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def __init__(self, sock: Any, requests: WakeReader | None = None) -> None:
        self._sock: Any = sock
        self._requests = requests
        self._ahead = b""
        self._position = self._end = 0
        """From where to where ``recv`` has not yet returned what was read ahead."""
        self.ready = False
        """Whether ``recv`` is known to return, or raise, at once. It stays so until something
        is received, which nobody does but this object."""
        self.behind = bytearray()
        """What waits to be sent."""
        self.full = False
        """Whether it may be that ``send`` has no room; ``writable`` finds out."""
        self._buffers_writes = False
        self._closed = False
        self._poll = _poll()
        self._poll.register(sock.fileno(), POLLIN)
        self._events = DescriptorEvents(sock.fileno())
        self._is_tls = hasattr(sock, "pending")

    def setblocking(self, flag: bool) -> None:
        """Set the socket's mode; see the class for what this means here."""
        self.settimeout(None if flag else 0.0)

    def settimeout(self, timeout: float | None) -> None:
        """Set how many seconds the socket's own calls wait: 0 is non-blocking, None for ever."""
        self._buffers_writes = timeout == 0
        kind = _socket if timeout == 0 else gevent.socket.socket
        if not self._is_tls and type(self._sock) is not kind:
            # Where nothing is to wait, gevent's methods only cost: more than the system call.
            self._sock = kind(fileno=self._sock.detach())
        self._sock.settimeout(timeout)

    def pending(self) -> int:
        """Return how many bytes ``recv`` has in memory."""
        ahead = self._end - self._position
        if not ahead and self._is_tls and not self._closed:
            ahead = self._sock.pending()
        return ahead

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Return at most ``size`` bytes, as ``socket.recv`` does; errors are the socket's."""
        start = self._position
        end = start + size
        if end < self._end:
            self._position = end
            return self._ahead[start:end]
        if start < self._end:
            received = self._ahead[start:]
            self._ahead = b""
            self._position = self._end = 0
        else:
            self.ready = self._closed  # and if so, nobody is to wait for what the descriptor is now
            received = self._receive(size, flags)
        self.ready = self._end > 0 or (self._is_tls and self.pending() > 0)
        return received

    def _receive(self, size: int, flags: int) -> bytes:
        if flags or size >= READ_SIZE:
            received: bytes = self._sock.recv(min(size, LARGEST_READ), flags)
            # A few bytes in what was allocated for many keep a page of memory each: copied, a
            # reply of 2 GiB that comes in small pieces takes what it is long.
            return received if len(received) >= READ_SIZE else bytes(memoryview(received))
        received = self._sock.recv(READ_SIZE)
        if len(received) <= size:
            return received
        self._ahead, self._position, self._end = received, size, len(received)
        return received[:size]

    def send(self, data: Any, flags: int = 0) -> int:
        """Take some of ``data`` for sending and return how many bytes, as ``socket.send`` does.

        An error is raised by this or by a later call, or by ``select``.
        """
        if flags or not self._buffers_writes:
            sent: int = self._sock.send(data, flags)
            return sent
        if self._closed:
            raise OSError(errno.EBADF, "The connection is closed")
        size = len(data)
        if size >= WRITE_SIZE:
            return self._send_large(data)
        self.behind += data
        # kazoo takes a request's byte from the channel only when it has sent the request.
        requests = self._requests
        if (requests is not None and len(requests.bytes) <= 1) or len(self.behind) >= WRITE_SIZE:
            self.flush()
        return size

    def _send_large(self, data: Any) -> int:
        if not self.behind and not self._is_tls:
            try:
                sent: int = self._sock.send(data)  # without a copy
            except _FULL:
                pass
            else:
                self.full = True
                return sent
        self.behind += data[:WRITE_SIZE]
        self.flush()
        self.full = True
        return WRITE_SIZE

    def flush(self) -> None:
        """Send what waits to be sent, as far as the socket takes it without blocking."""
        behind = self.behind
        try:
            while behind:
                sent = self._sock.send(behind)
                if not sent:
                    break  # so gevent's TLS sockets say that they are full
                del behind[:sent]
        except _FULL:
            pass
        self.full = len(behind) >= WRITE_SIZE

    def close(self) -> None:
        """Close the socket; a greenlet waiting for it finds it readable, and gets the error."""
        self._closed = True
        # Like the kernel's buffer. Else the last recv of it would make this seem not readable.
        self._ahead = b""
        self._position = self._end = 0
        self._events.close()
        self._sock.close()
        self.ready = True
        self._events.end_wait()

    def abandon(self) -> None:
        """Close this process's copy of the descriptor; send nothing, tell no loop. After a fork."""
        self._closed = True
        with suppress(ValueError):  # the loop was destroyed, and its thread is about to end
            self._events.close()
        close_copy(self._sock)

    def readable(self) -> bool:
        """Return whether ``recv`` is known to return, or raise, at once."""
        return self.ready

    def look(self) -> bool:
        """Find out, and return, whether ``recv`` returns, or raises, at once."""
        if not self.ready:
            # On an error, or when the peer hung up, recv tells what it is.
            self.ready = self._closed or bool(self._poll.poll(0))
        return self.ready

    def writable(self) -> bool:
        """Return whether ``send`` takes some bytes, or raises, at once."""
        if self.full:
            self.flush()
        return not self.full

    def wait(self, events: int, deadline: float, channel: WakeReader) -> int:
        """Wait until there is room for what waits to be sent; with ``READ``, for a reply too.

        ``events`` is that or 0. The deadline (by the monotonic clock), a byte in the channel,
        and a false alarm also end the wait. Returns 0 for these, else what happened.
        """
        if self.behind or not events:
            events |= WRITE
        happened = self._events.wait(events, deadline, channel)
        # An event that is neither (an error in the loop) is for recv to tell.
        if happened and happened != WRITE:
            self.ready = True
        return happened


def _of_the_socket(name: str) -> property:
    return property(lambda connection: getattr(connection._sock, name))


# Not by __getattr__: in a class that has one, CPython looks up every attribute the long way,
# and a request costs a tenth more.
for _name in dir(ssl.SSLSocket):
    if not (_name.startswith("_") or hasattr(Connection, _name)):
        setattr(Connection, _name, _of_the_socket(_name))

"""The session's connection: a socket that reads ahead and writes behind (``wire.sending``)."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import suppress
from operator import attrgetter
from select import POLLIN
from typing import TYPE_CHECKING, Any, Final

import gevent.socket
from gevent.monkey import get_original

from kazoo_gevent_patch.wire.descriptor import DescriptorEvents
from kazoo_gevent_patch.wire.sending import Sender
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


def close_copy(sock: Any) -> None:
    """Close this process's copy of a socket's descriptor: nothing is sent, no loop is told."""
    try:
        fd = sock.detach()
    except ValueError:
        fd = sock.detach()  # the loop is destroyed: at the first try gevent forgot its watchers
    if fd >= 0:
        _close(fd)


class Connection(Sender):
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

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def __init__(self, sock: Any, requests: WakeReader | None = None) -> None:
        super().__init__(requests)
        self._ahead = b""
        self._position = self._end = 0
        """From where to where ``recv`` has not yet returned what was read ahead."""
        self.ready = False
        """Whether ``recv`` is known to return, or raise, at once. It stays so until something
        is received, which nobody does but this object."""
        self.on_large: Callable[[], object] | None = None
        """What is called when the rest of a reply is larger than one read."""
        self._poll = _poll()
        self._poll.register(sock.fileno(), POLLIN)
        self.events = DescriptorEvents(sock.fileno())
        """Where to wait for the socket."""
        self._is_tls = hasattr(sock, "pending")
        self._use(sock)

    def setblocking(self, flag: bool) -> None:
        """Set the socket's mode; see the class for what this means here."""
        self.settimeout(None if flag else 0.0)

    def settimeout(self, timeout: float | None) -> None:
        """Set how many seconds the socket's own calls wait: 0 is non-blocking, None for ever."""
        self._buffers_writes = timeout == 0
        kind = _socket if timeout == 0 else gevent.socket.socket
        if not self._is_tls and type(self._sock) is not kind:
            # Where nothing is to wait, gevent's methods only cost: more than the system call.
            self._use(kind(fileno=self._sock.detach()))
        self._sock.settimeout(timeout)

    def pending(self) -> int:
        """Return how many bytes ``recv`` has in memory."""
        # Nothing for what select has only seen, though kazoo would be spared another select: one
        # that was put in the handler's place would not be asked (kazoo's test_connection.py).
        ahead = self._end - self._position
        if not ahead and self._is_tls and not self._closed:
            ahead = self._alone(self._sock.pending)
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
            received = (
                self._alone(self._receive, size, flags)
                if self._is_tls
                else self._receive(size, flags)
            )
        self.ready = self._end > 0 or (self._is_tls and self.pending() > 0)
        return received

    def _receive(self, size: int, flags: int) -> bytes:
        if flags or size >= READ_SIZE:
            if self.on_large is not None:
                self.on_large()
            received: bytes = self._sock.recv(min(size, LARGEST_READ), flags)
            # A few bytes in what was allocated for many keep a page of memory each: copied, a
            # reply of 2 GiB that comes in small pieces takes what it is long.
            return received if len(received) >= READ_SIZE else bytes(memoryview(received))
        received = self._sock.recv(READ_SIZE)
        if len(received) <= size:
            return received
        self._ahead, self._position, self._end = received, size, len(received)
        return received[:size]

    def _alone(self, call: Callable[..., Any], *args: int) -> Any:
        """Call a method of the TLS object while the helper thread does not use it."""
        self._reading = True
        try:
            self._wait_for_helper()
            return call(*args)
        finally:
            self._reading = False

    def close(self) -> None:
        """Close the socket; a greenlet waiting for it finds it readable, and gets the error."""
        self._closed = True
        self._wait_for_helper()  # else it might write to what the descriptor is next
        # Like the kernel's buffer. Else the last recv of it would make this seem not readable.
        self._ahead = b""
        self._position = self._end = 0
        self.events.close()
        self._sock.close()
        self.ready = True
        self.events.end_wait()

    def abandon(self) -> None:
        """Close this process's copy of the descriptor; send nothing, tell no loop. After a fork."""
        self._closed = True
        self._lent = False  # the helper thread is the parent's
        with suppress(ValueError):  # the loop was destroyed, and its thread is about to end
            self.events.close()
        close_copy(self._sock)

    def look(self) -> bool:
        """Find out, and return, whether ``recv`` returns, or raises, at once."""
        if not self.ready:
            # On an error, or when the peer hung up, recv tells what it is.
            self.ready = self._closed or bool(self._poll.poll(0))
        return self.ready


# What else a socket has is the socket's own. Not by __getattr__: in a class that has one, CPython
# looks up every attribute the long way, and a request costs a tenth more.
for _name in dir(ssl.SSLSocket):
    if not (_name.startswith("_") or hasattr(Connection, _name)):
        setattr(Connection, _name, property(attrgetter(f"_sock.{_name}")))

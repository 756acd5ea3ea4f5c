"""The session's connection: a socket that reads ahead and writes behind."""

from __future__ import annotations

import errno
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from select import POLLIN
from typing import TYPE_CHECKING, Any, Final, TypeVar

import gevent.socket
from gevent.monkey import get_original

from kazoo_gevent_patch.wire.descriptor import DescriptorEvents
from kazoo_gevent_patch.wire.wake_channel import WakeReader

# gevent replaces these when it patches, by what runs the event loop.
_poll = get_original("select", "poll")
_close = get_original("os", "close")
_native_sleep = get_original("time", "sleep")
_socket = get_original("socket", "socket")

_T = TypeVar("_T")

READ_SIZE: Final = 1 << 16
"""Bytes asked of the socket at a time, whatever kazoo asks of the connection."""

LARGEST_READ: Final = 1 << 20
"""Bytes asked of the socket at most: a read allocates as much as it asks for, and the
length that kazoo asks for is the peer's word."""

WRITE_SIZE: Final = 1 << 15
"""Bytes that wait to be sent together at most."""

_LOOK: Final = 0.0001
"""Seconds between two looks at whether the helper thread has ended what it does here. That makes
no call that waits."""

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

    A native thread sends heartbeats with ``interject`` when the event loop stands still, and the
    loop may stop and go on between any two steps of any method. No heartbeat gets into a message,
    because whenever neither thread is marked as sending, what the socket has taken and ``behind``
    make up whole messages. ``send`` adds a whole message in one step of the interpreter. Each of
    the two threads sets its own mark first, and then looks at the other's, so that at least one
    of them sees the other: the helper then gives up, and the loop waits for it. The same marks
    keep a TLS object, which is for one thread at a time, to one of them. There is no lock that an
    interrupted call or a fork could leave held.

    What else a socket has is the socket's own.
    """

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def __init__(self, sock: Any, requests: WakeReader | None = None) -> None:
        self._requests = requests
        self._ahead = b""
        self._position = self._end = 0
        """From where to where ``recv`` has not yet returned what was read ahead."""
        self.ready = False
        """Whether ``recv`` is known to return, or raise, at once. It stays so until something
        is received, which nobody does but this object."""
        self.behind = bytearray()
        """What waits to be sent."""
        self._untold = 0
        """How much of a large message the caller takes for not yet sent."""
        self.on_large: Callable[[], object] | None = None
        """What is called when the rest of a reply is larger than one read."""
        self.full = False
        """Whether it may be that ``send`` has no room; ``writable`` finds out."""
        self._buffers_writes = False
        self._closed = False
        self._sending = False
        """Whether it is not known how much of ``behind`` has left. After an error it stays so."""
        self._reading = False
        """Whether the loop's thread uses the TLS object for anything else."""
        self._lent = False
        """Whether the helper thread uses the socket, or is about to find out that it may not."""
        self._poll = _poll()
        self._poll.register(sock.fileno(), POLLIN)
        self.events = DescriptorEvents(sock.fileno())
        """Where to wait for the socket."""
        self._is_tls = hasattr(sock, "pending")
        self._use(sock)

    def _use(self, sock: Any) -> None:
        self._sock: Any = sock
        self._sends = iter(partial(sock.send, self.behind), None)
        """Sends what waits whenever it is asked for the next number of bytes that were sent."""

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
        if size >= WRITE_SIZE or self._untold:
            return self._send_large(data)
        self.behind += data
        # kazoo takes a request's byte from the channel only when it has sent the request.
        requests = self._requests
        if (requests is not None and len(requests.bytes) <= 1) or len(self.behind) >= WRITE_SIZE:
            self.flush()
        return size

    def _send_large(self, data: Any) -> int:
        """Take a message whole, and tell the caller little by little, as it leaves.

        While the rest of a message were still the caller's, nobody else could send anything. But
        a caller that were told at once would miss the answer to what it sends next.
        """
        if not self._untold:
            self.behind += data
            self._untold = len(data)
        self.flush()
        waits = len(self.behind)
        told = self._untold if waits < WRITE_SIZE else max(self._untold - waits, 1)
        self._untold -= told
        self.full = True  # has select look, which lets others run when this takes long
        return told

    def flush(self) -> None:
        """Send what waits to be sent, as far as the socket takes it without blocking."""
        behind = self.behind
        sent = 0
        try:
            while behind:
                self._sending = True
                if self._lent:
                    self._wait_for_helper()
                    continue
                # CPython runs signal handlers, which may run for long, after calls and after
                # jumps back; from one mark to the other there is neither.
                for sent in self._sends:
                    del behind[:sent]
                    self._sending = False
                    break
                if not sent:
                    break  # so gevent's TLS sockets say that they are full
        except _FULL:
            pass
        self._sending = False
        self.full = len(behind) >= WRITE_SIZE and len(behind) >= self._untold

    def interject(self, message: bytes, is_wanted: Callable[[], bool]) -> bool:
        """Send a message between two of the loop's. For the helper thread, and it alone.

        What waits to be sent goes before it; what is added after ``is_wanted`` has returned true,
        such as the last message of all, goes behind it. Never waits. Returns whether the message
        was sent: it was wanted, there was room, and nobody else at it. Raises what the socket
        raises.
        """
        self._lent = True
        try:
            if self._closed or self._sending or self._reading:
                return False
            if not (self._send_copies() and is_wanted()):
                return False
            self.behind[:0] = message  # in front of what the loop's thread has added since
            self._send_copies()
            return True
        finally:
            self._lent = False

    def _send_copies(self) -> bool:
        """Send what waits, while the loop's thread may add to it; return whether all has left."""
        with suppress(*_FULL):
            while self.behind and (sent := self._sock.send(bytes(self.behind))):
                del self.behind[:sent]
        return not self.behind

    def _alone(self, call: Callable[..., _T], *args: int) -> _T:
        """Call a method of the TLS object while the helper thread does not use it."""
        self._reading = True
        try:
            self._wait_for_helper()
            return call(*args)
        finally:
            self._reading = False

    def _wait_for_helper(self) -> None:
        while self._lent:
            _native_sleep(_LOOK)

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

    def writable(self) -> bool:
        """Return whether ``send`` takes some bytes, or raises, at once."""
        if self.full:
            self.flush()
        return not self.full


def _of_the_socket(name: str) -> property:
    return property(lambda connection: getattr(connection._sock, name))


# Not by __getattr__: in a class that has one, CPython looks up every attribute the long way,
# and a request costs a tenth more.
for _name in dir(ssl.SSLSocket):
    if not (_name.startswith("_") or hasattr(Connection, _name)):
        setattr(Connection, _name, _of_the_socket(_name))

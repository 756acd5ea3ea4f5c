"""The sending half of a connection: what waits, and which thread may send it.

The event loop's thread sends requests. When the loop stands still, the helper thread sends
heartbeats.
"""

from __future__ import annotations

import errno
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from gevent.monkey import get_original

from kazoo_gevent_patch.wire.wake_channel import WakeReader

_native_sleep = get_original("time", "sleep")  # gevent replaces it when it patches

WRITE_SIZE: Final = 1 << 15
"""Bytes that wait to be sent together at most."""

_LOOK: Final = 0.0001
"""Seconds between two looks at whether the helper thread, which never waits, has ended its
work here."""

_FULL: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Sender:
    """A connected socket that sends together what is queued together.

    A native thread sends heartbeats with ``interject`` when the event loop stands still, and the
    loop may stop and go on between any two steps of any method. No heartbeat gets into a message,
    because whenever neither thread is marked as sending, what the socket has taken and ``behind``
    make up whole messages. ``send`` adds a whole message in one step of the interpreter. Each of
    the two threads sets its own mark first, and then looks at the other's, so that at least one
    of them sees the other: the helper then gives up, and the loop waits for it. The same marks
    keep a TLS object, which is for one thread at a time, to one of them. There is no lock that an
    interrupted call or a fork could leave held.
    """

    def __init__(self, requests: WakeReader | None) -> None:
        self._requests = requests
        self.behind = bytearray()
        """What waits to be sent."""
        self._untold = 0
        """How much of a large message the caller takes for not yet sent."""
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

    def _use(self, sock: Any) -> None:
        self._sock: Any = sock
        self._sends = iter(partial(sock.send, self.behind), None)
        """Sends what waits whenever it is asked for the next number of bytes that were sent."""

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

    def _wait_for_helper(self) -> None:
        while self._lent:
            _native_sleep(_LOOK)

    def writable(self) -> bool:
        """Return whether ``send`` takes some bytes, or raises, at once."""
        if self.full:
            self.flush()
        return not self.full

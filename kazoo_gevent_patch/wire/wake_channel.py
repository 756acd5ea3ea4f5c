"""The wake channel: how a caller tells the connection greenlet that a request is queued.

kazoo asks its handler for a socket pair, sends one byte for each request and receives one
byte for each request it takes from its queue. A real socket pair is full after some 278
bytes, and two greenlets that then wait to write collide: a wake-up is lost and the client
hangs. This pair is a queue of bytes in memory: sending never blocks, never fails while the
channel is open, and costs no system call.

Why no request is left in kazoo's queue, with any number of greenlets and native threads sending:

* kazoo appends the request before it sends the byte, so a byte in the channel means that
  the request behind it is already in kazoo's queue.
* The reader waits in a waiting list (``loop.waiting``), whose state is the bytes.
* ``deque.extend``, ``popleft`` and ``len`` are atomic, so no byte is counted twice or not
  at all, whichever threads send.
* Only the one connection greenlet receives, one byte for each request that it took, or one
  when it finds the queue empty. So it goes on until the channel is empty, and then every
  request that was sent for has been taken.
* Nor does it wait while there is a request that was not sent for (``Selector``): what a signal's
  handler raises may come between the two. Each request would then wait for the next one's byte.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from kazoo_gevent_patch.loop.waiting import WaitingList


class WakeReader:
    """The end that the connection greenlet waits on, through the handler's ``select``.

    It holds what the two ends share.
    """

    __slots__ = ("bytes", "client", "closed", "size", "waiting")

    def __init__(self) -> None:
        self.bytes: deque[int] = deque()
        """What waits to be received."""
        self.size: Callable[[], int] = self.bytes.__len__
        """Returns how many bytes that are."""
        self.waiting = WaitingList()
        """Where to wait for a byte."""
        self.closed = False
        self.client: Any = None
        """Whose requests the bytes are for, if that is known."""

    def close(self) -> None:
        """Close both ends; a waiting reader finds the channel readable, as on end of file."""
        self.closed = True
        self.bytes.append(0)  # makes the channel readable
        self.waiting.wake_all()

    def getsockname(self) -> str:
        """Return the empty name that an unnamed socket pair has."""
        self.check_open()
        return ""

    def check_open(self) -> None:
        """Raise ``OSError`` when the channel is closed, as a socket does."""
        if self.closed:
            raise OSError(errno.EBADF, "The wake channel is closed")

    def readable(self) -> bool:
        """Return whether ``recv`` returns, or raises, at once."""
        return bool(self.bytes)

    def recv(self, size: int) -> bytes:
        """Return between one and ``size`` bytes, waiting for the first like a blocking socket.

        Raises ``OSError`` when the channel is closed.
        """
        while not self.bytes:
            self.waiting.wait(self.readable)
        if self.closed:
            self.check_open()
        waiting = self.bytes
        if size == 1:
            return bytes((waiting.popleft(),))
        return bytes([waiting.popleft() for _ in range(min(size, len(waiting)))])


class WakeWriter:
    """The end that callers send on. Safe to use from any greenlet and any native thread."""

    __slots__ = ("_channel", "close", "getsockname")

    def __init__(self, channel: WakeReader) -> None:
        self._channel = channel
        self.close = channel.close
        self.getsockname = channel.getsockname

    def send(self, data: bytes) -> int:
        """Store ``data``, wake the reader, and return how many bytes were sent: all of them.

        Raises ``OSError`` when the channel is closed.
        """
        channel = self._channel
        if channel.closed:
            channel.check_open()
        channel.bytes.extend(data)
        if channel.waiting:
            channel.waiting.wake_all()
        return len(data)


def wake_channel() -> tuple[WakeReader, WakeWriter]:
    """Return the two ends of a new channel, in the order of kazoo's ``create_socket_pair``."""
    reader = WakeReader()
    return reader, WakeWriter(reader)


SILENT: Final = WakeReader()
"""A channel on which nobody sends."""

"""The floor: kazoo's own code on primitives that cost next to nothing.

No heartbeats are sent, and connections read and write as much at a time as they can. So what a
workload costs here is the cost of kazoo's own code and of the system calls that it needs, and no
handler can cost much less.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from queue import Empty, Queue
from select import POLLIN
from typing import Any, Final

from greenlet import getcurrent, greenlet
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.protocol.states import Callback

from tests.benchmarks.bare import READ_SIZE
from tests.benchmarks.free_primitives import (
    Event,
    Lock,
    Result,
    Resume,
    poll,
    ready,
    selecting,
    sleep,
    turns,
)

_WRITE_SIZE: Final = 1 << 15
"""Bytes that wait to be sent together at most."""


class _Channel:
    """Both ends of the wake channel: how many requests wait to be sent."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.waiting = 0

    def send(self, data: bytes) -> None:
        self.waiting += 1
        self._handler.resume()

    def recv(self, size: int) -> None:
        self.waiting -= 1

    def readable(self) -> bool:
        return self.waiting > 0

    def close(self) -> None:
        pass


class _Connection:
    """A connection that reads ahead, and sends what was sent when no more is about to come."""

    def __init__(self, address: tuple[str, int], handler: Handler) -> None:
        self._socket = socket.create_connection(address)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._handler = handler
        self._ahead = b""
        self._position = 0
        self._behind = bytearray()
        selecting[self._socket.fileno()] = handler.resume
        poll.register(self._socket.fileno(), POLLIN)

    def setblocking(self, flag: bool) -> None:
        pass  # sends block until the server, which reads at once, has read

    def pending(self) -> int:
        return len(self._ahead) - self._position

    def readable(self) -> bool:
        if self.pending():
            return True
        try:
            self._ahead = self._socket.recv(READ_SIZE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        self._position = 0
        return True

    def recv(self, size: int) -> bytes:
        start = self._position
        self._position = min(start + size, len(self._ahead))
        return self._ahead[start : self._position]

    def send(self, data: Any) -> int:
        self._behind += data
        if len(self._behind) >= _WRITE_SIZE or self._handler.channel.waiting <= 1:
            self.flush()
        return len(data)

    def flush(self) -> None:
        if self._behind:
            self._socket.sendall(self._behind)
            self._behind.clear()

    def close(self) -> None:
        poll.unregister(self._socket.fileno())
        del selecting[self._socket.fileno()]
        self._socket.close()


class Handler:
    """A handler of kazoo that does only what the workloads need."""

    name = "floor"
    timeout_exception = KazooTimeoutError
    queue_impl = Queue
    queue_empty = Empty
    sleep_func = staticmethod(sleep)
    event_object = Event
    lock_object = Lock
    rlock_object = Lock
    async_result = Result

    def __init__(self) -> None:
        self.running = False
        self._selecting: Resume | None = None
        self._callbacks: deque[Callback] = deque()
        self._calls_back = False

    def start(self) -> None:
        self.running = True

    def stop(self) -> None:
        self.running = False

    def resume(self) -> None:
        """Have the connection greenlet look again, if it waits."""
        if self._selecting is not None:
            ready.append(self._selecting)
            self._selecting = None

    def select(
        self, rlist: list[Any], wlist: list[Any], xlist: list[Any], timeout: float | None = None
    ) -> tuple[list[Any], list[Any], list[Any]]:
        if wlist:
            return [], wlist, []
        if self.channel.waiting and len(rlist) > 1:
            return [self.channel], [], []
        while not (readable := [end for end in rlist if end.readable()]):
            self._selecting = getcurrent().switch
            turns.switch()
        return readable, [], []

    def create_connection(self, address: tuple[str, int], **options: Any) -> _Connection:
        return _Connection(address, self)

    def create_socket_pair(self) -> tuple[_Channel, _Channel]:
        self.channel = _Channel(self)
        return self.channel, self.channel

    def spawn(self, func: Callable[..., object], *args: Any, **kwargs: Any) -> Event:
        ended = Event()

        def run() -> None:
            try:
                func(*args, **kwargs)
            finally:
                ended.set()

        ready.append(greenlet(run, turns).switch)
        return ended

    def dispatch_callback(self, callback: Callback) -> None:
        """Have watch callbacks run in turn."""
        self._callbacks.append(callback)
        if not self._calls_back:
            self._calls_back = True
            self.spawn(self._call_back)

    def _call_back(self) -> None:
        try:
            while self._callbacks:
                callback = self._callbacks.popleft()
                callback.func(*callback.args)
        finally:
            self._calls_back = False

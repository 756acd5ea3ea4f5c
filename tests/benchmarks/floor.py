"""The floor: kazoo's own code on primitives that cost next to nothing.

Greenlets of one thread take turns, without gevent. Nothing knows a time-out, so no heartbeats are
sent, and nothing is safe in other threads, signals or forks. Connections read and write as much at
a time as they can. So what a workload costs here is the cost of kazoo's own code and of the system
calls that it needs, and no handler can cost much less.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from queue import Empty, Queue
from select import POLLIN, epoll
from time import perf_counter
from typing import Any, Final, NoReturn

from greenlet import getcurrent, greenlet
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.protocol.states import Callback

from tests.benchmarks.bare import READ_SIZE

_WRITE_SIZE: Final = 1 << 15
"""Bytes that wait to be sent together at most."""

_Resume = Callable[[], object]

_ready: Final[deque[_Resume]] = deque()
_sleeping: Final[list[tuple[float, int, _Resume]]] = []
_selecting: Final[dict[int, Handler]] = {}
"""Which handler waits for the descriptor."""
_poll: Final = epoll()


def _take_turns() -> NoReturn:
    """Resume one greenlet after the other; this greenlet is the parent of all but the main one."""
    while True:
        if not _ready:
            left = _sleeping[0][0] - perf_counter() if _sleeping else None
            for descriptor, _ in _poll.poll(left if left is None else max(left, 0)):
                _selecting[descriptor].resume()
        while _sleeping and _sleeping[0][0] <= perf_counter():
            _ready.append(heappop(_sleeping)[2])
        for _ in range(len(_ready)):
            _ready.popleft()()


_turns: Final = greenlet(_take_turns)


def _sleep(seconds: float = 0) -> None:
    current = getcurrent()
    heappush(_sleeping, (perf_counter() + seconds, id(current), current.switch))
    _turns.switch()


class _Event:
    """An event; joining what was spawned waits for one as well."""

    def __init__(self) -> None:
        self._set = False
        self._waiting: list[_Resume] = []

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        _ready.extend(self._waiting)
        self._waiting.clear()

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        if not self._set:
            self._waiting.append(getcurrent().switch)
            _turns.switch()
        return True

    join = wait


class _Lock:
    """A lock that its owner may acquire again: kazoo never tries that with a plain one."""

    def __init__(self) -> None:
        self._owner: object = None
        self._depth = 0
        self._waiting: deque[_Resume] = deque()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        current = getcurrent()
        while self._owner not in (None, current):
            if not blocking:
                return False
            self._waiting.append(current.switch)
            _turns.switch()
        self._owner = current
        self._depth += 1
        return True

    def release(self) -> None:
        self._depth -= 1
        if not self._depth:
            self._owner = None
            if self._waiting:
                _ready.append(self._waiting.popleft())

    def locked(self) -> bool:
        return self._owner is not None

    __enter__ = acquire

    def __exit__(self, *exc_info: object) -> None:
        self.release()


class _Result:
    """A result whose callbacks run at once."""

    value: Any = None
    exception: Any = None

    def __init__(self) -> None:
        self._ready = False
        self._waiting: list[_Resume] = []
        self._links: list[Callable[[_Result], object]] = []

    def ready(self) -> bool:
        return self._ready

    def successful(self) -> bool:
        return self._ready and self.exception is None

    def set(self, value: object = None) -> None:
        self.value = value
        self._ready = True
        _ready.extend(self._waiting)
        for link in self._links:
            link(self)

    def set_exception(self, exception: BaseException) -> None:
        self.exception = exception
        self.set()

    def wait(self, timeout: float | None = None) -> bool:
        if not self._ready:
            self._waiting.append(getcurrent().switch)
            _turns.switch()
        return True

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        self.wait()
        if self.exception is not None:
            raise self.exception
        return self.value

    def rawlink(self, callback: Callable[[_Result], object]) -> None:
        if self._ready:
            callback(self)
        else:
            self._links.append(callback)


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
        _selecting[self._socket.fileno()] = handler
        _poll.register(self._socket.fileno(), POLLIN)

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
        _poll.unregister(self._socket.fileno())
        del _selecting[self._socket.fileno()]
        self._socket.close()


class Handler:
    """A handler of kazoo that does only what the workloads need."""

    name = "floor"
    timeout_exception = KazooTimeoutError
    queue_impl = Queue
    queue_empty = Empty
    sleep_func = staticmethod(_sleep)
    event_object = _Event
    lock_object = _Lock
    rlock_object = _Lock
    async_result = _Result

    def __init__(self) -> None:
        self.running = False
        self._selecting: _Resume | None = None
        self._callbacks: deque[Callback] = deque()
        self._calls_back = False

    def start(self) -> None:
        self.running = True

    def stop(self) -> None:
        self.running = False

    def resume(self) -> None:
        """Have the connection greenlet look again, if it waits."""
        if self._selecting is not None:
            _ready.append(self._selecting)
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
            _turns.switch()
        return readable, [], []

    def create_connection(self, address: tuple[str, int], **options: Any) -> _Connection:
        return _Connection(address, self)

    def create_socket_pair(self) -> tuple[_Channel, _Channel]:
        self.channel = _Channel(self)
        return self.channel, self.channel

    def spawn(self, func: Callable[..., object], *args: Any, **kwargs: Any) -> _Event:
        ended = _Event()

        def run() -> None:
            try:
                func(*args, **kwargs)
            finally:
                ended.set()

        _ready.append(greenlet(run, _turns).switch)
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

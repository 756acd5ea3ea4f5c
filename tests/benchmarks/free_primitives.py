"""Primitives that cost next to nothing: greenlets of one thread that take turns, without gevent.

Nothing here knows a time-out, and nothing is safe in other threads, signals or forks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from select import epoll
from time import perf_counter
from typing import Any, Final, NoReturn

from greenlet import getcurrent, greenlet

Resume = Callable[[], object]

ready: Final[deque[Resume]] = deque()
_sleeping: Final[list[tuple[float, int, Resume]]] = []
selecting: Final[dict[int, Resume]] = {}
"""What to call when there is something to read from the descriptor."""
poll: Final = epoll()


def _take_turns() -> NoReturn:
    """Resume one greenlet after the other; this greenlet is the parent of all but the main one."""
    while True:
        if not ready:
            left = _sleeping[0][0] - perf_counter() if _sleeping else None
            for descriptor, _ in poll.poll(left if left is None else max(left, 0)):
                selecting[descriptor]()
        while _sleeping and _sleeping[0][0] <= perf_counter():
            ready.append(heappop(_sleeping)[2])
        for _ in range(len(ready)):
            ready.popleft()()


turns: Final = greenlet(_take_turns)


def sleep(seconds: float = 0) -> None:
    current = getcurrent()
    heappush(_sleeping, (perf_counter() + seconds, id(current), current.switch))
    turns.switch()


class Event:
    """An event; joining what was spawned waits for one as well."""

    def __init__(self) -> None:
        self._set = False
        self._waiting: list[Resume] = []

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        ready.extend(self._waiting)
        self._waiting.clear()

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        if not self._set:
            self._waiting.append(getcurrent().switch)
            turns.switch()
        return True

    join = wait


class Lock:
    """A lock that its owner may acquire again: kazoo never tries that with a plain one."""

    def __init__(self) -> None:
        self._owner: object = None
        self._depth = 0
        self._waiting: deque[Resume] = deque()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        current = getcurrent()
        while self._owner not in (None, current):
            if not blocking:
                return False
            self._waiting.append(current.switch)
            turns.switch()
        self._owner = current
        self._depth += 1
        return True

    def release(self) -> None:
        self._depth -= 1
        if not self._depth:
            self._owner = None
            if self._waiting:
                ready.append(self._waiting.popleft())

    def locked(self) -> bool:
        return self._owner is not None

    __enter__ = acquire

    def __exit__(self, *exc_info: object) -> None:
        self.release()


class Result:
    """A result whose callbacks run at once."""

    value: Any = None
    exception: Any = None

    def __init__(self) -> None:
        self._ready = False
        self._waiting: list[Resume] = []
        self._links: list[Callable[[Result], object]] = []

    def ready(self) -> bool:
        return self._ready

    def successful(self) -> bool:
        return self._ready and self.exception is None

    def set(self, value: object = None) -> None:
        self.value = value
        self._ready = True
        ready.extend(self._waiting)
        for link in self._links:
            link(self)

    def set_exception(self, exception: BaseException) -> None:
        self.exception = exception
        self.set()

    def wait(self, timeout: float | None = None) -> bool:
        if not self._ready:
            self._waiting.append(getcurrent().switch)
            turns.switch()
        return True

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        self.wait()
        if self.exception is not None:
            raise self.exception
        return self.value

    def rawlink(self, callback: Callable[[Result], object]) -> None:
        if self._ready:
            callback(self)
        else:
            self._links.append(callback)

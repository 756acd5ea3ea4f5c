"""``Lock`` and ``RLock``: for greenlets of any event loop and for native threads at once."""

from __future__ import annotations

from time import monotonic
from typing import Final

from gevent import getcurrent
from gevent.monkey import get_original

from kazoo_gevent_patch.loop.forks import notice_fork
from kazoo_gevent_patch.loop.hubs import hub_of_this_thread
from kazoo_gevent_patch.loop.waiting import Place, ThreadPlace, WaitingList, new_place

_native_lock: Final = get_original("_thread", "allocate_lock")


def _check(blocking: bool, timeout: float | None) -> None:
    """Raise ``ValueError`` for the arguments that a lock of ``threading`` refuses."""
    if timeout is None or timeout == -1:
        return
    if not blocking:
        raise ValueError("can't specify a timeout for a non-blocking call")
    if timeout < 0:
        raise ValueError("timeout value must be a non-negative number")


class Lock:
    """A lock with the signature and the errors of ``threading.Lock``.

    May be shared by greenlets of any event loop and by native threads. In one thread the code that
    waits longest gets it next, and new code does not overtake what waits. Between threads the first
    whose event loop runs gets it: a lock that was handed to a greenlet whose loop computes would
    keep all other threads waiting.

    * The native lock is locked exactly while the lock is held. It is only ever tried, never waited
      for.
    * ``release`` sets the native lock free first, and then wakes the first place of each thread. A
      place that is woken in vain stays where it is in the list.
    * Code that stops waiting while the lock is free (it was killed, or timed out) wakes the first
      places again. So the lock is never free while code that could take it sleeps.
    """

    __slots__ = ("__weakref__", "_native", "_waiting", "holder", "holder_hub")

    def __init__(self) -> None:
        self._native = _native_lock()
        self._waiting = WaitingList()
        self.holder: object = None
        """The greenlet that acquired the lock last."""
        self.holder_hub: object = None
        """The hub of its thread, if that has one."""

    def acquire(self, blocking: bool = True, timeout: float | None = -1) -> bool:
        """Acquire the lock, waiting at most ``timeout`` seconds; -1 or None waits for ever."""
        _check(blocking, timeout)
        # Code that finds it free may not overtake what waits.
        acquired = not self._first_places() and self._native.acquire(False)
        if not acquired and blocking:
            acquired = self._wait(None if timeout == -1 else timeout)
        if acquired:
            self.holder = getcurrent()
            self.holder_hub = hub_of_this_thread()
        return acquired

    def _wait(self, timeout: float | None) -> bool:
        if timeout is not None and timeout <= 0 and getcurrent() is hub_of_this_thread():
            return False
        place = new_place()
        deadline = None if timeout is None else monotonic() + timeout
        acquired = False
        try:
            self._waiting.append(place)
            while not (acquired := self._is_for(place)):
                remaining = None if deadline is None else deadline - monotonic()
                woken = place.wait(remaining)
                notice_fork()
                if not woken:
                    acquired = self._is_for(place)
                    break
                place.clear()
        finally:
            self._waiting.leave(place)
            if not acquired and not self._native.locked():
                self._wake()
        return acquired

    def _is_for(self, place: Place | ThreadPlace) -> bool:
        """Acquire the lock if it is free, and the place is the first of its thread."""
        return place in self._first_places() and self._native.acquire(False)

    def _first_places(self) -> list[Place | ThreadPlace]:
        """Return the first place of each thread; forget those of threads that have ended."""
        if not self._waiting:
            return []
        first: dict[object, Place | ThreadPlace] = {}
        for place in tuple(self._waiting):
            if place.is_living():
                first.setdefault(place.thread, place)
            else:
                self._waiting.leave(place)
        return list(first.values())

    def _wake(self) -> None:
        for place in self._first_places():
            place.wake()

    def release(self) -> None:
        """Release the lock. Raises ``RuntimeError`` if it is not locked."""
        if not self._native.locked():
            raise RuntimeError("release unlocked lock")
        try:
            self._native.release()
        finally:
            self._wake()

    def locked(self) -> bool:
        """Return whether somebody holds the lock."""
        return bool(self._native.locked())

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def __repr__(self) -> str:
        return self._told(type(self).__name__)

    def _told(self, name: str) -> str:
        state = "locked" if self.locked() else "unlocked"
        return f"<{state} {name} at {id(self):#x}, {len(self._waiting)} waiting>"


class RLock(Lock):
    """A re-entrant lock with the signature and the errors of ``threading.RLock``.

    It belongs to a greenlet, each native thread being one too, and may be shared like
    ``Lock``. The holder owns it while the count is above zero.
    """

    __slots__ = ("_count",)

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    def acquire(self, blocking: bool = True, timeout: float | None = -1) -> bool:
        """Acquire the lock, waiting at most ``timeout`` seconds; -1 or None waits for ever."""
        _check(blocking, timeout)
        acquired = self._is_owned() or super().acquire(blocking, timeout)
        if acquired:
            self._count += 1
        return acquired

    def release(self) -> None:
        """Release the lock. Raises ``RuntimeError`` if the caller does not own it."""
        if not self._is_owned():
            raise RuntimeError("cannot release un-acquired lock")
        self._count -= 1
        if not self._count:
            super().release()

    def __repr__(self) -> str:
        block = self._told("Lock")
        return f"<{type(self).__name__} acquired {self._count} times, on {block}>"

    # What threading.Condition asks of a re-entrant lock.

    def _is_owned(self) -> bool:
        # Only the caller itself can have made itself the owner, or can take that back.
        return self._count > 0 and self.holder is getcurrent()

    def _release_save(self) -> int:
        count, self._count = self._count, 0
        super().release()
        return count

    def _acquire_restore(self, count: int) -> None:
        super().acquire()
        self._count = count

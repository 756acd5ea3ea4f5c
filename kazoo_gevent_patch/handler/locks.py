"""``Lock`` and ``RLock``: for greenlets of any event loop and for native threads at once."""

from __future__ import annotations

from typing import Any, Final

from gevent import getcurrent
from gevent.monkey import get_original

from kazoo_gevent_patch.loop.waiters import Line, waiting_place
from kazoo_gevent_patch.loop.waiting import hub_of_this_thread

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

    May be shared by greenlets of any event loop and by native threads. Whoever waits longest
    gets it next, from the hands of who releases it: it is not free in between.

    * The native lock is locked exactly while somebody holds this one, or hands it on. It is
      only ever tried, never waited for.
    * Who waits joins the line first and tries the native lock second; who releases it, with
      nobody in line, looks at the line again second. One of the two sees the other.
    * Who was handed the lock and is killed, or times out, in that very moment has it: the
      first hands it on, the second has acquired it in time.
    """

    __slots__ = ("__weakref__", "_line", "_native", "holder", "holder_hub")

    def __init__(self) -> None:
        self._native = _native_lock()
        self._line = Line()
        self.holder: object = None
        """The greenlet that acquired the lock last."""
        self.holder_hub: object = None
        """The hub of its thread, if that has one."""

    def acquire(self, blocking: bool = True, timeout: float | None = -1) -> bool:
        """Acquire the lock, waiting at most ``timeout`` seconds; -1 or None waits for ever."""
        _check(blocking, timeout)
        # Who finds it free may not overtake those in line: the lock is about to be theirs.
        acquired = not self._line and self._native.acquire(False)
        if not acquired and blocking:
            acquired = self._wait(None if timeout == -1 else timeout)
        if acquired:
            self.holder = getcurrent()
            self.holder_hub = hub_of_this_thread()
        return acquired

    def _wait(self, timeout: float | None) -> bool:
        place = waiting_place()
        self._line.join(place)
        try:
            if self._native.acquire(False):
                self._hand_on()
            place.wait(timeout)
        except BaseException:
            if not self._line.leave(place):
                self._hand_on()
            raise
        return not self._line.leave(place)

    def _hand_on(self) -> None:
        """Give the lock, which the caller holds, to the first in line, or set it free."""
        while True:
            while (place := self._line.take_first()) is not None:
                if place.wake(None):
                    return
            self._native.release()
            if not self._line or not self._native.acquire(False):
                return

    def release(self) -> None:
        """Release the lock. Raises ``RuntimeError`` if it is not locked."""
        if not self._native.locked():
            raise RuntimeError("release unlocked lock")
        self._hand_on()

    def locked(self) -> bool:
        """Return whether somebody holds the lock."""
        return bool(self._native.locked())

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def __repr__(self) -> str:
        state = "locked" if self.locked() else "unlocked"
        return f"<{state} {type(self).__name__} at {id(self):#x}, {len(self._line)} waiting>"


class RLock:
    """A re-entrant lock with the signature and the errors of ``threading.RLock``.

    It belongs to a greenlet, each native thread being one too, and may be shared like
    ``Lock``.
    """

    __slots__ = ("__weakref__", "_block", "_count", "_owner")

    def __init__(self) -> None:
        self._block = Lock()
        self._owner: object = None
        self._count = 0

    def acquire(self, blocking: bool = True, timeout: float | None = -1) -> bool:
        """Acquire the lock, waiting at most ``timeout`` seconds; -1 or None waits for ever."""
        _check(blocking, timeout)
        current = getcurrent()
        # Only the caller itself can have made itself the owner, or can take that back.
        if self._owner is current:
            self._count += 1
            return True
        acquired = self._block.acquire(blocking, timeout)
        if acquired:
            self._owner = current
            self._count = 1
        return acquired

    def release(self) -> None:
        """Release the lock. Raises ``RuntimeError`` if the caller does not own it."""
        if self._owner is not getcurrent():
            raise RuntimeError("cannot release un-acquired lock")
        self._count -= 1
        if not self._count:
            self._owner = None
            self._block.release()

    def locked(self) -> bool:
        """Return whether somebody owns the lock."""
        return self._block.locked()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    # What threading.Condition asks of a re-entrant lock.

    def _is_owned(self) -> bool:
        return self._owner is getcurrent()

    def _release_save(self) -> tuple[int, object]:
        saved = self._count, self._owner
        self._count, self._owner = 0, None
        self._block.release()
        return saved

    def _acquire_restore(self, saved: tuple[int, Any]) -> None:
        self._block.acquire()
        self._count, self._owner = saved

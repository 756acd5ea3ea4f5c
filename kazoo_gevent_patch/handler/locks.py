"""``Lock`` and ``RLock``: for greenlets of any event loop and for native threads at once."""

from __future__ import annotations

from typing import Any, Final

from gevent import getcurrent
from gevent.monkey import get_original

from kazoo_gevent_patch.loop.hubs import hub_of_this_thread
from kazoo_gevent_patch.loop.waiting import WaitingList, new_place, took_ticket

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

    May be shared by greenlets of any event loop and by native threads. The code that waits
    longest gets it next, from the hands of the code that releases it: it is not free in between.

    * The native lock is locked exactly while the lock is held, or handed over. It is only ever
      tried, never waited for.
    * A place in the list has a ticket. Handing the lock over takes the ticket and wakes the place,
      in one step; code that stops waiting takes its own ticket. Whichever is first decides.
    * Code that is handed the lock and is killed, or times out, in that very moment has it: killed,
      it hands the lock on; timed out, it has acquired the lock in time.
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
        # Code that finds it free may not overtake what waits: the lock is about to be handed over.
        acquired = not self._waiting and self._native.acquire(False)
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
        place.ticket = [True]
        try:
            self._waiting.wait_in(place, self._hand_over_if_free, timeout)
        except BaseException:
            if not took_ticket(place):
                self._hand_over()
            raise
        return not took_ticket(place)

    def _hand_over_if_free(self) -> None:
        if self._native.acquire(False):
            self._hand_over()

    def _hand_over(self) -> None:
        """Give the lock, which the caller holds, to the first that waits, or set it free."""
        while True:
            for place in tuple(self._waiting):
                self._waiting.leave(place)
                if place.hand_over():
                    return
            try:
                self._native.release()
            finally:
                # Code may have joined the list before that and have found the lock locked.
                is_over = not self._waiting or not self._native.acquire(False)
            if is_over:
                return

    def release(self) -> None:
        """Release the lock. Raises ``RuntimeError`` if it is not locked."""
        if not self._native.locked():
            raise RuntimeError("release unlocked lock")
        self._hand_over()

    def locked(self) -> bool:
        """Return whether somebody holds the lock."""
        return bool(self._native.locked())

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def __repr__(self) -> str:
        state = "locked" if self.locked() else "unlocked"
        return f"<{state} {type(self).__name__} at {id(self):#x}, {len(self._waiting)} waiting>"


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

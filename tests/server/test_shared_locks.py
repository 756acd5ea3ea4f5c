"""One ``Lock`` object that native threads share, one of which is cancelled at the worst moment."""

from __future__ import annotations

import sys
import threading
from types import FrameType, FunctionType
from typing import Any

import gevent
import pytest
from kazoo.client import KazooClient
from kazoo.recipe.lock import Lock

from kazoo_gevent_patch.changes import cancellation, recipes
from tests.native import NativeThread
from tests.server.conftest import MakeClient
from tests.support import wait_until


class CancelledHere(BaseException):
    """What a signal, a kill or a time-out would raise."""


INNER_ACQUIRE = Lock._inner_acquire.__code__
CLEAN_UP = {
    function.__code__
    for module in (cancellation, recipes)
    for function in vars(module).values()
    if isinstance(function, FunctionType)
}


class Cancelled:
    """An acquire() that is cancelled when it has its node, and stops during its clean-up."""

    def __init__(self, stop_at: int) -> None:
        self._stop_at = stop_at
        self._moments = 0
        self._is_over = False
        self.stands = threading.Lock()
        self.stands.acquire()
        self.go_on = threading.Lock()
        self.go_on.acquire()
        self.stopped = False

    def run(self, lock: Any) -> None:
        """Acquire the lock."""
        sys.settrace(self._cancel)
        sys.setprofile(self._stop)
        try:
            lock.acquire()
        except CancelledHere:
            pass
        finally:
            sys.settrace(None)
            sys.setprofile(None)
            if not self.stopped:
                self.stands.release()

    def _cancel(self, frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code is INNER_ACQUIRE and event == "line" and frame.f_locals.get("node"):
            self._is_over = True
            raise CancelledHere
        return self._cancel

    def _stop(self, frame: FrameType, event: str, _: object) -> None:
        if self._is_over and frame.f_code in CLEAN_UP:
            self._moments += 1
            if self._moments == self._stop_at:
                self.stopped = True
                self.stands.release()
                self.go_on.acquire()


@pytest.mark.parametrize("stop_at", range(1, 41))
def test_the_node_of_the_next_thread_is_not_cleaned_away(
    make_patched_client: MakeClient, stop_at: int
) -> None:
    """The next one acquires while the cancelled one stands still at each call of its clean-up."""
    client, other = make_patched_client(), make_patched_client()
    lock, cancelled = client.Lock("/lock"), Cancelled(stop_at)
    first = NativeThread(cancelled.run, lock)
    wait_until(lambda: not cancelled.stands.locked(), sleep=gevent.sleep)
    second = NativeThread(lambda: lock.acquire(timeout=20))
    if cancelled.stopped:
        # It acquires, or waits for the one that stands still.
        gevent.sleep(0.1)
        cancelled.go_on.release()
    first.get()
    assert second.get()
    _await_clean_up(client)
    assert lock.is_acquired
    assert other.get_children("/lock") == [lock.node]
    assert not other.Lock("/lock").acquire(blocking=False)
    lock.release()
    assert other.get_children("/lock") == []


def _await_clean_up(client: KazooClient) -> None:
    """Wait until what was begun in the background has been carried out: it is quick to begin."""
    for _ in range(3):
        gevent.sleep(0.02)
        client.sync("/")

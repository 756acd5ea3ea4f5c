"""What does not wait may be called in the hub, where nothing can wait."""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty
from typing import Any

import gevent
import pytest
from gevent import get_hub
from kazoo.handlers.threading import KazooTimeoutError

from kazoo_gevent_patch import SequentialGeventHandler
from kazoo_gevent_patch.errors import CannotWaitError

handler = SequentialGeventHandler()


def held() -> Any:
    lock = handler.lock_object()
    lock.acquire()
    return lock


def in_the_hub(call: Callable[[], object]) -> object:
    """Return what the call returns in the hub, or the class of what it raises."""
    outcome: list[object] = []

    def run() -> None:
        try:
            outcome.append(call())
        except Exception as error:
            outcome.append(type(error))

    get_hub().loop.run_callback(run)
    gevent.sleep(0.001)
    return outcome[0]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: handler.event_object().wait(0), False),
        (lambda: held().acquire(timeout=0), False),
        (lambda: held().acquire(False), False),
        (lambda: handler.async_result().wait(0), None),
    ],
)
def test_a_wait_of_no_time_says_no(call: Callable[[], object], expected: object) -> None:
    """As on kazoo's default handler."""
    assert in_the_hub(call) is expected


def test_a_result_without_time_to_wait_is_a_time_out() -> None:
    """And an empty queue is empty."""
    kind = in_the_hub(lambda: handler.async_result().get(timeout=0))
    assert isinstance(kind, type)
    assert issubclass(kind, KazooTimeoutError)
    assert in_the_hub(lambda: handler.queue_impl().get(timeout=0)) is Empty


def test_a_wait_of_some_time_is_refused() -> None:
    """It could only wait for the hub itself."""
    for call in (handler.event_object().wait, held().acquire, handler.async_result().get):
        assert in_the_hub(call) is CannotWaitError

"""Native threads that are quicker than the start of the client, as on kazoo's default handler."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import gevent
import pytest

from kazoo_gevent_patch import SequentialGeventHandler
from tests.native import NativeThread
from tests.support import wait_until


class Blocked:
    """A native thread that calls a function, and then does nothing until it is released."""

    def __init__(self, function: Callable[[], object]) -> None:
        self._release = threading.Lock()
        self._release.acquire()
        self._called = threading.Lock()
        self._called.acquire()
        self.outcome: object = None
        self._function = function
        self.thread = NativeThread(self._run)

    def _run(self) -> None:
        self.outcome = self._function()
        self._called.release()
        self._release.acquire()

    def __enter__(self) -> Blocked:
        assert self._called.acquire(timeout=10)
        return self

    def __exit__(self, *_: object) -> None:
        self._release.release()
        self.thread.get()


@pytest.mark.parametrize("has_hub", [False, True])
def test_callbacks_of_a_thread_do_not_hold_up_those_of_the_started_client(has_hub: bool) -> None:
    """The first one waits, in a thread whose event loop, if it has one, never runs again."""
    handler, ran = SequentialGeventHandler(), list[str]()

    def callback(_: object) -> None:
        handler.sleep_func(0.01)
        ran.append("early")

    def early() -> object:
        if has_hub:
            gevent.get_hub()
        result = handler.async_result()
        result.rawlink(callback)
        result.set(1)
        return list(ran)

    descriptors = len(os.listdir("/proc/self/fd"))
    with Blocked(early) as thread:
        if not has_hub:
            assert thread.outcome == ["early"]  # it has run when the setter returns
            assert len(os.listdir("/proc/self/fd")) == descriptors
        handler.start()
        for number in range(3):
            result = handler.async_result()
            result.rawlink(lambda source: ran.append(source.value))
            result.set(str(number))
        wait_until(lambda: "2" in ran, sleep=gevent.sleep)
        assert [value for value in ran if value != "early"] == ["0", "1", "2"]
        with gevent.Timeout(5):
            handler.stop()


def test_what_a_thread_spawns_before_the_start_runs() -> None:
    """In a native thread of its own: the caller's has no event loop, and may never wait."""
    handler, ran = SequentialGeventHandler(), list[Any]()
    gevent.get_hub()
    descriptors = len(os.listdir("/proc/self/fd"))

    def function(value: str) -> None:
        handler.sleep_func(0.01)
        ran.append(value)

    with Blocked(lambda: handler.spawn(function, "value")) as thread:
        spawned: Any = thread.outcome
        spawned.join(10)
        assert ran == ["value"]
        assert not spawned.is_alive()
    wait_until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors, sleep=gevent.sleep)


def test_callbacks_run_though_the_event_loop_of_the_last_start_has_ended() -> None:
    """The thread that started and stopped the handler has ended with its loop."""
    handler, ran = SequentialGeventHandler(), list[Any]()

    def start_and_stop() -> None:
        handler.start()
        handler.stop()

    thread = threading.Thread(target=start_and_stop)
    thread.start()
    thread.join()
    wait_until(lambda: handler.hub is None or handler.hub.loop is None, sleep=gevent.sleep)
    for setter in (_call, lambda function: NativeThread(function).get()):
        result = handler.async_result()
        result.rawlink(ran.append)
        setter(partial(result.set, 1))
    assert len(ran) == 2


def _call(function: Callable[[], object]) -> object:
    return function()

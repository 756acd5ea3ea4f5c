"""What the parts of a client tell of their state: ``repr()``, and plain data."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import gevent
import pytest
from kazoo.exceptions import NoNodeError
from kazoo.protocol.states import Callback

from kazoo_gevent_patch import SequentialGeventHandler
from kazoo_gevent_patch.handler.callbacks import CallbackQueue
from kazoo_gevent_patch.handler.result import AsyncResult
from tests.support import wait_until

SECRET = "wonderland-5f1d"


def with_value() -> AsyncResult:
    result = AsyncResult()
    result.set(SECRET)
    return result


def with_error(error: Any) -> AsyncResult:
    result = AsyncResult()
    result.set_exception(error)
    return result


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (AsyncResult, "<AsyncResult is not ready, 0 linked>"),
        (with_value, "<AsyncResult holds a value, 0 linked>"),
        (partial(with_error, NoNodeError(SECRET)), "<AsyncResult failed with NoNodeError, 0 lin"),
        (partial(with_error, NoNodeError), "<AsyncResult failed with NoNodeError, 0 linked>"),
        (partial(with_error, None), "<AsyncResult failed with NoneType, 0 linked>"),
    ],
)
def test_a_result_tells_its_state_and_not_its_value(
    make: Callable[[], AsyncResult], told: str
) -> None:
    """The data of a node, or the text of an error, may be a secret."""
    assert repr(make()).startswith(told)
    assert SECRET not in repr(make())


def test_what_one_waits_for_tells_how_many_wait(handler: SequentialGeventHandler) -> None:
    """Events, locks, queues and results; greenlets and native threads are counted alike."""
    event, queue, result = handler.event_object(), handler.queue_impl(), handler.async_result()
    lock, rlock = handler.lock_object(), handler.rlock_object()
    assert repr(event) == str(event) == "<Event clear, 0 waiting>"
    assert repr(queue) == "<Queue of 0, 0 waiting>"
    assert repr(lock).startswith("<unlocked Lock at ")
    assert repr(rlock).startswith("<RLock acquired 0 times, on <unlocked Lock at ")
    with lock, rlock, rlock:
        assert repr(rlock).startswith("<RLock acquired 2 times, on <locked Lock at ")
        waiting = [gevent.spawn(thing) for thing in (event.wait, queue.get, result.get)]
        waiting += [gevent.spawn(lock.acquire), gevent.spawn(rlock.acquire)]
        thread = threading.Thread(target=event.wait)
        thread.start()
        wait_until(lambda: "2 waiting" in repr(event), sleep=gevent.sleep)
        assert repr(queue) == "<Queue of 0, 1 waiting>"
        assert repr(result) == "<AsyncResult is not ready, 1 linked>"
        assert repr(lock).endswith("1 waiting>")
        assert repr(rlock).endswith("1 waiting>>")
        assert [place.greenlet for place in event.waiters()] == [waiting[0]]
        assert [place.greenlet for place in result.waiters()] == [waiting[2]]
    event.set()
    queue.put(SECRET)
    queue.put(SECRET)
    result.set(SECRET)
    gevent.joinall(waiting)
    thread.join()
    assert repr(event) == "<Event set, 0 waiting>"
    assert repr(queue) == "<Queue of 1, 0 waiting>"
    assert SECRET not in repr([event, queue, result, lock, rlock])


def test_the_callback_that_runs_is_named_with_the_time_since_it_began(
    handler: SequentialGeventHandler,
) -> None:
    """And how many wait behind it, for each type of event that was used."""
    go_on = gevent.event.Event()

    def first(secret: str) -> None:
        go_on.wait()

    def second() -> None:
        raise ValueError("on purpose")

    assert handler.status().callbacks == {}
    for function, arguments in ((first, (SECRET,)), (second, ()), (second, ())):
        handler.dispatch_callback(Callback("watch", function, arguments))
    handler.completion_queue.put(lambda: None)
    gevent.sleep(0.05)
    callbacks = handler.status().callbacks
    name = f"{__name__}.{first.__qualname__}"
    assert (callbacks["watch"].running, callbacks["watch"].queued) == (name, 2)
    assert 0.04 < callbacks["watch"].seconds < 60
    assert (callbacks["completion"].running, callbacks["completion"].queued) == ("", 0)
    assert f"<SequentialGeventHandler running; watch: {name} runs for 0." in repr(handler)
    assert f"<CallbackQueue started, {name} runs for 0." in repr(handler.callback_queue)
    assert SECRET not in repr(handler)
    go_on.set()
    wait_until(handler.callback_queue.empty, sleep=gevent.sleep)
    gevent.sleep(0)
    assert repr(handler.callback_queue) == "<CallbackQueue started, 0 queued>"
    handler.stop()
    assert repr(handler).startswith("<SequentialGeventHandler stopped; watch: 0 queued")


def test_a_callback_that_has_ended_is_not_held() -> None:
    """Nor what it refers to: a large reply, say."""
    queue = CallbackQueue()
    queue.start()
    queue.put(gevent.event.Event().set)
    gevent.sleep(0)
    wait_until(queue.empty, sleep=gevent.sleep)
    assert queue._running is None
    queue.stop()


def test_a_listener_that_waits_is_named() -> None:
    """It is the program's function, and not ours that calls it."""
    from kazoo.client import KazooClient

    from kazoo_gevent_patch import patch_all

    patch_all()
    client, go_on = KazooClient(), gevent.event.Event()

    def listen(state: str) -> None:
        go_on.wait()

    client.add_listener(listen)
    client._make_state_change("SUSPENDED")
    client._make_state_change("CONNECTED")
    listener = client.handler.status().callbacks["listener"]
    assert listener.running == f"{__name__}.{listen.__qualname__}"
    assert listener.queued == 1
    go_on.set()
    assert client.handler.listeners.join(60)
    assert client.handler.status().callbacks["listener"].running == ""
    client.handler.listeners.end()


def test_the_greenlets_that_run_callbacks_are_told(handler: SequentialGeventHandler) -> None:
    """Each with what it is for."""
    handler.callback_queue.put(gevent.event.Event().wait)
    handler.completion_queue.put(lambda: None)
    gevent.sleep(0.01)
    greenlets = dict(handler.greenlets())
    assert greenlets.keys() == {"watch callbacks", "completion callbacks"}
    assert greenlets["watch callbacks"] is handler.callback_queue.worker
    greenlets["watch callbacks"].kill()

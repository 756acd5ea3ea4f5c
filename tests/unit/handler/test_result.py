"""``AsyncResult``: the reference's semantics, and what kazoo's default handler promises."""

from __future__ import annotations

import dis
import doctest
import pickle
import sys
import threading
from collections.abc import Callable
from itertools import count
from time import perf_counter
from typing import Any

import gevent
import gevent.event
import pytest
from kazoo.handlers.threading import KazooTimeoutError

from kazoo_gevent_patch import AsyncResult, SequentialGeventHandler
from kazoo_gevent_patch.handler.event import Event
from kazoo_gevent_patch.handler.result import ResultTimeout
from tests.native import NativeThread
from tests.support import wait_until

REFERENCE_EXAMPLES = """
>>> import gevent
>>> from kazoo_gevent_patch import AsyncResult
>>> result = AsyncResult()
>>> result.set(100)
>>> result.get()
100
>>> result = AsyncResult()
>>> result.set_exception(RuntimeError('failure'))
>>> result.get()
Traceback (most recent call last):
 ...
RuntimeError: failure
>>> result = AsyncResult()
>>> gevent.get_hub().exception_stream = None
>>> gevent.spawn(lambda : 1/0).link(result)
>>> result.get()
Traceback (most recent call last):
 ...
ZeroDivisionError: division by zero
"""


@pytest.fixture(params=["bare", "of a handler"])
def result(request: pytest.FixtureRequest, handler: SequentialGeventHandler) -> AsyncResult:
    """Give a result, made on its own and made by a handler."""
    return AsyncResult() if request.param == "bare" else handler.async_result()


def test_the_examples_of_the_reference_hold() -> None:
    """The examples in the reference are true of ours, as doctests."""
    stream = gevent.get_hub().exception_stream
    try:
        test = doctest.DocTestParser().get_doctest(REFERENCE_EXAMPLES, {}, "reference", None, 0)
        assert doctest.DocTestRunner(verbose=False).run(test).failed == 0
    finally:
        gevent.get_hub().exception_stream = stream


def test_it_is_gevents_async_result(result: AsyncResult) -> None:
    """Checks for gevent's class hold."""
    assert isinstance(result, gevent.event.AsyncResult)


def test_an_unset_result_is_neither_ready_nor_successful(result: AsyncResult) -> None:
    """Nothing is there before something is set."""
    assert result.ready() is False
    assert result.successful() is False
    assert result.value is None
    assert result.exception is None


@pytest.mark.parametrize("value", [100, None, [], b""])
def test_a_value_is_kept(result: AsyncResult, value: object) -> None:
    """A value, whatever it is, is there for get, again and again."""
    result.set(value)
    assert result.ready() is True
    assert result.successful() is True
    assert [result.get(), result.get(block=False), result.get_nowait()] == [value] * 3
    assert result.value == value
    assert result.exception is None


def test_an_exception_is_kept(result: AsyncResult) -> None:
    """An exception is raised by get, again and again, and is the same object."""
    error = RuntimeError("failure")
    result.set_exception(error)
    for _ in range(2):
        with pytest.raises(RuntimeError) as caught:
            result.get()
        assert caught.value is error
    assert result.ready() is True
    assert result.successful() is False
    assert result.exception is error


def test_what_is_stored_last_counts(result: AsyncResult) -> None:
    """As with kazoo's default handler: an exception after a value, and a value after that."""
    result.set(1)
    result.set_exception(RuntimeError("failure"))
    assert (result.ready(), result.successful(), result.value) == (True, False, None)
    with pytest.raises(RuntimeError):
        result.get()
    result.set(2)
    assert (result.get(), result.successful(), result.exception) == (2, True, None)


def test_an_exception_class_is_raised_as_with_the_default_handler(result: AsyncResult) -> None:
    """A class is as good as an instance, as in a raise statement."""
    result.set_exception(RuntimeError)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError):
        result.get()


def test_a_traceback_does_not_grow_from_one_get_to_the_next(result: AsyncResult) -> None:
    """Who asks for the result finds himself and ``get`` in the traceback, and nobody else."""
    result.set_exception(RuntimeError("failure"))
    for _ in range(3):
        with pytest.raises(RuntimeError, match="failure") as caught:
            result.get()
        names = [entry.name for entry in caught.traceback]
        assert names == ["test_a_traceback_does_not_grow_from_one_get_to_the_next", "get"]


@pytest.mark.parametrize("tells", [True, False])
def test_a_traceback_begins_where_the_exception_was_raised(
    result: AsyncResult, tells: bool
) -> None:
    """Whether or not ``exc_info`` is passed: who asks learns where it went wrong."""

    def fail() -> None:
        raise RuntimeError("failure")

    try:
        fail()
    except RuntimeError as error:
        result.set_exception(error, sys.exc_info() if tells else None)
    with pytest.raises(RuntimeError, match="failure") as caught:
        result.get()
    assert caught.traceback[-1].name == "fail"
    assert result.exc_info[:2] == (RuntimeError, result.exception)


def test_it_says_what_it_holds(result: AsyncResult) -> None:
    """Printed, a result shows its outcome and how many wait for it."""
    assert str(result) == "<AsyncResult unset _links[0]>"
    result.rawlink(print)
    assert (str(result), result.linkcount()) == ("<AsyncResult unset _links[1]>", 1)
    result.unlink(print)
    result.set_exception(RuntimeError("failure"))
    assert str(result) == "<AsyncResult exception=RuntimeError('failure') _links[0]>"
    result.set(5)
    assert str(result) == "<AsyncResult value=5 _links[0]>"


def test_the_names_of_a_future_do_the_same(result: AsyncResult) -> None:
    """``set_result``, ``result`` and ``done`` are gevent's further names; waiters wake up."""
    assert not result.done()
    waiter = gevent.spawn(result.result, timeout=5)
    wait_until(result.linkcount, sleep=gevent.sleep)
    result.set_result(3)
    assert waiter.get(timeout=5) == 3
    assert result.done()
    assert not result.cancel()
    assert not result.cancelled()


def test_get_waits_for_another_greenlet(result: AsyncResult) -> None:
    """Getting blocks until another greenlet sets the value."""
    getters = [gevent.spawn(result.get, timeout=5) for _ in range(3)]
    gevent.spawn(result.set, "later")
    assert [getter.get(timeout=5) for getter in getters] == ["later"] * 3


@pytest.mark.parametrize("kind", [KazooTimeoutError, gevent.Timeout, Exception])
def test_a_timeout_is_caught_by_every_name_it_has(
    result: AsyncResult, kind: type[BaseException]
) -> None:
    """Code for either handler catches the time-out of get."""
    for arguments in ({"timeout": 0.01}, {"timeout": -1}, {"block": False}):
        with pytest.raises(kind):
            result.get(**arguments)
    with pytest.raises(kind):
        result.get_nowait()


def test_a_timeout_says_how_long_it_was(result: AsyncResult) -> None:
    """The message of a time-out has the seconds."""
    with pytest.raises(KazooTimeoutError, match=r"0\.01 seconds"):
        result.get(timeout=0.01)


def test_a_timeout_survives_a_pickle() -> None:
    """As one that comes out of a worker process does."""
    error = pickle.loads(pickle.dumps(ResultTimeout(0.5)))
    assert (type(error), error.seconds, str(error)) == (
        ResultTimeout,
        0.5,
        "The result was not ready within 0.5 seconds",
    )


def test_a_timeout_of_the_callers_own_passes_through(result: AsyncResult) -> None:
    """A surrounding gevent.Timeout is neither swallowed nor mistaken for the result's."""
    mine = gevent.Timeout(0.01)
    with pytest.raises(gevent.Timeout) as caught, mine:
        result.get(timeout=30)
    assert caught.value is mine
    assert not isinstance(caught.value, KazooTimeoutError)


@pytest.mark.parametrize(
    ("value", "returned"), [(7, 7), ([1], [1]), (None, True), ([], True), (0, True), ("", True)]
)
def test_wait_returns_the_value_or_true(
    result: AsyncResult, value: object, returned: object
) -> None:
    """Waiting returns something true once there is a value: the value if it can."""
    gevent.spawn(result.set, value)
    assert result.wait(5) == returned
    assert result.wait() == returned


def test_wait_returns_true_for_an_exception(result: AsyncResult) -> None:
    """Waiting returns true, and does not raise, when an exception is set."""
    result.set_exception(RuntimeError())
    assert result.wait(5) is True


def test_wait_returns_none_on_timeout(result: AsyncResult) -> None:
    """Waiting in vain returns None."""
    assert result.wait(0.01) is None
    assert result.wait(-1) is None


def test_it_links_to_a_greenlet(result: AsyncResult) -> None:
    """The result is a target for the link of a greenlet that succeeds or fails."""
    gevent.spawn(lambda: 42).link(result)
    assert result.get(timeout=5) == 42


def test_gevent_waits_for_it(handler: SequentialGeventHandler) -> None:
    """gevent.wait and gevent.iwait take results like any other waitable."""
    results = [handler.async_result() for _ in range(3)]
    for number, result in enumerate(results):
        gevent.spawn(result.set, number)
    assert set(gevent.wait(results, timeout=5)) == set(results)


@pytest.mark.parametrize("takes_back", [False, True])
def test_gevent_waits_for_it_in_another_event_loop(
    handler: SequentialGeventHandler, takes_back: bool
) -> None:
    """gevent.wait in a native thread wakes up when this thread sets, or gives up in time."""
    result, ended = handler.async_result(), []

    def wait() -> None:
        ended.append(gevent.wait([result], timeout=0 if takes_back else 30))
        gevent.get_hub().destroy(destroy_loop=True)

    thread = threading.Thread(target=wait)
    thread.start()
    if not takes_back:
        wait_until(result.linkcount, sleep=gevent.sleep)
        result.set(1)
    thread.join(20)
    assert ended == [[] if takes_back else [result]]
    assert result.linkcount() == 0


def test_without_a_handler_callbacks_run_in_the_hub() -> None:
    """As in the reference: a raw link of a bare result is called in the hub."""
    result, seen = AsyncResult(), []
    result.rawlink(lambda source: seen.append((source, gevent.getcurrent())))
    result.set(1)
    wait_until(lambda: seen, sleep=gevent.sleep)
    assert seen == [(result, gevent.get_hub())]


def test_a_method_of_a_greenlet_is_a_callback_like_any_other(
    handler: SequentialGeventHandler,
) -> None:
    """An actor derived from gevent.Greenlet: its methods keep their turn, and may block."""
    seen: list[str] = []

    class Actor(gevent.Greenlet):  # type: ignore[type-arg]
        def on_reply(self, result: AsyncResult) -> None:
            gevent.sleep(0.001)
            seen.append("actor")

    def before(_: AsyncResult) -> None:
        gevent.sleep(0.001)
        seen.append("before")

    result = handler.async_result()
    result.rawlink(before)
    result.rawlink(Actor().on_reply)
    result.rawlink(lambda _: seen.append("after"))
    result.set(1)
    wait_until(lambda: len(seen) == 3, sleep=gevent.sleep)
    assert seen == ["before", "actor", "after"]


RESUMES: dict[str, Callable[[gevent.hub.Waiter[Any]], Callable[[AsyncResult], object]]] = {
    "a greenlet's": lambda _: gevent.getcurrent().switch,
    "a waiter's": lambda waiter: waiter.switch,
    "a waiter": lambda waiter: waiter,
}


@pytest.mark.parametrize("resume", RESUMES)
def test_what_resumes_a_greenlet_is_called_in_the_hub(
    handler: SequentialGeventHandler, resume: str
) -> None:
    """As gevent's own tools link it; a callback that blocks does not delay it."""
    result, blocked = handler.async_result(), Event()
    result.rawlink(lambda _: blocked.wait(30))
    waiter: gevent.hub.Waiter[Any] = gevent.hub.Waiter()
    result.rawlink(RESUMES[resume](waiter))
    gevent.spawn(result.set, 1)
    with gevent.Timeout(10):
        assert (gevent.get_hub().switch() if "greenlet" in resume else waiter.get()) in (result, 1)
    blocked.set()


def test_callbacks_run_in_order_on_one_greenlet_and_may_block(
    handler: SequentialGeventHandler,
) -> None:
    """Callbacks of a handler's results run one at a time, in order of completion."""
    seen: list[Any] = []

    def callback(result: AsyncResult) -> None:
        seen.append(("in", result.value))
        gevent.sleep(0.001)
        seen.append(("out", result.value))

    results = [handler.async_result() for _ in range(5)]
    for result in results:
        result.rawlink(callback)
    for number, result in enumerate(results):
        result.set(number)
    wait_until(lambda: len(seen) == 10, sleep=gevent.sleep)
    assert seen == [(step, number) for number in range(5) for step in ("in", "out")]


def test_a_late_callback_is_called_and_a_taken_back_one_is_not(
    handler: SequentialGeventHandler,
) -> None:
    """Linking to a ready result calls at once; unlinking before it is ready prevents it."""
    seen: list[str] = []
    result = handler.async_result()

    def taken_back(_: AsyncResult) -> None:
        seen.append("taken back")

    result.rawlink(taken_back)
    result.unlink(taken_back)
    result.unlink(taken_back)
    result.set(1)
    result.rawlink(lambda _: seen.append("late"))
    wait_until(lambda: seen, sleep=gevent.sleep)
    assert seen == ["late"]


def test_a_callback_linked_twice_is_called_once(handler: SequentialGeventHandler) -> None:
    """Duplicates are merged, as in kazoo and in gevent."""
    seen: list[AsyncResult] = []
    result = handler.async_result()
    result.rawlink(seen.append)
    result.rawlink(seen.append)
    result.set(1)
    wait_until(lambda: seen, sleep=gevent.sleep)
    handler.stop()
    assert seen == [result]


def test_with_the_handler_stopped_callbacks_have_run_when_the_setter_returns() -> None:
    """What kazoo promises for a response that races with stop() holds, blocked ones aside."""
    handler = SequentialGeventHandler()
    seen: list[str] = []
    result = handler.async_result()

    def callback(_: AsyncResult) -> None:
        seen.append("blocks")
        gevent.sleep(0.01)
        seen.append("done")

    result.rawlink(callback)
    result.set_exception(RuntimeError())
    assert seen[:1] == ["blocks"]
    wait_until(lambda: seen == ["blocks", "done"], sleep=gevent.sleep)


def test_a_setter_in_the_hub_does_not_wait_for_callbacks() -> None:
    """A result that the hub sets, being linked to a greenlet, still has its callbacks run."""
    handler = SequentialGeventHandler()
    seen: list[object] = []
    result = handler.async_result()
    result.rawlink(lambda source: seen.append(source.value))
    gevent.spawn(lambda: "from the hub").link(result)
    wait_until(lambda: seen, sleep=gevent.sleep)
    assert seen == ["from the hub"]


@pytest.mark.parametrize("kind", ["result", "event", "lock"])
def test_a_wait_after_a_long_computation_is_not_cut_short(kind: str) -> None:
    """The event loop's clock stood still meanwhile; a timer set by it would ring at once."""
    handler = SequentialGeventHandler()
    gevent.sleep(0.001)  # resumed by a timer: gevent does not look at the clock for what follows
    end = perf_counter() + 0.3
    while perf_counter() < end:
        pass
    start = perf_counter()
    if kind == "result":
        with pytest.raises(KazooTimeoutError):
            handler.async_result().get(timeout=0.25)
    elif kind == "event":
        assert not handler.event_object().wait(0.25)
    else:
        lock = handler.lock_object()
        lock.acquire()
        assert not lock.acquire(timeout=0.25)
    assert perf_counter() - start >= 0.24


def test_a_native_thread_that_is_first_to_queue_leaves_it_to_the_handlers_event_loop() -> None:
    """Also where that event loop has not run yet: callbacks run in the thread that started it."""
    ran_in: list[int] = []

    def start_and_wait() -> None:
        handler = SequentialGeventHandler()
        handler.start()
        result = handler.async_result()
        result.rawlink(lambda _: ran_in.append(threading.get_ident()))
        setter = threading.Thread(target=result.set)
        setter.start()
        setter.join()
        wait_until(lambda: ran_in, sleep=gevent.sleep)
        handler.stop()
        ran_in.append(threading.get_ident())
        gevent.get_hub().destroy(destroy_loop=True)

    thread = threading.Thread(target=start_and_wait)
    thread.start()
    thread.join(30)
    assert len(ran_in) == 2
    assert ran_in[0] == ran_in[1]


def test_code_waits_in_the_event_loop_that_its_thread_has_now() -> None:
    """The program has destroyed the one in which it started the handler."""
    got: list[object] = []

    def start_and_wait() -> None:
        handler = SequentialGeventHandler()
        handler.start()
        gevent.get_hub().destroy(destroy_loop=True)
        for timeout in (None, 30):
            result = handler.async_result()
            gevent.spawn_later(0.01, result.set, timeout)
            got.append(result.get(timeout=timeout))
        handler.stop()
        gevent.get_hub().destroy(destroy_loop=True)

    NativeThread(start_and_wait).get()
    assert got == [None, 30]


@pytest.mark.parametrize("kind", [AsyncResult, Event])
def test_a_link_of_a_thread_without_gevent_is_called_in_the_setters_loop(kind: Any) -> None:
    """A native thread that has never used gevent has no event loop that would call it."""
    waitable = kind()
    seen: list[object] = []
    thread = threading.Thread(target=lambda: waitable.rawlink(seen.append))
    thread.start()
    thread.join()
    waitable.set()
    wait_until(lambda: seen, sleep=gevent.sleep)
    assert seen == [waitable]


@pytest.mark.parametrize("started", [False, True])
def test_a_value_may_come_from_a_native_thread_when_no_client_lives_here(started: bool) -> None:
    """Nothing else keeps the event loop running: that is no reason to give up."""
    handler = SequentialGeventHandler()
    if started:
        handler.start()
        handler.stop()
    result = handler.async_result()

    def set_when_it_is_waited_for() -> None:
        wait_until(result.linkcount)
        result.set(5)

    threading.Thread(target=set_when_it_is_waited_for).start()
    assert result.get() == 5


def uninterrupted(function: Callable[..., object], change: str) -> list[tuple[str, object]]:
    """Return the instructions round one of them that CPython carries out without a pause."""
    code = [(step.opname, step.argval) for step in dis.get_instructions(function)]
    at = next(at for at, (name, _) in enumerate(code) if name == change)
    pauses = [
        at
        for at, (name, _) in enumerate(code)
        if name.startswith("CALL") or "BACKWARD" in name or "ABSOLUTE" in name
    ]
    return code[
        max(p for p in pauses if p < at) + 1 : min(p for p in [*pauses, len(code)] if p > at)
    ]


def test_threads_that_come_at_once_get_one_list() -> None:
    """No other thread runs between the look for a list and the store of the new one."""
    steps = uninterrupted(AsyncResult._list, "STORE_ATTR")
    assert ("LOAD_ATTR", "_linked") in steps


def test_a_step_of_kazoos_is_taken_out_and_called_at_once() -> None:
    """Nothing runs between the look at the list, the removal and the call."""
    steps = uninterrupted(AsyncResult._call_back, "DELETE_SUBSCR")
    names = [name for name, _ in steps]
    assert names.index("IS_OP") < names.index("DELETE_SUBSCR")
    assert "is_continuation" not in [argument for _, argument in steps]


@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize("meanwhile", ["unlink", "set"])
def test_a_debugger_may_run_between_any_two_lines_of_the_hand_over(
    handler: SequentialGeventHandler, meanwhile: str, number: int
) -> None:
    """Each callback is called once, or not at all where it was unlinked meanwhile."""
    kazoos: dict[str, Any] = {"__name__": "kazoo.client"}
    exec("make = lambda ran, name: lambda _: ran.append(name)", kazoos)  # a step has <locals>
    ran: list[str] = []
    first, second = (kazoos["make"](ran, name) for name in ("first", "second"))
    result, lines = handler.async_result(), count()
    result.rawlink(first)
    result.rawlink(second)

    def trace(frame: Any, event: str, _: object) -> Any:
        if frame.f_code is not AsyncResult._call_back.__code__:
            return None
        if event == "line" and next(lines) == number:
            result.unlink(first) if meanwhile == "unlink" else result.set()
        return trace

    sys.settrace(trace)
    try:
        result.set()
    finally:
        sys.settrace(None)
    assert ran.count("second") == 1
    assert ran.count("first") == 1 or (meanwhile == "unlink" and ran == ["second"])


def test_a_derived_class_may_set_before_it_calls_init(handler: SequentialGeventHandler) -> None:
    """Or never call it, as where a result is there from the start."""

    class Done(AsyncResult):
        def __init__(self, value: object) -> None:
            self.set(value)

    class Both(Done):
        def __init__(self) -> None:
            super().__init__(1)
            AsyncResult.__init__(self, handler)

    class Counted:
        made = 0

        def __new__(cls, *_: object) -> Any:
            Counted.made += 1
            return super().__new__(cls)

    class Own(Counted, AsyncResult):
        pass

    assert (Done(5).get(), Done(5).linkcount()) == (5, 0)
    assert not Both().ready()
    assert (Own(handler).linkcount(), Counted.made) == (0, 1)

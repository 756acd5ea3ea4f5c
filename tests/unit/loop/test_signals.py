"""Where the exceptions of signals' handlers are raised."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from gevent import get_hub

from kazoo_gevent_patch import SequentialGeventHandler
from kazoo_gevent_patch.handler.greenlets import HandlerGreenlet
from kazoo_gevent_patch.handler.locks import Lock
from kazoo_gevent_patch.loop.signals import guard
from tests.support import run_python

NUMBER = signal.SIGUSR1


class Alarm(Exception):
    """What the handler of these tests raises."""


def alarm(*_: object) -> None:
    raise Alarm


@pytest.fixture
def handler() -> Iterator[SequentialGeventHandler]:
    """Give a started handler, and the program's own handlers of signals back afterwards."""
    handler = SequentialGeventHandler()
    handler.start()
    previous = signal.signal(NUMBER, alarm)
    yield handler
    signal.signal(NUMBER, previous)
    handler.stop()


def raised_in_main(wait: Callable[[], object] = lambda: gevent.sleep(5)) -> bool:
    try:
        wait()
    except Alarm:
        return True
    return False


def interrupt() -> None:
    signal.raise_signal(NUMBER)


def test_a_program_sees_its_own_handlers(handler: SequentialGeventHandler) -> None:
    """What signal() and getsignal() return is what the program gave them; also C functions."""
    assert signal.getsignal(NUMBER) is alarm
    for own in (signal.default_int_handler, signal.SIG_IGN, signal.SIG_DFL, alarm):
        signal.signal(NUMBER, own)
        assert signal.getsignal(NUMBER) is own
        assert signal.signal(NUMBER, alarm) is own


def test_handlers_from_before_are_guarded_and_seen_as_they_are() -> None:
    """The interpreter's own for Ctrl-C, and one of the program's."""
    mine = signal.getsignal(signal.SIGINT)
    guard()
    guard()
    assert signal.getsignal(signal.SIGINT) is mine


def test_in_the_main_greenlet_it_is_raised_where_it_comes(
    handler: SequentialGeventHandler,
) -> None:
    """As without this package."""
    with pytest.raises(Alarm):
        interrupt()


def test_in_a_callback_the_main_greenlet_has_it_at_once(handler: SequentialGeventHandler) -> None:
    """The callback goes on afterwards, though it never waits."""
    ran: list[str] = []

    def callback() -> None:
        interrupt()
        ran.append("goes on")

    handler.completion_queue.put(callback)
    handler.completion_queue.put(lambda: ran.append("the next"))
    assert raised_in_main()
    assert ran == []
    assert handler.completion_queue.join(5)
    assert ran == ["goes on", "the next"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, gevent.GreenletExit, Alarm])
def test_whatever_its_class_the_main_greenlet_has_it(
    handler: SequentialGeventHandler, kind: type[BaseException]
) -> None:
    """In a greenlet that a handler started, and in a callback of the hub."""

    def raise_it(*_: object) -> None:
        raise kind

    signal.signal(NUMBER, raise_it)
    for start in (handler.spawn, get_hub().loop.run_callback):
        start(interrupt)
        with pytest.raises(kind):
            gevent.sleep(5)


def test_the_handler_itself_runs_at_once_where_it_comes(handler: SequentialGeventHandler) -> None:
    """It sees the frame and the greenlet that the signal interrupted."""
    seen: list[object] = []
    signal.signal(NUMBER, lambda number, frame: seen.extend([number, frame, gevent.getcurrent()]))
    greenlet = handler.spawn(interrupt)
    greenlet.join()
    assert seen[0] == NUMBER
    assert getattr(seen[1], "f_code", None) is interrupt.__code__
    assert seen[2] is greenlet


def test_a_line_of_this_package_is_never_cut_off(
    handler: SequentialGeventHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The main greenlet releases a lock, and hears of the signal when it waits next."""
    lock = Lock()
    lock.acquire()
    waiting = gevent.spawn(lock.acquire)
    gevent.sleep(0)
    # The first line of this function belongs to the package.
    names: dict[str, Any] = {
        "__name__": Lock.__module__,
        "signal": signal,
        "go_on": lock._wake,
    }
    exec(f"def wake(_):\n    signal.raise_signal({int(NUMBER)})\n    go_on()", names)
    monkeypatch.setattr(Lock, "_wake", names["wake"])
    lock.release()
    assert raised_in_main()
    assert waiting.get(timeout=5) is True


def test_two_signals_in_a_row_are_two_exceptions(handler: SequentialGeventHandler) -> None:
    """Neither swallows the other."""
    for _ in range(2):
        handler.spawn(interrupt)
    assert raised_in_main()
    assert raised_in_main()


def test_without_a_hub_it_is_as_without_this_package() -> None:
    """A plain program in the main thread is interrupted in its sleep."""
    guard()
    previous = signal.signal(signal.SIGALRM, alarm)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        with pytest.raises(Alarm):
            time.sleep(5)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def test_what_a_handler_starts_is_sheltered(handler: SequentialGeventHandler) -> None:
    """The greenlets of kazoo's loops and of callbacks are of this kind."""
    assert isinstance(handler.spawn(bool), HandlerGreenlet)


def test_what_an_event_loop_has_taken_over_is_left_to_it() -> None:
    """``gevent.signal_handler``, then the first client: Python's handler does not come back."""
    run_python("""
        import gevent, os, signal
        from kazoo_gevent_patch import SequentialGeventHandler
        heard = []
        gevent.signal_handler(signal.SIGINT, heard.append, "SIGINT")
        SequentialGeventHandler().start()
        os.kill(os.getpid(), signal.SIGINT)
        gevent.sleep(0.1)
        assert heard == ["SIGINT"]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        signal.signal(signal.SIGTERM, lambda *_: heard.append("SIGTERM"))
        signal.raise_signal(signal.SIGTERM)
        assert heard == ["SIGINT", "SIGTERM"]
    """)


def test_a_handler_that_a_greenlet_starts_is_guarded_too() -> None:
    """Monkey patched, ``threading`` takes each greenlet for a thread; the exit does not wait."""
    run_python("""
        import gevent.monkey; gevent.monkey.patch_all()
        import gevent, signal, time
        from kazoo_gevent_patch import SequentialGeventHandler
        from kazoo_gevent_patch.loop import daemons
        handler = SequentialGeventHandler()
        gevent.spawn(handler.start).get()

        def alarm(*_):
            raise ZeroDivisionError

        signal.signal(signal.SIGUSR1, alarm)
        handler.spawn(signal.raise_signal, signal.SIGUSR1)
        try:
            gevent.sleep(5)
        except ZeroDivisionError:
            heard = True
        assert heard and not daemons._hubs
    """)

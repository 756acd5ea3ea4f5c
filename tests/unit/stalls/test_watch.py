"""The timer that watches an event loop, on real loops, without a server."""

from __future__ import annotations

import gc
import logging
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from threading import get_native_id

import gevent
import pytest
from gevent.event import Event
from gevent.exceptions import LoopExit
from gevent.monkey import get_original
from kazoo.client import KazooClient

from kazoo_gevent_patch import SequentialGeventHandler
from kazoo_gevent_patch.settings.environment import STALLS
from kazoo_gevent_patch.stalls import watch as stalls
from kazoo_gevent_patch.stalls.judge import Judge, WatchedClient
from tests.support import run_python, wait_until

TIMEOUT = 1.5
block = get_original("time", "sleep")


class OnOurs:
    """Watches clients that have a session in name only."""

    def __init__(self) -> None:
        self.ends: list[Callable[[], object]] = []

    def watch(self, timeout: float = TIMEOUT) -> stalls.LoopWatch:
        client = WatchedClient(KazooClient(handler=SequentialGeventHandler()))
        loop_watch = stalls.watch(client, timeout)
        self.ends.append(partial(loop_watch.remove, client))
        return loop_watch

    def unwatch(self) -> None:
        while self.ends:
            self.ends.pop()()


@pytest.fixture
def clients() -> Iterator[OnOurs]:
    """Give what watches clients, until the test ends."""
    clients = OnOurs()
    yield clients
    clients.unwatch()


def timers() -> int:
    """Return how many timers of ours are active."""
    return sum(
        isinstance(thing, stalls.LoopWatch) and thing.is_active() for thing in gc.get_objects()
    )


def test_five_hundred_clients_cost_one_timer(clients: OnOurs) -> None:
    """And none when they have stopped."""
    assert timers() == 0
    for _ in range(500):
        clients.watch()
    assert timers() == 1
    clients.unwatch()
    assert timers() == 0


def test_the_timer_slows_down_when_a_short_session_has_ended(clients: OnOurs) -> None:
    """It is as slow as if there had been none, as long as another client lives."""
    clients.watch(timeout=30.0)
    loop_watch = clients.watch(timeout=0.001)
    assert loop_watch.judge.period < 0.1
    clients.ends.pop()()
    wait_until(lambda: loop_watch.judge.period == 1.0, sleep=gevent.sleep)
    before = loop_watch.judge.due
    gevent.sleep(0.3)
    assert loop_watch.judge.due == before
    wait_until(lambda: loop_watch.judge.due > before, sleep=gevent.sleep)


def test_the_timer_does_not_keep_the_loop_running(clients: OnOurs) -> None:
    """A wait that nothing can end is still found out."""
    clients.watch()
    with pytest.raises(LoopExit):
        Event().wait()


def test_the_loop_is_watched_for_as_long_as_it_runs(
    clients: OnOurs, caplog: pytest.LogCaptureFixture
) -> None:
    """The timer comes again and again, and it is noticed when it comes late."""
    clients.watch()
    gevent.sleep(TIMEOUT / 3)
    assert caplog.messages == []
    block(TIMEOUT / 2)
    wait_until(lambda: caplog.messages, sleep=gevent.sleep)
    (message,) = caplog.messages
    (seconds,) = re.findall(r"The event loop stood still for ([\d.]+) s", message)
    assert float(seconds) >= 0.7
    assert caplog.records[0].levelno == logging.WARNING


def test_clients_that_are_gone_are_not_watched() -> None:
    """A client that nobody stopped and nobody holds leaves no timer behind."""
    client = WatchedClient(KazooClient(handler=SequentialGeventHandler()))
    stalls.watch(client, TIMEOUT)
    assert timers() == 1
    del client
    wait_until(lambda: timers() == 0, sleep=gevent.sleep)


def test_each_thread_has_its_own_watch(clients: OnOurs) -> None:
    """A loop in a native thread is watched there, and may be left from another thread."""
    seen: list[tuple[int, int]] = []
    elsewhere = OnOurs()

    def run() -> None:
        elsewhere.watch()
        seen.append((get_native_id(), timers()))
        deadline = time.monotonic() + 10
        while timers() == 2 and time.monotonic() < deadline:
            gevent.sleep(0.01)

    clients.watch()
    pool = gevent.get_hub().threadpool
    job = pool.spawn(run)
    wait_until(lambda: seen, sleep=gevent.sleep)
    elsewhere.unwatch()
    job.get(timeout=10)
    assert seen[0] == (seen[0][0], 2)
    assert seen[0][0] != get_native_id()
    assert timers() == 1


@pytest.mark.parametrize(("value", "warnings"), [("0", 0), ("1", 1), ("", 1)])
def test_zero_in_the_environment_switches_the_warning_off(
    value: str, warnings: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The loop is watched all the same, for the heartbeats."""
    monkeypatch.setenv(STALLS.variable, value)
    now = [1000.0]
    judge = Judge(lambda: now[0], warns=STALLS.is_on())
    client = WatchedClient(KazooClient(handler=SequentialGeventHandler()))
    client.begin(TIMEOUT)
    judge.add(client)
    for _ in range(2):
        now[0] += 10 * TIMEOUT
        judge.tick()
    assert len(caplog.messages) == warnings


@pytest.mark.parametrize("value", ["no", "2", " 0"])
def test_a_bad_value_is_one_warning_and_leaves_it_on(value: str) -> None:
    """The warning names the variable, the value and what is allowed."""
    program = """
        import logging, sys
        logging.basicConfig(stream=sys.stderr, format="%(name)s %(levelname)s %(message)s")
        from kazoo.client import KazooClient
        from kazoo_gevent_patch import SequentialGeventHandler
        from kazoo_gevent_patch.settings.environment import STALLS
        from kazoo_gevent_patch.stalls import watch as stalls
        from kazoo_gevent_patch.stalls.judge import WatchedClient
        for _ in range(3):
            client = WatchedClient(KazooClient(handler=SequentialGeventHandler()))
            stalls.watch(client, 1.0)
            assert STALLS.is_on()
    """
    (line,) = run_python(program, env={STALLS.variable: value}).stderr.splitlines()
    assert line.startswith(f"kazoo_gevent_patch WARNING {STALLS.variable}={value!r}")
    assert "ignored; for the warning of stalls set 1, or 0" in line


def test_a_warning_that_cannot_be_logged_does_not_end_the_watch(
    clients: OnOurs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program's logging handler may raise: the event loop logs, and nothing can wait there."""
    asked = Event()

    def fail(_: logging.LogRecord) -> bool:
        asked.set()
        raise ValueError("The log is full")

    monkeypatch.setattr(logging.getLogger("kazoo_gevent_patch"), "filters", [fail])
    loop_watch = clients.watch(timeout=0.3)
    block(0.3)
    assert asked.wait(timeout=10)
    ran = loop_watch.ran
    wait_until(lambda: loop_watch.ran > ran, sleep=gevent.sleep)

"""What a stall means for sessions, judged on a simulated clock."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import pytest
from kazoo.protocol.states import KazooState

from kazoo_gevent_patch.stalls.judge import (
    KEPT_AFTER,
    LONGEST_HOLD,
    PRECISION,
    SILENCE,
    TOLERATED,
    Judge,
    WatchedClient,
    describe,
)

HOUR = 3600.0
TIMEOUT = 4.0


@dataclass(eq=False)
class Stopped:
    """The one question that is asked of a client's event."""

    stopped: bool = False

    def is_set(self) -> bool:
        return self.stopped


@dataclass(eq=False)
class ClientState:
    """A client's state as kazoo shows it, set by the test."""

    hosts: list[tuple[str, int]]
    client_id: tuple[int, bytes] | None = (1, b"")
    state: str = KazooState.CONNECTED
    _stopped: Stopped = field(default_factory=Stopped)

    @property
    def connected(self) -> bool:
        return self.client_id is not None

    def disconnect(self) -> None:
        self.client_id = None
        self.state = KazooState.SUSPENDED

    def connect(self, session: int) -> None:
        self.client_id = (session, b"")
        self.state = KazooState.CONNECTED

    def stop(self) -> None:
        self._stopped.stopped = True
        self.client_id = None
        self.state = KazooState.LOST


class Loop:
    """An event loop in simulated time, which calls a judge as the timer does."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.judge = Judge(lambda: self.now)
        self.watched: list[WatchedClient] = []

    def watch(self, name: str = "one", timeout: float = TIMEOUT) -> ClientState:
        state = ClientState([(name, 2181)])
        watched = WatchedClient(state)
        watched.begin(timeout)
        self.watched.append(watched)
        self.judge.add(watched)
        return state

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.stall(0)

    def stall(self, seconds: float) -> None:
        """Come late by so many seconds."""
        self.now += self.judge.period + seconds
        self.judge.tick()

    def stop(self) -> None:
        for watched in self.watched:
            self.judge.remove(watched)


@pytest.fixture
def loop() -> Loop:
    """Give a loop that nothing happens on."""
    return Loop()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return our warnings so far."""
    return [
        record.getMessage()
        for record in caplog.records
        if (record.name, record.levelno) == ("kazoo_gevent_patch", logging.WARNING)
    ]


@pytest.mark.parametrize("timeout", [0.2, TIMEOUT, 40.0])
def test_an_hour_without_a_stall_gives_no_warning(
    loop: Loop, timeout: float, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the time-out."""
    loop.watch(timeout=timeout)
    loop.run(HOUR)
    assert warnings(caplog) == []


@pytest.mark.parametrize("seed", range(20))
def test_a_loop_that_is_often_late_by_less_than_a_third_gives_no_warning(
    loop: Loop, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Ten minutes of lateness from a seed."""
    chance = random.Random(seed)
    loop.watch()
    loop.watch(timeout=10 * TIMEOUT)
    end = loop.now + HOUR / 6
    while loop.now < end:
        loop.stall(chance.uniform(0, 0.999 * TIMEOUT * TOLERATED))
    assert warnings(caplog) == []


@pytest.mark.parametrize("seed", range(20))
def test_a_stall_gives_one_warning_with_its_length(
    loop: Loop, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Of half the time-out, begun at any moment between two looks at the clock."""
    chance = random.Random(seed)
    timeout = chance.uniform(0.5, 60)
    loop.watch(timeout=timeout)
    loop.run(10 * timeout)
    already_passed = chance.uniform(0, loop.judge.period)
    loop.stall(timeout / 2 - already_passed)
    loop.run(HOUR)
    (message,) = warnings(caplog)
    figure = float(message.split(" s,")[0].rpartition(" ")[2])
    assert timeout / 2 - PRECISION * timeout - 0.01 <= figure <= timeout / 2 + 0.01
    assert f"(session time-out {timeout:g} s)" in message
    assert "KazooClient" not in message
    assert "ClientState('one:2181')" in message
    assert "lost" not in message


def test_there_is_at_most_one_warning_a_minute_for_a_client(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    """An hour of nothing but stalls."""
    times: list[float] = []
    loop.watch()
    end = loop.now + HOUR
    while loop.now < end:
        loop.stall(TIMEOUT)
        times += [loop.now] * (len(warnings(caplog)) - len(times))
    assert 50 <= len(times) <= 60
    assert min(later - earlier for earlier, later in pairwise(times)) >= SILENCE


def test_a_client_with_a_long_time_out_is_not_in_danger(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    """One stall is one warning, of those clients whose sessions it endangers."""
    loop.watch("brief")
    loop.watch("patient", timeout=100.0)
    loop.stall(TIMEOUT / 2)
    loop.run(LONGEST_HOLD)
    loop.stall(50.0)
    loop.run(LONGEST_HOLD)
    brief, patient = warnings(caplog)
    assert "ClientState('brief:2181') (session time-out 4 s)" in brief
    assert "ClientState('patient:2181') (session time-out 100 s)" in patient


def test_many_clients_share_one_warning(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    """It names one, counts the others, and says how many sessions were lost."""
    states = [loop.watch() for _ in range(500)]
    loop.stall(TIMEOUT)
    for session, state in enumerate(states[:100], 2):
        state.connect(session)
    loop.run(KEPT_AFTER)
    (message,) = warnings(caplog)
    assert "ClientState('one:2181') and 499 more (session time-out 4 s)" in message
    assert message.endswith(". Sessions lost: 100 of 500")


@pytest.mark.parametrize(
    ("helped", "text"),
    [
        (0, "and no heartbeat was sent for ClientState('one:2181') and 2 more ("),
        (2, "and the helper thread sent heartbeats for 2 of 3 clients: ClientState('one:2181') an"),
        (3, "and the helper thread sent heartbeats for ClientState('one:2181') and 2 more ("),
    ],
)
def test_it_says_for_whom_heartbeats_were_sent(
    loop: Loop, helped: int, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In this stall; those of an earlier one are not counted again."""
    for _ in range(3):
        loop.watch()
    for beats in (0, 5):
        for watched in loop.watched[:helped]:
            watched.heartbeats += beats
        loop.stall(TIMEOUT)
        loop.run(SILENCE + 2 * LONGEST_HOLD)
    first, second = warnings(caplog)
    assert "no heartbeat was sent" in first
    assert text in second
    loop.stall(TIMEOUT)
    loop.run(KEPT_AFTER)
    assert "no heartbeat was sent" in warnings(caplog)[-1]
    assert warnings(caplog)[-1].endswith(". Sessions kept: 3 of 3")


def test_the_warning_waits_for_the_news_of_the_session(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    """While the client connects again nothing is said; then, at once, that the session is lost."""
    state = loop.watch()
    loop.stall(2 * TIMEOUT)
    state.disconnect()
    loop.run(LONGEST_HOLD / 2)
    assert warnings(caplog) == []
    state.state = KazooState.LOST
    loop.stall(0)
    (message,) = warnings(caplog)
    assert message.endswith(". Sessions lost: 1 of 1")


def test_the_warning_does_not_wait_for_ever(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    """Where the servers are gone as well, it says that the client is not connected."""
    state = loop.watch()
    loop.stall(2 * TIMEOUT)
    state.disconnect()
    loop.run(LONGEST_HOLD + 1)
    (message,) = warnings(caplog)
    assert message.endswith(". Not connected again yet: 1 of 1")


def test_a_session_that_is_found_again_is_not_lost(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    """Connected again with the same session."""
    state = loop.watch()
    loop.stall(TIMEOUT)
    state.disconnect()
    loop.run(KEPT_AFTER)
    state.connect(1)
    loop.run(KEPT_AFTER)
    (message,) = warnings(caplog)
    assert message.endswith(". Sessions kept: 1 of 1")


def test_what_is_held_is_said_when_the_client_stops(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    """And a session that the program itself closes is not called lost."""
    state = loop.watch()
    loop.stall(TIMEOUT)
    state.stop()
    loop.stop()
    (message,) = warnings(caplog)
    assert "essions" not in message
    loop.run(HOUR)
    loop.stall(HOUR)
    assert len(warnings(caplog)) == 1


def a_callback() -> None:
    """Stand for a callback of a program."""


class Recipe:
    """Has the shape of kazoo's watch recipes, and a method of its own."""

    def __init__(self, func: object = None) -> None:
        if func is not None:
            self._func = func

    def watcher(self) -> None:
        """Be passed to kazoo as a callback."""


def test_the_callback_that_took_the_time_is_named(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    """When it is known to have run for most of the stall, and not otherwise."""
    loop.watch()
    for seconds in (2.0, 1.5, 0.5):
        loop.judge.note(partial(a_callback), seconds)
        loop.stall(2.0 if seconds == 2.0 else 4.0)
        loop.run(SILENCE + 2 * LONGEST_HOLD)
    named, too_short, far_too_short = warnings(caplog)
    assert f"The callback {__name__}.a_callback ran for 2.00 s without a pause. S" in named
    for message in (too_short, far_too_short):
        assert "a_callback" not in message
        assert "GEVENT_MONITOR_THREAD_ENABLE=1" in message


def test_the_callback_of_an_earlier_stall_is_not_named_again(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    """What ran before the last look at the clock had nothing to do with this stall."""
    loop.watch()
    loop.judge.note(a_callback, 2.0)
    loop.stall(0)
    loop.stall(2.0)
    loop.run(KEPT_AFTER)
    (message,) = warnings(caplog)
    assert "a_callback" not in message


def test_callbacks_are_described_by_the_function_that_the_program_passed() -> None:
    """Through partials, methods, callable objects and kazoo's watch recipes."""
    assert describe(partial(partial(a_callback))) == f"{__name__}.a_callback"
    assert describe(Recipe(a_callback).watcher) == f"{__name__}.a_callback"
    assert describe(Recipe().watcher) == f"{__name__}.Recipe.watcher"
    assert describe([].append) == "None.list.append"
    assert describe(Stopped()) == f"{__name__}.Stopped"


def test_the_shortest_time_out_counts_for_as_long_as_its_session(loop: Loop) -> None:
    """When it has ended, the look at the clock is as rare as the other sessions allow."""
    loop.watch("long", timeout=30.0)
    period = loop.judge.period
    loop.watch("short", timeout=0.001)
    assert loop.judge.period < period
    loop.judge.remove(loop.watched.pop())
    loop.run(1)
    assert loop.judge.period == period
    loop.watched[0].begin(3.0)  # a session of another length
    loop.judge.add(loop.watched[0])
    assert loop.judge.period == period / 10
    loop.watched[0].begin(30.0)
    loop.judge.add(loop.watched[0])
    loop.run(1)
    assert loop.judge.period == period


def test_no_pause_is_too_short_to_be_none(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    """However short a session time-out is, what any program does now and then is no stall."""
    loop.watch(timeout=0.001)
    for late in (0.001, 0.01, 0.04):
        loop.stall(late)
    loop.run(LONGEST_HOLD + 1)
    assert warnings(caplog) == []
    loop.stall(0.06)
    loop.run(LONGEST_HOLD + 1)
    assert "stood still for 0.06 s" in warnings(caplog)[0]

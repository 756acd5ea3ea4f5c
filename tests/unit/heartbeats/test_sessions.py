"""When a session gets a heartbeat, on a clock that the test sets and a real connection."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from kazoo.client import KazooClient

from kazoo_gevent_patch import SequentialGeventHandler, patch_all
from kazoo_gevent_patch.heartbeats import sessions
from kazoo_gevent_patch.heartbeats.helper import helper
from kazoo_gevent_patch.heartbeats.sessions import AGAIN, HEARTBEAT, PUSH, PUSH_AGAIN, Session
from kazoo_gevent_patch.settings.environment import KEEP_SESSIONS, STALLS
from kazoo_gevent_patch.stalls import watch as stalls
from kazoo_gevent_patch.stalls.judge import WatchedClient
from kazoo_gevent_patch.wire.connection import Connection

TIMEOUT = 9.0
THIRD = 3.0


class Patient:
    """A session in an event loop that stands still."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        left, self.peer = socket.socketpair()
        self.peer.setblocking(False)
        self.connection = Connection(left)
        self.connection.setblocking(False)
        self.client = KazooClient(handler=SequentialGeventHandler())
        self.client._stopped.clear()
        self.watched = WatchedClient(self.client)
        self.loop = stalls.watch(self.watched, TIMEOUT)
        self.session = Session(self.watched, self.connection, self.loop)
        self.late = 0.0
        monkeypatch.setattr(stalls, "clock", lambda: self.loop.judge.due + self.late)

    def attend(self, late: float) -> float:
        """Call it when the loop is late by so much; return when it is to be called again."""
        self.late = late
        return self.session.attend()

    def heartbeats(self) -> int:
        """Return how many heartbeats have arrived; nothing else has."""
        try:
            data = self.peer.recv(1 << 16)
        except BlockingIOError:
            return 0
        assert data == HEARTBEAT * (len(data) // len(HEARTBEAT))
        return len(data) // len(HEARTBEAT)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> Iterator[Patient]:
    """Give one that is well."""
    patch_all()  # with the default; what another test chose last would hold
    with monkeypatch.context() as patch:
        patient = Patient(patch)
        yield patient
    patient.loop.remove(patient.watched)
    patient.connection.close()
    patient.peer.close()


def test_there_is_a_heartbeat_every_third_of_the_time_out(patient: Patient) -> None:
    """From when the loop is late by a third, for as long as it stands still."""
    assert patient.attend(-0.25) == pytest.approx(THIRD + 0.25)
    assert patient.attend(THIRD - 0.1) == pytest.approx(0.1)
    assert patient.heartbeats() == 0
    for number in range(1, 100):
        assert patient.attend(number * THIRD) == pytest.approx(THIRD)
        assert patient.heartbeats() == 1
        assert patient.attend(number * THIRD + 1) == pytest.approx(THIRD - 1)
        assert patient.heartbeats() == 0
    assert patient.watched.heartbeats == 99


@pytest.mark.parametrize(
    ("choice", "heartbeats"), [(True, 10), (False, 0), (3.5, 1), (6, 2), (2.0, 0)]
)
def test_a_stall_is_bridged_for_as_long_as_was_chosen(
    patient: Patient, choice: float, heartbeats: int
) -> None:
    """Counted from when the loop was to run."""
    patch_all(keep_sessions=choice)
    for number in range(1, 11):
        patient.attend(number * THIRD)
    assert patient.heartbeats() == heartbeats


def test_the_environment_comes_first(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    """For those who do not own the code."""
    patch_all(keep_sessions=False)
    monkeypatch.setenv(KEEP_SESSIONS.variable, "1")
    patient.attend(THIRD)
    assert patient.heartbeats() == 1


def stop(patient: Patient) -> None:
    """Have the client told to stop."""
    patient.client._stopped.set()


def end_thread(patient: Patient) -> None:
    """Have the thread of the event loop ended."""
    patient.loop.thread.ended = True


def close(patient: Patient) -> None:
    """Have the connection closed."""
    patient.connection.close()


def hang_up(patient: Patient) -> None:
    """Have the server gone."""
    patient.peer.close()


@pytest.mark.parametrize("end", [stop, end_thread, close, hang_up])
def test_there_is_no_heartbeat_after_the_end(patient: Patient, end: Any) -> None:
    """And no error; it is tried again, as the loop may be about to run."""
    end(patient)
    try:
        assert patient.attend(THIRD) == pytest.approx(THIRD * AGAIN)
    finally:
        patient.loop.thread.ended = False
    assert patient.watched.heartbeats == 0
    if end is not hang_up:
        assert patient.heartbeats() == 0


def test_one_that_finds_no_room_waits_for_it(patient: Patient) -> None:
    """What waits to be sent goes first, and as fast as the server takes it."""
    size = 1 << 20
    patient.connection.send(bytes(size))
    assert patient.attend(THIRD) == PUSH_AGAIN
    while size:
        size -= len(patient.peer.recv(min(size, 100_000)))
        pause = patient.attend(patient.late + PUSH_AGAIN)
        assert pause in (PUSH, PUSH_AGAIN) or not patient.connection.behind
    patient.attend(patient.late + PUSH_AGAIN)
    assert patient.heartbeats() == patient.watched.heartbeats == 1


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("warns", ["1", "0"])
def test_what_is_switched_off_costs_nothing(
    patient: Patient, keep: bool, warns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No timer without both of warnings and heartbeats, and no thread without heartbeats."""
    patch_all(keep_sessions=keep)
    monkeypatch.setenv(STALLS.variable, warns)
    before = set(helper._attended)
    end = sessions.keep(patient.watched, patient.connection, TIMEOUT)
    assert (end is not None) == (keep or warns == "1")
    assert len(helper._attended - before) == keep
    if end is not None:
        end()
    assert helper._attended == before


def test_a_connection_that_is_not_ours_is_only_watched(patient: Patient) -> None:
    """A derived handler may have made another kind of socket."""
    before = set(helper._attended)
    end = sessions.keep(patient.watched, gevent.socket.socket(), TIMEOUT)
    assert end is not None
    assert helper._attended == before
    end()

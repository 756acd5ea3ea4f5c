"""How a process answers the command, step by step, over real sockets."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator

import pytest

from kazoo_gevent_patch.inspection import visits
from kazoo_gevent_patch.inspection.visits import PATIENCE, PAUSE, PERIOD, Visitor, name_for


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Give a socket that listens where the command does for this process."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name_for(os.getpid()))
        listener.listen()
        listener.settimeout(0)
        yield listener


@pytest.fixture(autouse=True)
def report(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Give the parts of the report that is made."""
    parts = [b"{}\n"]

    def make() -> visits.Report:
        yield from ()
        return b"".join(parts)

    monkeypatch.setattr(visits, "reports", [make])
    return parts


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def read_all(sock: socket.socket) -> bytes:
    sock.settimeout(60)
    data = b""
    while received := sock.recv(1 << 16):
        data += received
    return data


def test_it_comes_again_in_a_second_while_nobody_asks() -> None:
    """And keeps nothing open meanwhile."""
    before = descriptors()
    visitor = Visitor()
    assert [visitor.attend() for _ in range(3)] == [PERIOD] * 3
    assert descriptors() == before


def test_the_command_gets_the_report(listener: socket.socket) -> None:
    """At once, and each time that it asks."""
    visitor = Visitor()
    for _ in range(3):
        assert visitor.attend() == PERIOD
        sock, _ = listener.accept()
        with sock:
            assert read_all(sock) == b"{}\n"


def test_a_large_report_goes_in_steps_that_do_not_wait(
    listener: socket.socket, report: list[bytes]
) -> None:
    """Heartbeats may be due in between."""
    report[:] = [b"x" * (1 << 22)]
    visitor = Visitor()
    assert visitor.attend() == PAUSE
    sock, _ = listener.accept()
    received = 0
    with sock:
        while visitor.attend() != PERIOD:
            received += len(sock.recv(1 << 20))
        received += len(read_all(sock))
    assert received == 1 << 22


def test_a_reader_that_hangs_is_left(
    listener: socket.socket, report: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some seconds; the next one is answered."""
    report[:] = [b"x" * (1 << 22)]
    now = [0.0]
    monkeypatch.setattr(visits, "monotonic", lambda: now[0])
    visitor = Visitor()
    assert [visitor.attend(), visitor.attend()] == [PAUSE, PAUSE]
    now[0] = PATIENCE
    assert visitor.attend() == PERIOD
    assert visitor.attend() == PAUSE
    for _ in range(2):
        listener.accept()[0].close()


def test_a_reader_that_has_gone_does_no_harm(listener: socket.socket, report: list[bytes]) -> None:
    """Not even in a program that a broken pipe ends."""
    report[:] = [b"x" * (1 << 22)]
    visitor = Visitor()
    before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        assert visitor.attend() == PAUSE
        listener.accept()[0].close()
        assert visitor.attend() == PERIOD
    finally:
        signal.signal(signal.SIGPIPE, before)


def test_another_user_gets_nothing(
    listener: socket.socket, report: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody may take the name; the kernel tells whose socket it is."""
    me = os.getpid(), os.geteuid()
    assert visits.credentials(socket.socketpair()[0]) == me
    monkeypatch.setattr(visits, "credentials", lambda _: (1, os.geteuid() + 1))
    assert Visitor().attend() == PERIOD
    sock, _ = listener.accept()
    assert read_all(sock) == b""
    monkeypatch.setattr(visits, "credentials", lambda _: (1, 0))  # but root does
    Visitor().attend()
    sock, _ = listener.accept()
    assert read_all(sock) == b"{}\n"


def test_a_report_that_fails_is_told_to_the_command(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that sends the heartbeats goes on."""

    def fail() -> visits.Report:
        yield from ()
        raise ValueError("why")

    monkeypatch.setattr(visits, "reports", [fail])
    assert Visitor().attend() == PERIOD
    sock, _ = listener.accept()
    assert b"ValueError: why" in read_all(sock)


def test_the_heartbeats_go_on_while_a_report_is_made(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The visitor comes again after the pause that the report asks for."""

    def wait() -> visits.Report:
        yield 0.25
        return b"at last\n"

    monkeypatch.setattr(visits, "reports", [wait])
    visitor = Visitor()
    assert visitor.attend() == 0.25
    assert visitor.attend() == PERIOD
    sock, _ = listener.accept()
    assert read_all(sock) == b"at last\n"


def test_whatever_goes_wrong_the_heartbeats_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that nobody thought of ends the visit, and not the thread."""

    def fail(_: int) -> str:
        raise RuntimeError("not thought of")

    visitor = Visitor()
    monkeypatch.setattr(visits, "name_for", fail)
    assert visitor.attend() == PERIOD
    monkeypatch.undo()
    assert visitor.attend() == PERIOD


def test_a_forked_child_leaves_the_visit_to_its_parent(
    listener: socket.socket, report: list[bytes]
) -> None:
    """It closes its copy, and writes nothing into it."""
    report[:] = [b"x" * (1 << 22)]
    before = descriptors()
    assert visits.visitor.attend() == PAUSE
    listener.accept()[0].close()
    listener.close()
    child = os.fork()
    if not child:
        is_closed = len(descriptors()) <= len(before) - 1  # without the listener
        os._exit(0 if is_closed and visits.visitor.attend() == PERIOD else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert visits.visitor.attend() == PERIOD

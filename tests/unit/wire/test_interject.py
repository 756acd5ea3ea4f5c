"""The helper thread and the event loop's thread on one connection, stopped between any two steps.

A step is an instruction of the interpreter. Whichever of the two threads is stopped before it, the
other does all that it can meanwhile, and the peer receives whole messages.
"""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from kazoo_gevent_patch.heartbeats.sessions import HEARTBEAT
from kazoo_gevent_patch.wire import sending
from kazoo_gevent_patch.wire.connection import Connection
from tests.unit.wire.two_threads import Line, in_thread, message, stop_before, tls_pair

STEPS = 5000
"""More than any of these have."""

NATIVE_SLEEP = sending._native_sleep


@pytest.fixture(autouse=True, scope="module")
def _every_step_is_seen() -> None:
    """CPython 3.12 tells of the steps only when that was asked for before."""
    left, right = socket.socketpair()
    with left, right:
        stop_before(STEPS, lambda: Connection(left).look(), lambda: None)


@pytest.fixture(params=["plain", "TLS"])
def make_line(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Give what makes a new line."""

    @contextmanager
    def make() -> Iterator[Line]:
        left, right = tls_pair(tmp_path) if request.param == "TLS" else socket.socketpair()
        left.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the kernel's least, some KiB
        line = Line(left, right)
        yield line
        line.connection.close()
        right.close()

    return make


def few_requests(line: Line) -> None:
    """Requests that are sent together, and a reply."""
    line.answer(message(9, 20))
    line.send(message(1, 30), more=True)
    line.send(message(2, 30), more=True)
    line.send(message(3, 30))
    line.connection.look()
    while line.connection.pending() or line.connection.look():
        with suppress(BlockingIOError, ssl.SSLWantReadError):
            line.connection.recv(7)


def large_message(line: Line) -> None:
    """A message that leaves in many pieces."""
    line.send(message(1, 30), more=True)
    line.send(message(2, 50_000))
    line.send(message(3, 30))
    while line.connection.behind:
        line.receive()
        line.connection.flush()


def close(line: Line) -> None:
    """Close the connection after the last request, after which nothing may come."""
    line.send(message(1, 30))
    line.is_over = True
    line.send(message(2, 30))
    line.connection.close()


WORKS = [few_requests, large_message, close]


def heartbeat_before(step: int, line: Line, work: Callable[[Line], None]) -> bool | None:
    """Stop the loop before a step of its work, and return if a heartbeat was sent then.

    Return None if the work has not so many steps.
    """
    connection = line.connection
    outcomes: list[bool] = []

    def beat() -> None:
        is_known = not (connection._sending or connection._reading or line.is_over)
        sent = connection.interject(HEARTBEAT, line.is_wanted)
        assert sent == is_known or connection.behind
        outcomes.append(sent)

    if not stop_before(step, lambda: work(line), lambda: in_thread(beat)):
        return None
    line.check(sum(outcomes))
    return outcomes[0]


@pytest.mark.parametrize("work", WORKS)
def test_a_heartbeat_goes_between_messages_wherever_the_loop_stands_still(
    make_line: Any, work: Callable[[Line], None]
) -> None:
    """It has to wait where it is not known what has left, and that is nowhere else."""
    outcomes: list[bool] = []
    for step in range(STEPS):
        with make_line() as line:
            outcome = heartbeat_before(step, line, work)
        if outcome is None:
            break
        outcomes.append(outcome)
    assert 0 < len(outcomes) < STEPS
    assert any(outcomes)
    assert not all(outcomes)
    if work is few_requests:
        assert outcomes.count(False) < outcomes.count(True)


def work_before(
    step: int, line: Line, work: Callable[[Line], None], patch: pytest.MonkeyPatch
) -> bool:
    """Stop the helper thread before a step, and let the loop do its work; or what it can of it.

    Return False if a heartbeat has not so many steps.
    """
    can_no_more = threading.Event()
    outcomes: list[bool] = []

    def wait(seconds: float) -> None:
        can_no_more.set()
        NATIVE_SLEEP(seconds)

    def go_on() -> None:
        try:
            work(line)
        finally:
            can_no_more.set()

    loop = threading.Thread(target=go_on)

    def meanwhile() -> None:
        loop.start()
        assert can_no_more.wait(10)

    patch.setattr(sending, "_native_sleep", wait)
    if not stop_before(
        step,
        lambda: outcomes.append(line.connection.interject(HEARTBEAT, line.is_wanted)),
        meanwhile,
    ):
        return False
    loop.join(10)
    assert not loop.is_alive()
    line.check(sum(outcomes))
    return True


@pytest.mark.parametrize("work", WORKS)
def test_the_loop_waits_while_the_helper_thread_is_in_a_call_of_the_socket(
    make_line: Any, work: Callable[[Line], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which runs without the interpreter's lock; nobody else uses the socket, or closes it."""
    with make_line() as line:
        waits = threading.Event()
        loop = threading.Thread(target=work, args=(line,))

        def wait(seconds: float) -> None:
            waits.set()
            NATIVE_SLEEP(seconds)

        def meanwhile() -> None:
            loop.start()
            assert waits.wait(10)

        monkeypatch.setattr(sending, "_native_sleep", wait)
        line.connection._sock.meanwhile = meanwhile
        assert line.connection.interject(HEARTBEAT, line.is_wanted)
        loop.join(10)
        assert not loop.is_alive()
        line.check(1)
        assert line.messages()[0] == HEARTBEAT


@pytest.mark.parametrize("call", ["send", "recv"])
def test_the_helper_thread_gives_up_while_the_loop_is_in_a_call_of_the_socket(
    make_line: Any, call: str
) -> None:
    """A socket that is not an object of TLS may be written to while it is read."""
    with make_line() as line:
        outcomes: list[bool] = []

        def beat() -> None:
            in_thread(lambda: outcomes.append(line.connection.interject(HEARTBEAT, line.is_wanted)))

        line.answer(message(9, 20))
        line.connection._sock.meanwhile = beat
        if call == "send":
            line.send(message(1, 30))
        else:
            line.connection.recv(4)
        is_allowed = call == "recv" and not line.connection._is_tls
        assert outcomes == [is_allowed]
        line.check(is_allowed)


@pytest.mark.parametrize("work", WORKS)
def test_the_loop_waits_wherever_the_helper_thread_is(
    make_line: Any, work: Callable[[Line], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop goes on while the helper thread is before any of its steps."""
    for step in range(STEPS):
        with make_line() as line:
            if not work_before(step, line, work, monkeypatch):
                break
    assert 10 < step < STEPS - 1


def test_nothing_is_sent_after_an_interrupted_send(make_line: Any) -> None:
    """What a signal's handler raises leaves unknown how much has left."""
    with make_line() as line:

        class Interrupted:
            def send(self, data: bytes) -> int:
                raise KeyboardInterrupt

        sock = line.connection._sock
        line.connection._use(Interrupted())
        with pytest.raises(KeyboardInterrupt):
            line.connection.send(message(1, 30))
        line.connection._use(sock)
        assert not line.connection.interject(HEARTBEAT, line.is_wanted)
        assert line.messages() == []


def test_there_is_no_room(make_line: Any) -> None:
    """While a message is half out the rest of it is sent, as far as it goes, and nothing else."""
    with make_line() as line:
        data = message(1, 1 << 20)
        line.sent.append(data)
        assert line.connection.send(data) < len(data)
        tries = 1
        while not line.connection.interject(HEARTBEAT, line.is_wanted):
            line.receive()
            tries += 1
        assert tries > 2
        line.check(1)


def test_an_error_is_raised_and_the_loop_finds_the_connection_broken(make_line: Any) -> None:
    """The error is the helper thread's to pass over; the loop is told by the next ``recv``."""
    with make_line() as line:
        line.hang_up()
        with pytest.raises(OSError):  # noqa: PT011 - a broken pipe
            line.connection.interject(HEARTBEAT, line.is_wanted)
        assert line.connection.look()
        assert line.connection.recv(4) == b""


def test_a_child_does_not_wait_for_its_parents_helper(make_line: Any) -> None:
    """Forked, without hooks, in the middle of a heartbeat."""
    with make_line() as line:
        line.connection._lent = True
        pid = os.fork()
        if not pid:
            line.connection.abandon()
            line.connection._wait_for_helper()
            os._exit(0)
        assert os.waitpid(pid, 0) == (pid, 0)
        line.connection._lent = False

"""Sessions in danger because the event loop stands still, on a real server."""

from __future__ import annotations

import logging
import re
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import gevent
import pytest
from gevent.monkey import get_original
from kazoo.client import KazooClient
from kazoo.protocol.states import KazooState

from kazoo_gevent_patch import patch_all
from tests import children
from tests.server.conftest import MakeClient
from tests.support import ROOT, run_python, wait_until

block = get_original("time", "sleep")
wait = partial(wait_until, sleep=gevent.sleep)

# The shared server negotiates one second at least, and takes a tick longer to expire a session.
TIMEOUT = 2.0
ASKED = 0.5
NEGOTIATED = 1.0


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Give a function that returns the warnings about stalls so far."""
    return lambda: [
        record.getMessage()
        for record in caplog.records
        if record.name == "kazoo_gevent_patch"
        and record.levelno == logging.WARNING
        and "stood still" in record.message
    ]


def figure(message: str) -> float:
    """Return for how long the loop stood still."""
    match = re.match(r"The event loop stood still for ([\d.]+) s", message)
    assert match
    return float(match[1])


def stall(seconds: float) -> float:
    """Block the event loop; return for how long it was really blocked."""
    begun = time.monotonic()
    block(seconds)
    return time.monotonic() - begun


def test_a_stall_of_half_the_time_out_is_told_once(
    make_patched_client: MakeClient, warnings: Callable[[], list[str]]
) -> None:
    """kazoo 285, 286: how long, of what, and the session is kept."""
    client = make_patched_client(timeout=TIMEOUT)
    session = client.client_id
    gevent.sleep(TIMEOUT / 4)  # let the timer come a few times
    assert warnings() == []
    real = stall(TIMEOUT / 2)
    (message,) = wait(warnings)
    assert 0.8 * real <= figure(message) <= 1.2 * real
    assert f"KazooClient('{client.hosts[0][0]}:{client.hosts[0][1]}" in message
    assert f"(session time-out {TIMEOUT:g} s)" in message
    assert message.endswith(". Sessions kept: 1 of 1")
    client.get("/")
    assert client.client_id == session


def test_it_goes_by_the_time_out_that_was_negotiated(
    make_patched_client: MakeClient, warnings: Callable[[], list[str]]
) -> None:
    """The server may have granted another one than was asked for."""
    make_patched_client(timeout=ASKED)
    gevent.sleep(NEGOTIATED / 4)  # let the timer come a few times
    stall(NEGOTIATED / 2)
    (message,) = wait(warnings)
    assert f"(session time-out {NEGOTIATED:g} s)" in message


def test_a_lost_session_is_told(
    make_patched_client: MakeClient, warnings: Callable[[], list[str]]
) -> None:
    """kazoo 285, 286: blocked for longer than the time-out, the warning says what it cost."""
    patch_all(keep_sessions=False)
    client = make_patched_client(timeout=ASKED)
    session = client.client_id
    real = stall(3 * NEGOTIATED)
    (message,) = wait(warnings)
    assert 0.8 * real <= figure(message) <= 1.2 * real
    assert "no heartbeat was sent" in message
    assert message.endswith(". Sessions lost: 1 of 1")
    wait(lambda: client.state == KazooState.CONNECTED)
    assert client.client_id != session


def test_a_client_that_stops_leaves_nothing_unsaid(
    make_patched_client: MakeClient, warnings: Callable[[], list[str]]
) -> None:
    """The warning is not lost with the client that it waits for."""
    client = make_patched_client(timeout=TIMEOUT)
    gevent.sleep(TIMEOUT / 4)  # let the timer come a few times
    stall(TIMEOUT / 2)
    gevent.sleep(TIMEOUT / 4)  # the timer comes; the warning is held for longer
    assert warnings() == []
    client.stop()
    assert len(warnings()) == 1


def blocking_callback(*_: object) -> None:
    """Stop the event loop for half the time-out."""
    block(TIMEOUT / 2)


def watch_data(client: KazooClient) -> None:
    """Have kazoo's recipe call the function, for a change and not when it is made."""

    def on_change(data: bytes, stat: object, event: object) -> None:
        if event:
            blocking_callback()

    client.DataWatch("/node", on_change)
    client.set("/node", b"")


def watch_node(client: KazooClient) -> None:
    """Have a watch of the client's call the function."""
    client.get("/node", watch=blocking_callback)
    client.set("/node", b"")


def link(client: KazooClient) -> None:
    """Have a result call the function."""
    client.get_async("/node").rawlink(blocking_callback)


def late_in_a_callback(client: KazooClient) -> None:
    """Have a callback wait first, in vain, and block afterwards."""

    def wait_and_block(*_: object) -> None:
        with suppress(gevent.Timeout), gevent.Timeout(TIMEOUT / 4):
            gevent.sleep(10 * TIMEOUT)
        blocking_callback()

    client.get_async("/node").rawlink(wait_and_block)


@pytest.mark.parametrize(
    ("have_it_called", "name"),
    [
        (watch_node, "blocking_callback"),
        (watch_data, "watch_data.<locals>.on_change"),
        (link, "blocking_callback"),
        (late_in_a_callback, "late_in_a_callback.<locals>.wait_and_block"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_callback_that_blocks_is_named(
    make_patched_client: MakeClient,
    have_it_called: Callable[[KazooClient], None],
    name: str,
    warnings: Callable[[], list[str]],
) -> None:
    """With the time that it took."""
    client = make_patched_client(timeout=TIMEOUT)
    client.create("/node")
    have_it_called(client)
    (message,) = wait(warnings)
    assert re.search(
        rf"The callback {re.escape(f'{__name__}.{name}')} ran for 1\.\d\d s without a pause\. S",
        message,
    )


def test_a_callback_that_waits_is_not_blamed(
    make_patched_client: MakeClient, warnings: Callable[[], list[str]]
) -> None:
    """While it waits, somebody else stops the loop."""
    client = make_patched_client(timeout=TIMEOUT)
    began, done = client.handler.event_object(), client.handler.event_object()

    def wait_for_it(*_: object) -> None:
        began.set()
        done.wait()

    client.get_async("/").rawlink(wait_for_it)
    began.wait()
    block(TIMEOUT / 2)
    done.set()
    (message,) = wait(warnings)
    assert "wait_for_it" not in message
    assert "Which greenlet ran is not known" in message


PROGRAM = """
import logging, sys
import gevent.monkey; gevent.monkey.patch_all()
logging.basicConfig(stream=sys.stdout, format="%(name)s %(levelname)s %(message)s")
from kazoo_gevent_patch import patch_all; patch_all()
import gevent
from kazoo.client import KazooClient
client = KazooClient({hosts!r}, timeout={timeout})
client.start()
print("started", flush=True)
gevent.sleep(60)
"""


def test_a_process_that_was_stopped_by_a_signal_is_told(
    zookeeper_hosts: str, tmp_path: Path
) -> None:
    """SIGSTOP for longer than the time-out, and SIGCONT: for how long, and what it cost."""
    output = tmp_path / "output"
    code = PROGRAM.format(hosts=zookeeper_hosts, timeout=TIMEOUT)
    with output.open("wb") as stdout:
        process = children.spawn([sys.executable, "-c", code], stdout=stdout, cwd=ROOT)
    try:
        wait_until(lambda: "started" in output.read_text())
        time.sleep(TIMEOUT / 4)  # let the timer come a few times
        process.send_signal(signal.SIGSTOP)
        real = stall(2 * TIMEOUT)
        process.send_signal(signal.SIGCONT)
        wait_until(lambda: "stood still" in output.read_text())
        (line,) = (line for line in output.read_text().splitlines() if "stood still" in line)
        message = line.removeprefix("kazoo_gevent_patch WARNING ")
        assert 0.8 * real <= figure(message) <= 1.2 * real
        assert message.endswith(". Sessions lost: 1 of 1")
    finally:
        children.kill(process)


FORKS = """
import logging, os, sys
import gevent
from gevent.monkey import get_original
from kazoo_gevent_patch import patch_all; patch_all()
from kazoo.client import KazooClient

class Say(logging.Handler):
    def emit(self, record):
        if "stood still" in record.getMessage():
            print("parent" if os.getpid() == parent else "child", record.getMessage(), flush=True)

parent = os.getpid()
logging.getLogger("kazoo_gevent_patch").addHandler(Say())
block = get_original("time", "sleep")
client = KazooClient({hosts!r}, timeout={timeout})
client.start()
gevent.sleep({timeout} / 4)
block({timeout} / 2)
gevent.sleep({timeout} / 8)  # the stall is noticed, and its warning held
child = os.fork()
if child == 0:
    block({timeout} / 2)  # there is no session yet
    client.get("/")
    gevent.sleep({timeout} / 4)
    block({timeout} * 3 / 4)
    gevent.sleep({timeout} * 3 / 4)  # longer than the warning is held
    os._exit(0)
gevent.sleep({timeout})
os.waitpid(child, 0)
client.stop()
"""


def test_a_forked_child_is_watched_for_stalls_of_its_own(zookeeper_hosts: str) -> None:
    """It does not repeat what its parent has to say, and has its own say."""
    result = run_python(FORKS.format(hosts=zookeeper_hosts, timeout=TIMEOUT))
    stalls: dict[str, list[float]] = {"parent": [], "child": []}
    for line in result.stdout.splitlines():
        process, _, message = line.partition(" ")
        stalls[process].append(figure(message))
    (in_parent,), (in_child,) = stalls.values()
    assert 0.4 * TIMEOUT < in_parent < 0.6 * TIMEOUT < in_child < 0.9 * TIMEOUT

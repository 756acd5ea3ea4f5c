"""Sessions, locks and nodes live on while the event loop stands still, on a real server."""

from __future__ import annotations

import json
import os
import ssl
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from tempfile import TemporaryFile
from threading import Timer
from typing import IO, Any, NamedTuple

import pytest
from gevent.monkey import get_original
from kazoo.protocol.states import KazooState

from kazoo_gevent_patch import patch_all
from kazoo_gevent_patch.heartbeats.helper import helper
from tests import children
from tests.native import NativeThread
from tests.resources import resources
from tests.server.conftest import MakeClient
from tests.server.frames import Proxy, proxy
from tests.support import ROOT, run_python, wait_until
from tests.zookeeper.tls import Authority

block = get_original("time", "sleep")

# A busy machine may keep a process waiting for half a second.
TIMEOUT = 2.0
TIMEOUTS = 5
ENDS_IN = 100.0

KEPT = {
    "answers are right": True,
    "session kept": True,
    "lock kept": True,
    "node kept": True,
    "states": [],
}


class Case(NamedTuple):
    """How a program stands still, and what it is doing then."""

    how: str
    moment: str
    speaks: str
    monkey: bool
    where: str


HOW = ("sleep", "compute")
CASES = [
    Case(*values)
    for values in product(
        HOW,
        ("idle", "reads", "write", "reply"),
        ("plain", "TLS"),
        (True, False),
        ("main", "another thread"),
    )
]
SOME = [
    Case("sleep", "idle", "plain", True, "main"),
    Case("compute", "reads", "TLS", False, "main"),
    Case("sleep", "write", "TLS", True, "another thread"),
    Case("compute", "reply", "plain", False, "another thread"),
]


class Runner:
    """Runs ``tests.server.stalled`` behind a proxy that reads along."""

    def __init__(self, hosts: str, chroot: str, authority: Authority) -> None:
        self._hosts = hosts
        self._chroot = chroot
        self._authority = authority
        self._certificate = authority.issue("proxy")

    def run(self, case: Case) -> tuple[Case, dict[str, Any], int]:
        """Return what the program saw, and how many heartbeats passed."""
        with proxy(self._hosts, self._context(case), case.moment) as front:
            return case, self._outcome(case, front), front.pings()

    def all(self, cases: Iterable[Case], at_once: int) -> Iterator[tuple[Case, Any, int]]:
        """Run many, some of them at a time."""
        with ThreadPoolExecutor(at_once) as pool:
            yield from pool.map(self.run, cases)

    def _context(self, case: Case) -> ssl.SSLContext | None:
        if case.speaks == "plain":
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificate)
        return context

    def _outcome(self, case: Case, front: Proxy) -> dict[str, Any]:
        tls = {"use_ssl": True, "ca": str(self._authority.certificate)}
        options = {
            **case._asdict(),
            "hosts": front.hosts.replace("127.0.0.1", "localhost"),
            "tls": tls if case.speaks == "TLS" else {},
            "path": f"{self._chroot}/" + "-".join(map(str, case)).replace(" ", "-"),
            "timeout": TIMEOUT,
            "timeouts": TIMEOUTS,
        }
        program = [sys.executable, "-m", "tests.server.stalled", json.dumps(options)]
        reading, writing = os.pipe()
        with open(reading, "rb") as lines, TemporaryFile() as stderr, ExitStack() as stack:
            with open(writing, "wb") as stdout:
                process = children.spawn(program, stdout=stdout, stderr=stderr, cwd=ROOT)
            stack.callback(children.kill, process)
            too_late = Timer(ENDS_IN, process.kill)
            stack.callback(too_late.cancel)
            too_late.start()
            assert lines.readline() == b"stands still\n", _text(stderr)
            front.go_on()
            line = lines.readline()
            assert process.wait() == 0, f"{case}: {front.errors}, {front.readers} {_text(stderr)}"
        return dict(json.loads(line))


def _text(stderr: IO[bytes]) -> str:
    stderr.seek(0)
    return stderr.read().decode(errors="replace")


@pytest.fixture
def runner(zookeeper_hosts: str, chroot: str, tmp_path: Path) -> Runner:
    """Give what runs programs that stand still."""
    return Runner(zookeeper_hosts, chroot, Authority(tmp_path))


def check(outcomes: Iterable[tuple[Case, Any, int]]) -> None:
    """Check that nothing was lost, and that it was the heartbeats that kept it."""
    for case, seen, pings in outcomes:
        assert seen == KEPT, case
        assert pings >= 2 * TIMEOUTS, case


def test_a_session_is_kept_while_the_loop_stands_still(runner: Runner) -> None:
    """For five time-outs, in the middle of this and that; all messages on the wire are whole."""
    check(runner.all(SOME, at_once=4))


@pytest.mark.slow
@pytest.mark.parametrize(("how", "at_once"), [("sleep", 16), ("compute", 4)])
def test_a_session_is_kept_in_every_way(runner: Runner, how: str, at_once: int) -> None:
    """Plain and TLS, monkey patched or not, in whatever thread, whatever it is doing."""
    check(runner.all([case for case in CASES if case.how == how], at_once))


def stalls_often(hosts: str, chroot: str, seed: int, stalls: int) -> None:
    """Run ``tests.server.stalled_often``, and check what it saw."""
    with proxy(hosts) as front:
        options = {
            "hosts": front.hosts,
            "path": f"{chroot}/often-{seed}",
            "timeout": TIMEOUT,
            "seed": seed,
            "stalls": stalls,
        }
        program = ["-m", "tests.server.stalled_often", json.dumps(options)]
        result = run_python(program, timeout=200)
        seen = json.loads(result.stdout)
        assert seen == {"session kept": True, "states": [], "errors": [], "done": True}
        assert "dropped" not in result.stderr
        assert len(front.readers) == 1


def test_a_session_outlives_stalls_anywhere_under_load(zookeeper_hosts: str, chroot: str) -> None:
    """In greenlets, callbacks, watches and signal handlers, for as long as it comes."""
    stalls_often(zookeeper_hosts, chroot, seed=1, stalls=15)


@pytest.mark.slow
def test_a_session_outlives_two_hundred_stalls(zookeeper_hosts: str, chroot: str) -> None:
    """One session, without an error."""
    stalls_often(zookeeper_hosts, chroot, seed=2, stalls=200)


@pytest.mark.parametrize(
    ("choice", "seconds", "is_kept"), [(2.0, 3 * TIMEOUT, False), (4.0, 1.5 * TIMEOUT, True)]
)
def test_a_session_is_kept_for_as_long_as_was_chosen(
    make_patched_client: MakeClient, choice: float, seconds: float, is_kept: bool
) -> None:
    """A leader whose process hangs for ever must not lead for ever."""
    patch_all(keep_sessions=choice)
    client = make_patched_client(timeout=TIMEOUT)
    states: list[str] = []
    client.add_listener(states.append)
    session = client.client_id
    block(seconds)
    client.retry(client.get, "/")
    assert (client.client_id == session) == is_kept
    assert (KazooState.LOST in states) != is_kept


def native_threads() -> int:
    return len(os.listdir("/proc/self/task"))


def native_threads_at_rest() -> int:
    """Return how many there are when the one for sessions that have ended is gone."""
    wait_until(lambda: helper._free and not helper._is_there())
    return native_threads()


def test_there_is_one_thread_for_all_clients_and_event_loops(
    make_patched_client: MakeClient,
) -> None:
    """It comes with the first session and goes with the last."""
    before = native_threads_at_rest()
    clients = [make_patched_client(timeout=TIMEOUT) for _ in range(3)]
    assert native_threads() == before + 1

    def elsewhere() -> int:
        make_patched_client(timeout=TIMEOUT).stop()
        client = make_patched_client(timeout=TIMEOUT)
        alive = native_threads()
        client.stop()
        return alive

    assert NativeThread(elsewhere).get() == before + 2  # the one that counts is one more
    assert native_threads() == before + 1
    for client in clients:
        client.stop()
    assert native_threads_at_rest() == before


def test_a_client_may_stop_right_after_a_stall(make_patched_client: MakeClient) -> None:
    """The loop has not run since."""
    client = make_patched_client(timeout=TIMEOUT)
    block(1.5 * TIMEOUT)
    client.stop()
    assert client.state == KazooState.LOST


FORKS = """
import os, sys, time, warnings
warnings.simplefilter("error")
from gevent.monkey import get_original
from kazoo_gevent_patch import patch_all; patch_all()
from kazoo.client import KazooClient
block, timeout = get_original("time", "sleep"), {timeout}
threads = lambda: len(os.listdir("/proc/self/task"))
client = KazooClient({hosts!r}, timeout=timeout)
client.start()
session = client.client_id
for number in range(6):
    block(timeout / 2)
    child = os.fork()
    if not child:
        alone = threads() == 1
        if number:
            os._exit(0 if alone else 1)
        client.get("/")  # a session of its own
        own = client.client_id
        block(1.5 * timeout)
        client.get("/")
        kept = client.client_id == own != session
        os._exit(0 if alone and kept else 2)
    assert threads() == 2 or sys.version_info[:2] == (3, 13)
    if number:
        assert os.waitpid(child, 0)[1] == 0
    else:
        first = child
assert os.waitpid(first, 0)[1] == 0
assert client.exists("/") and client.client_id == session
client.stop()
"""


def test_a_process_may_fork_in_a_stall(zookeeper_hosts: str) -> None:
    """Its session is kept, without a thread at the fork; and a child's own is kept as well."""
    result = run_python(FORKS.format(hosts=zookeeper_hosts, timeout=TIMEOUT))
    assert "DeprecationWarning" not in result.stderr


EXITS = """
import sys
if {monkey}:
    import gevent.monkey; gevent.monkey.patch_all()
from gevent.monkey import get_original
from kazoo_gevent_patch import patch_all; patch_all()
import atexit
from kazoo.client import KazooClient
block = get_original("time", "sleep")
started = []
def start():
    client = KazooClient({hosts!r}, timeout=1)
    client.start()
    started.append(client)
    block({stall})
if {elsewhere}:
    get_original("_thread", "start_new_thread")(start, ())
    while not started:
        block(0.01)
    block(0.7)
else:
    start()
atexit.register(block, 0.5)
sys.exit(0)
"""


@pytest.mark.parametrize("monkey", [True, False])
@pytest.mark.parametrize(("elsewhere", "stall"), [(False, 0.7), (True, 100.0)])
def test_a_process_may_exit_in_a_stall(
    zookeeper_hosts: str, monkey: bool, elsewhere: bool, stall: float
) -> None:
    """At once, and well."""
    program = EXITS.format(hosts=zookeeper_hosts, monkey=monkey, elsewhere=elsewhere, stall=stall)
    for _ in range(3):
        run_python(program, timeout=30)


@pytest.mark.slow
def test_a_thousand_lives_leave_nothing(make_patched_client: MakeClient) -> None:
    """No thread, no descriptor, no memory."""
    client = make_patched_client(timeout=TIMEOUT)
    client.stop()

    def live(times: int) -> None:
        for _ in range(times):
            client.start()
            client.stop()
        assert native_threads_at_rest() == threads

    threads = native_threads_at_rest()
    live(100)
    before = resources()
    live(1000)
    after = resources()
    assert after.counts() == before.counts()
    assert after.blocks - before.blocks < 1000

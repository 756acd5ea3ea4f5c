"""A process ends when it is told to, whatever its clients and their server are at."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from tests import children
from tests.process.gunicorn_server import Gunicorn
from tests.support import ROOT, run_python, wait_until
from tests.zookeeper import ZooKeeper

LIMIT = 40.0
"""Seconds within which a process has to end: callbacks have 3, waiting for a server takes 120."""

NOTICE = 3.0
"""Seconds that gunicorn has besides: its worker looks once a second whether it goes on."""

BLOCK = """
import gevent.event
from kazoo.client import KazooClient

def block(*_):
    gevent.event.Event().wait()

def occupy(client):
    # Requests under way, and a callback of each type that never returns.
    client.create("/node-", ephemeral=True, sequence=True)
    client.exists("/", watch=block)
    client.get_async("/").rawlink(block)
    client.set("/", b"")
    for _ in range(100):
        client.get_async("/")
"""

WITHOUT_LOCKS = """
import logging, os

class Output(logging.NullHandler):
    def handle(self, record):
        return os.write(2, record.getMessage().encode() + b"\\n")

logging.getLogger().addHandler(Output())
logging.getLogger("kazoo.client").isEnabledFor(logging.WARNING)  # takes a lock the first time
"""
"""Logging that a signal may interrupt anywhere.

Monkey patching makes an RLock of Python code, and all greenlets run in the main thread: what a
signal's handler raises while kazoo logs that the server is gone can leave logging's lock
locked, and then ``logging.shutdown`` does not return. That is so in any program on gevent; the
programs below are to show what clients do.
"""

PROGRAM = """
import signal, sys
{monkey}
{logging}
from kazoo_gevent_patch import patch_all; patch_all()
{block}
import gevent

clients = [KazooClient({hosts!r}, timeout=120.0) for _ in range(5)]
for client in clients:
    client.start()
    occupy(client)
goes_on = True

def end(*_):
    global goes_on
    goes_on = False

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
signal.signal(signal.SIGUSR1, end)
gevent.signal_handler(signal.SIGUSR2, sys.exit, 0)
print("ready", flush=True)
while goes_on:
    gevent.sleep(0.01)
"""

STATUSES = {
    signal.SIGTERM: 0,  # sys.exit() in the signal's handler
    signal.SIGINT: -signal.SIGINT,  # an exception nobody catches, which Python ends with
    signal.SIGUSR1: 0,  # the end of the main module
    signal.SIGUSR2: 0,  # sys.exit() in a greenlet of its own
}

SERVERS: dict[str, Callable[[ZooKeeper], None]] = {
    "serves": lambda server: None,
    "is paused": ZooKeeper.pause,
    "is gone": ZooKeeper.kill,
}


@pytest.mark.parametrize("monkey", ["import gevent.monkey; gevent.monkey.patch_all()", ""])
@pytest.mark.parametrize("happens", list(SERVERS))
def test_a_program_ends_with_clients_open(
    zk_server: ZooKeeper, tmp_path: Path, happens: str, monkey: str
) -> None:
    """However it ends, with callbacks that block, and whatever the server does."""
    program = PROGRAM.format(
        monkey=monkey, logging=WITHOUT_LOCKS, block=BLOCK, hosts=zk_server.hosts
    )
    outputs = {number: tmp_path / number.name for number in STATUSES}
    with ExitStack() as at_end:
        processes = {}
        for number, output in outputs.items():
            with output.open("wb") as stdout:
                command = [sys.executable, "-c", program]
                processes[number] = children.spawn(command, stdout=stdout, cwd=ROOT)
            at_end.callback(children.kill, processes[number])
        for output in outputs.values():
            wait_until_ready(output)
        SERVERS[happens](zk_server)
        begin = time.monotonic()
        for number, process in processes.items():
            process.send_signal(number)
        statuses = {number: process.wait(2 * LIMIT) for number, process in processes.items()}
        assert time.monotonic() - begin < LIMIT
    assert statuses == STATUSES


def wait_until_ready(output: Path) -> None:
    """Wait until a program says so."""
    wait_until(lambda: "ready" in output.read_text(), 120.0, message=output.read_text)


APPLICATION = f"""
import json, os
{BLOCK}
client = KazooClient(os.environ["TEST_HOSTS"], timeout=120.0)

def app(environ, start_response):
    if not client.connected:
        client.start()
        occupy(client)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({{"pid": os.getpid()}}).encode()]
"""

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


def test_a_worker_of_gunicorn_ends_with_a_client_open(zk_server: ZooKeeper, tmp_path: Path) -> None:
    """At each signal that ends one, with callbacks that block and a server that stands still."""
    gunicorn = Gunicorn(
        tmp_path,
        application=APPLICATION,
        configuration="from kazoo_gevent_patch.gunicorn import post_fork",
        arguments=("-k", "gevent", "--workers", str(len(SIGNALS))),
        env={"TEST_HOSTS": zk_server.hosts},
    )
    with gunicorn:
        pids = gunicorn.answers_of_workers(lambda answers: len(answers) == len(SIGNALS))
        workers = [psutil.Process(pid) for pid in pids]
        zk_server.pause()
        begin = time.monotonic()
        for worker, number in zip(workers, SIGNALS, strict=True):
            worker.send_signal(number)
        _, alive = psutil.wait_procs(workers, timeout=2 * LIMIT)
        assert alive == []
        assert time.monotonic() - begin < LIMIT + NOTICE
        assert "Traceback" not in gunicorn.log


CALLBACKS = """
import sys, time
{monkey}
from kazoo_gevent_patch import SequentialGeventHandler
import gevent
from kazoo.protocol.states import Callback

def slowly(number):
    print("begins", number, flush=True)
    gevent.sleep({seconds})
    print("ends", number, flush=True)

handler = SequentialGeventHandler()
handler.start()
for number in range(3):
    handler.dispatch_callback(Callback("watch", slowly, (number,)))

def endlessly():
    handler.dispatch_callback(Callback("session", endlessly, ()))

endlessly()
gevent.sleep(0.05)
"""


@pytest.mark.parametrize("monkey", ["import gevent.monkey; gevent.monkey.patch_all()", ""])
def test_callbacks_that_are_queued_at_exit_run(monkey: str) -> None:
    """As on kazoo's default: what has begun is not cut off, and what is queued behind it runs."""
    done = run_python(CALLBACKS.format(monkey=monkey, seconds=0.1))
    assert done.stdout.split() == [
        word for number in range(3) for word in ("begins", str(number), "ends", str(number))
    ]
    assert done.stderr == ""


def test_sys_exit_in_a_greenlet_during_the_exit_cuts_nothing_off() -> None:
    """It asks for what is under way; gunicorn's gevent worker does so when told to quit."""
    program = CALLBACKS.format(monkey="", seconds=0.1) + (
        "import atexit, gevent.event\n"
        "exiting = gevent.event.Event()\n"
        "atexit.register(exiting.set)  # what is registered last runs first\n"
        "gevent.spawn(lambda: exiting.wait() and sys.exit())\n"
        "gevent.sleep(0)\n"
    )
    done = run_python(program)
    assert done.stdout.split()[-2:] == ["ends", "2"]
    assert done.stderr == ""


def test_callbacks_that_are_dropped_at_exit_are_counted() -> None:
    """A warning says what did not end in time; it is 3 seconds, and less here."""
    program = CALLBACKS.format(monkey="", seconds=60)
    done = run_python(
        program + "from kazoo_gevent_patch.handler import leaving; leaving.EXIT_TIMEOUT = 0.2"
    )
    assert done.stdout.split() == ["begins", "0"]
    assert "1 callbacks have not returned within 0.2 seconds" in done.stderr
    assert "2 that were queued behind them are dropped" in done.stderr


def test_the_exit_waits_for_nothing_when_no_callback_is_queued() -> None:
    """Not even for the event loop to run once."""
    program = CALLBACKS.format(monkey="", seconds=0).replace("endlessly()\n", "pass\n")
    done = run_python(
        program + "from kazoo_gevent_patch.handler import leaving\n"
        "gevent.spawn(print, 'the event loop runs')\n"
        "leaving.finish()\n"
    )
    assert "ends 2" in done.stdout
    assert "the event loop runs" not in done.stdout


DAEMON = """
import gevent, threading
from kazoo_gevent_patch import patch_all
patch_all()
from kazoo.client import KazooClient
started = threading.Event()

def use(pause):
    zk = KazooClient("{hosts}", timeout=5)
    zk.start()
    started.set()
    while True:
        zk.get("/")
        gevent.sleep(pause)

threading.Thread(target=use, args=({pause},), daemon=True).start()
started.wait()
raise SystemExit(7)
"""


@pytest.mark.parametrize("pause", [0, 0.001, 60])
def test_a_client_in_a_daemon_thread_leaves_the_exit_code_alone(
    zookeeper_hosts: str, pause: float
) -> None:
    """The interpreter kills the thread at any moment; stock gevent then crashes at times."""
    for _ in range(8):
        program = DAEMON.format(hosts=zookeeper_hosts, pause=pause)
        assert run_python(program, check=False, timeout=30).returncode == 7


EARLY = """
import atexit, threading

def leave():
    zk.stop()
    zk.close()
    print("stopped", flush=True)

atexit.register(leave)
from kazoo_gevent_patch import patch_all
patch_all()
from kazoo.client import KazooClient
import gevent
zk, started = KazooClient("{hosts}"), threading.Event()

def live():
    zk.start()
    started.set()
    gevent.sleep(1000)

threading.Thread(target=live, daemon=True).start()
started.wait()
"""


def test_an_exit_handler_from_before_the_package_may_stop_a_client_in_a_daemon_thread(
    zookeeper_hosts: str,
) -> None:
    """It runs after ours; the client's event loop still goes on."""
    result = run_python(EARLY.format(hosts=zookeeper_hosts), timeout=60)
    assert result.stdout == "stopped\n"

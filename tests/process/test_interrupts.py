"""Programs under a hail of signals whose handlers raise: no caller hangs and no client ends."""

from __future__ import annotations

import pytest

from tests.support import run_python

SEEDS = 20
INTERRUPTS = 1000

PROGRAM = """
import logging, os, random, signal, sys, threading, time
PATCHED = {patched}
if PATCHED:
    import gevent.monkey; gevent.monkey.patch_all()
    from kazoo_gevent_patch import patch_all; patch_all()
    import gevent
    gevent.get_hub().print_exception = lambda *_: None
from kazoo.client import KazooClient
from kazoo.exceptions import KazooException

logging.basicConfig(level=logging.CRITICAL)
chance = random.Random({seed})
error = (KeyboardInterrupt, RuntimeError, SystemExit)[{seed} % 3]
callers, last, ran, stop = 30, {{}}, [0], []

def count(_):
    ran[0] += 1

def call(number):
    while not stop:
        try:
            result = zk.get_async("/")
            result.rawlink(count)
            result.get()
            last[number] = time.monotonic()
        except KazooException:
            time.sleep(0.001)

def go_on(number):
    # gevent raises it in whichever greenlet of the program runs.
    while not stop:
        try:
            call(number)
        except error:
            pass

def alarm(*_):
    raised[0] += 1
    raise error

zk = KazooClient("{hosts}", timeout=30)
zk.start()
zk.create("/held-", ephemeral=True, sequence=True)
session = zk.client_id
threads = [threading.Thread(target=go_on, args=(number,), daemon=True) for number in range(callers)]
for thread in threads:
    thread.start()
interrupts, raised, caught = 0, [0], 0
signal.signal(signal.SIGALRM, alarm)
while interrupts < {interrupts}:
    try:
        # One at a time: while one is on its way here, another would come outside of the try.
        before = raised[0]
        if before == caught:
            signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.0002, 0.003))
        time.sleep(0.05)
        if before == raised[0]:
            caught = before  # a greenlet of the program had it
    except error:
        caught = raised[0]
        interrupts += 1
signal.setitimer(signal.ITIMER_REAL, 0)
signal.signal(signal.SIGALRM, signal.SIG_IGN)

def all_answered_since(moment):
    # gevent ends a greenlet of the program that has no try where the exception comes.
    return sum(
        threads[number].is_alive() and last.get(number, 0) < moment for number in range(callers)
    )

moment, before, deadline = time.monotonic(), ran[0], time.monotonic() + 30
while (all_answered_since(moment) or ran[0] == before) and time.monotonic() < deadline:
    time.sleep(0.05)
print("interrupts", interrupts, "hang", all_answered_since(moment), "client", zk.client_state,
      "same session", zk.client_id == session, "callbacks run on", ran[0] > before)
os._exit(0)
"""

WELL = f"interrupts {INTERRUPTS} hang 0 client CONNECTED same session True callbacks run on True\n"


@pytest.mark.parametrize("patched", [True, False], ids=["ours", "default"])
@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, SEEDS))]
)
def test_a_hail_of_interrupts_loses_no_caller_and_no_client(
    zookeeper_hosts: str, patched: bool, seed: int
) -> None:
    """A thousand that the main program catches, in greenlets as in threads."""
    program = PROGRAM.format(
        patched=patched, seed=seed, hosts=zookeeper_hosts, interrupts=INTERRUPTS
    )
    assert run_python(program, timeout=120).stdout == WELL


STOP_IN_A_THREAD = """
import threading
import gevent, gevent.monkey
from kazoo_gevent_patch import patch_all; patch_all()
from kazoo.client import KazooClient
from kazoo.exceptions import CancelledError

class Slow(KazooClient):
    def _safe_close(self):
        if started:
            carriers.append(gevent.getcurrent())
            gevent.sleep(60)

carriers, outcome, started = [], [], []
zk = Slow("{hosts}")
zk.start()
started.append(True)

def stop():
    try:
        zk.stop()
    except CancelledError as error:
        outcome.append(str(error))

thread = threading.Thread(target=stop)
thread.start()
while not carriers:
    gevent.sleep(0.01)
carriers[0].kill()
while thread.is_alive():
    gevent.sleep(0.01)
print(outcome)
"""


def test_a_stop_in_a_native_thread_ends_when_its_greenlet_is_killed(zookeeper_hosts: str) -> None:
    """The thread would wait for ever for what the killed greenlet carried out."""
    printed = run_python(STOP_IN_A_THREAD.format(hosts=zookeeper_hosts)).stdout
    assert "was killed; call it again" in printed


STOP_IN_DEL = """
import gevent.monkey; gevent.monkey.patch_all()
from kazoo_gevent_patch import patch_all; patch_all()
from kazoo.client import KazooClient

class Owner:
    def __init__(self):
        self.zk = KazooClient("{hosts}")
        self.zk.start()
        self.circle = self

    def __del__(self):
        self.zk.stop()
        self.zk.close()

owner = Owner()
"""


def test_a_stop_in_a_destructor_at_the_interpreters_end_is_silent(zookeeper_hosts: str) -> None:
    """No greenlet runs so late; gevent says ``greenlet is being finalized``."""
    assert run_python(STOP_IN_DEL.format(hosts=zookeeper_hosts)).stderr == ""


BLOCKED = """
import os, signal, time
import gevent.monkey; gevent.monkey.patch_all()
from kazoo_gevent_patch import patch_all; patch_all()
from kazoo.client import KazooClient

zk = KazooClient("{hosts}")
zk.start()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
os.kill(os.getpid(), signal.SIGTERM)
zk.get("/")
print(signal.sigtimedwait([signal.SIGTERM], 10).si_signo == signal.SIGTERM, flush=True)
zk.stop()
"""


def test_a_signal_that_the_program_blocks_stays_blocked(zookeeper_hosts: str) -> None:
    """The thread that sends heartbeats does not take it instead."""
    assert run_python(BLOCKED.format(hosts=zookeeper_hosts)).stdout == "True\n"


AT_ONCE = """
import signal
import gevent.monkey; gevent.monkey.patch_all()
from kazoo_gevent_patch import patch_all; patch_all()
import gevent
from kazoo.client import KazooClient

class Alarm(Exception):
    pass

def alarm(*_):
    raise Alarm

def work(*_):
    seen.append("begins")
    signal.raise_signal(signal.SIGALRM)
    seen.append("goes on")

seen = []
zk = KazooClient("{hosts}")
zk.start()
zk.ensure_path("/data")
signal.signal(signal.SIGALRM, alarm)
try:
    {begin}
    gevent.sleep(20)
except Alarm:
    print(seen)
while seen != ["begins", "goes on"]:
    gevent.sleep(0.01)
zk.stop()
"""

BEGIN = {
    "a watch": 'zk.exists("/data", watch=work); zk.set("/data", b"1")',
    "the function of a DataWatch": (
        'zk.DataWatch("/data", lambda data, stat: work() if data == b"1" else None); '
        'zk.set("/data", b"1")'
    ),
    "the function of a leader": 'zk.handler.spawn(zk.Election("/election").run, work)',
}


@pytest.mark.parametrize("begin", BEGIN)
def test_an_exception_that_comes_in_code_of_the_program_is_raised_at_once(
    zookeeper_hosts: str, chroot: str, begin: str
) -> None:
    """In the main greenlet, whether kazoo calls that code or this package does; it goes on."""
    program = AT_ONCE.format(hosts=zookeeper_hosts + chroot, begin=BEGIN[begin])
    assert run_python(program).stdout.splitlines() == ["['begins']"]


FORKED_BY_A_WATCH = """
import multiprocessing, os, signal, sys, time
import gevent.monkey; gevent.monkey.patch_all()
from kazoo_gevent_patch import patch_all; patch_all()
import gevent
from kazoo.client import KazooClient

def end(*_):
    sys.exit(7)

def job():
    signal.signal(signal.SIGTERM, end)
    try:
        os.write(works[1], b"1")
        {work}
    finally:
        print("the job ends", flush=True)

def begin(_):
    worker = multiprocessing.get_context("fork").Process(target=job)
    worker.start()
    workers.append(worker)

workers, works = [], os.pipe()
zk = KazooClient("{hosts}")
zk.start()
zk.ensure_path("/data")
zk.exists("/data", watch=begin)
zk.set_async("/data", b"1")
try:
    while not workers:  # which never ends in the worker, where this goes on too
        gevent.sleep(0.01)
    os.read(works[0], 1)
    workers[0].terminate()
    workers[0].join()
    print("it ended with", workers[0].exitcode, flush=True)
finally:
    print("the main program ends", flush=True)
zk.stop()
"""

WORK = {
    "that computes": "while True: pass",
    "that waits": "gevent.sleep(60)",
    "that uses the client": 'while True: zk.get("/")',
}


@pytest.mark.parametrize("work", WORK)
def test_a_worker_that_a_watch_has_forked_has_its_own_exceptions(
    zookeeper_hosts: str, chroot: str, work: str
) -> None:
    """They are not raised in its copy of the parent's main program, which would end twice."""
    program = FORKED_BY_A_WATCH.format(hosts=zookeeper_hosts + chroot, work=WORK[work])
    assert run_python(program).stdout.splitlines() == [
        "the job ends",
        "it ended with 7",
        "the main program ends",
    ]


WITHOUT_CTYPES = """
import sys
import gevent.monkey; gevent.monkey.patch_all()
sys.modules["ctypes"] = None
from kazoo_gevent_patch import patch_all; patch_all()
import gevent, signal
from kazoo.client import KazooClient

def alarm(*_):
    raise InterruptedError

zk = KazooClient("{hosts}")
zk.start()
signal.signal(signal.SIGALRM, alarm)
gevent.get_hub().loop.run_callback(signal.raise_signal, signal.SIGALRM)
try:
    gevent.sleep(20)
except InterruptedError:
    print(zk.get("/") is not None)
zk.stop()
"""


def test_a_python_without_ctypes_will_do(zookeeper_hosts: str) -> None:
    """One that was built without libffi has none; handlers that are set later are guarded."""
    assert run_python(WITHOUT_CTYPES.format(hosts=zookeeper_hosts)).stdout == "True\n"

"""``stop()`` and its like from every place of a program, and the program's end."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from kazoo.client import KazooClient
from kazoo.handlers.threading import SequentialThreadingHandler

from tests.support import run_python

PRELUDE = """
import atexit, os, signal, subprocess, sys, threading, time
{monkey}
import gevent
from kazoo_gevent_patch import patch_all
patch_all()
from kazoo.client import KazooClient
from kazoo_gevent_patch.errors import CannotWaitError

def wait_until(predicate, timeout=60.0):
    deadline = time.monotonic() + timeout
    while not predicate():
        assert time.monotonic() < deadline, "timed out"
        gevent.sleep(0.005)

def send_while_idle(number):
    # Another process sends it when this one waits in its event loop.
    subprocess.Popen(["sh", "-c", f"sleep 0.2; kill -{{int(number)}} {{os.getpid()}}"])

zk = KazooClient({hosts!r}, timeout=120.0)
states = []
zk.add_listener(states.append)
zk.start()
zk.create("/ephemeral", ephemeral=True)
"""

Run = Callable[[str], None]
MODES = {"monkey patched": "import gevent.monkey; gevent.monkey.patch_all()", "not": ""}


@pytest.fixture(params=list(MODES))
def prelude(request: pytest.FixtureRequest, zookeeper_hosts: str, chroot: str) -> str:
    """Give the beginning of a program with a started client and an ephemeral node."""
    return PRELUDE.format(monkey=MODES[request.param], hosts=zookeeper_hosts + chroot)


@pytest.fixture
def run(prelude: str, zookeeper_hosts: str, chroot: str) -> Run:
    """Give a function that runs a program and checks that its session was closed in time."""

    def run(program: str) -> None:
        begin = time.monotonic()
        done = run_python(prelude + program)
        assert "Traceback" not in done.stderr, done.stderr
        # Were the session not closed, its node would live on for 120 seconds.
        client = KazooClient(zookeeper_hosts + chroot, handler=SequentialThreadingHandler())
        client.start()
        left_behind = client.exists("/ephemeral")
        client.stop()
        client.close()
        assert left_behind is None
        assert time.monotonic() - begin < 100

    return run


SIGNALS = {
    "signal.signal": "signal.signal(signal.SIGTERM, handler); send_while_idle(signal.SIGTERM)",
    "gevent's": "gevent.signal_handler(signal.SIGTERM, handler); send_while_idle(signal.SIGTERM)",
    "a hub callback": "gevent.get_hub().loop.run_callback(handler)",
}


@pytest.mark.parametrize("arrange", list(SIGNALS))
@pytest.mark.parametrize("then", ["sys.exit(0)", "None"])
def test_a_signal_handler_may_stop_the_client(run: Run, arrange: str, then: str) -> None:
    """In the idle event loop too (gevent 799); the session is closed, and the program ends soon."""
    run(f"""
def handler(*_):
    global begin
    begin = time.monotonic()
    zk.stop()
    zk.close()
    {then}

begin = None
atexit.register(lambda: begin and time.monotonic() - begin < 1 or os._exit(3))
{SIGNALS[arrange]}
if {then!r} == "None":
    wait_until(lambda: states == ["CONNECTED", "LOST"])
    wait_until(lambda: zk._connection._write_sock is None)
else:
    gevent.sleep(20)
""")


PLACES = {
    "a watch callback": "zk.get('/', watch=lambda event: go()); zk.set('/', b'')",
    "a completion callback": "zk.get_async('/').rawlink(lambda result: go())",
    "a state listener": "zk.add_listener(lambda state: go() if state == 'CONNECTED' else None)"
    "; zk._connection._socket.shutdown(2)",
    "a native thread": "gevent.get_hub().threadpool.spawn(go)",
    "two places": "gevent.get_hub().threadpool.spawn(go); gevent.spawn(go)",
    "a greenlet": "gevent.spawn(go)",
}


@pytest.mark.parametrize("place", list(PLACES))
def test_every_place_may_stop_the_client(run: Run, place: str) -> None:
    """The call returns, and the session is closed."""
    run(f"""
done = []
def go():
    zk.stop()
    done.append(True)

{PLACES[place]}
wait_until(lambda: done and states[-1] == "LOST" and zk._stopped.is_set())
wait_until(lambda: not zk._connection._connection_routine)
""")


@pytest.mark.parametrize("place", list(PLACES))
def test_every_place_may_restart_the_client(run: Run, place: str) -> None:
    """The client is connected again, in a session of its own, and still in its event loop."""
    run(f"""
done, old, first = [], zk.client_id[0], True
def go():
    global first
    if first:
        first = False
        zk.restart()
        done.append(True)

{PLACES[place]}
wait_until(lambda: done and zk.connected and zk.client_id[0] != old)
assert zk.get("/")
zk.stop()
""")


def test_atexit_may_stop_the_client(run: Run) -> None:
    """From the main thread's end."""
    run("atexit.register(zk.stop)")


def test_start_refuses_at_once_where_it_would_wait_for_itself(run: Run) -> None:
    """One clear error, in the event loop; nothing is half done. In a state listener it waits."""
    run("""
errors, waited = [], []
def attempt(call):
    try:
        call()
    except CannotWaitError as error:
        errors.append(error)

def listener(state):
    if state == "SUSPENDED":
        zk.start_async()  # waits for nothing: it is started
        zk.start()
        waited.append(zk.connected)

zk.add_listener(listener)
zk._connection._socket.shutdown(2)
wait_until(lambda: waited and states == ["CONNECTED", "SUSPENDED", "CONNECTED"])
assert waited == [True]
zk.stop()
gevent.get_hub().loop.run_callback(attempt, zk.start)
wait_until(lambda: len(errors) == 1)
assert "start()" in str(errors[0]) and zk._stopped.is_set()
""")


def test_a_call_that_would_wait_in_the_event_loop_says_so(run: Run) -> None:
    """In an idle program's signal handler: what waits is told what to use instead, and that works.

    What does not have to wait works there too.
    """
    run("""
errors, lock, ready = [], zk.handler.lock_object(), zk.get_async("/ephemeral")
lock.acquire()
ready.wait()
queue = zk.handler.queue_impl()
waits = (
    lambda: zk.get("/"),
    lambda: zk.delete("/unknown"),
    zk.Lock("/lock").acquire,
    lambda: zk.handler.async_result().wait(1),
    lambda: zk.handler.event_object().wait(1),
    lambda: lock.acquire(timeout=1),
    lambda: queue.get(timeout=1),
    lambda: zk.handler.sleep_func(0.01),
    zk.handler.spawn(zk.handler.sleep_func, 60).join,
)

def handler(*_):
    for call in waits:
        try:
            call()
        except CannotWaitError as error:
            errors.append(str(error))
    assert ready.get() and not lock.acquire(blocking=False)

signal.signal(signal.SIGUSR1, handler)
send_while_idle(signal.SIGUSR1)
wait_until(lambda: len(errors) == len(waits))
assert all("event loop" in error and "gevent.signal_handler" in error for error in errors), errors

def leave():
    zk.delete("/ephemeral")
    zk.stop()

gevent.signal_handler(signal.SIGUSR2, leave)
send_while_idle(signal.SIGUSR2)
wait_until(lambda: states == ["CONNECTED", "LOST"])
""")


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "SystemExit", "RuntimeError"])
def test_an_interrupt_in_the_connection_greenlet_is_the_main_greenlets(
    run: Run, error: str
) -> None:
    """It is raised there, and the session does not notice."""
    run(f"""
def handler(*_):
    raise {error}

def select(*args):
    zk.handler.select = original
    os.kill(os.getpid(), signal.SIGINT)  # it is handled before kill returns
    return original(*args)

signal.signal(signal.SIGINT, handler)
session, original, zk.handler.select = zk.client_id[0], zk.handler.select, select
try:
    zk.get_async("/")
    gevent.sleep(10)
except {error}:
    caught = True
assert caught
assert zk.get("/") and zk.exists("/ephemeral")
assert zk.client_id[0] == session and states == ["CONNECTED"]
zk.stop()
""")


def test_a_request_of_a_signal_handler_that_interrupts_the_connection_says_so(run: Run) -> None:
    """It would wait for the connection, which waits for the handler to return; for ever."""
    run("""
outcomes = []
calls = (lambda: zk.get("/"), zk.Lock("/lock").acquire, lambda: zk.get_async("/").wait(1))

def handler(*_):
    for call in calls:
        try:
            outcomes.append(call())
        except CannotWaitError as error:
            outcomes.append(str(error))
    zk.get_async("/").rawlink(outcomes.append)

def select(*args):
    zk.handler.select = original
    os.kill(os.getpid(), signal.SIGUSR1)  # it is handled before kill returns
    return original(*args)

signal.signal(signal.SIGUSR1, handler)
original, zk.handler.select = zk.handler.select, select
zk.get_async("/")
wait_until(lambda: len(outcomes) == 4)
assert all("gevent.signal_handler" in outcome for outcome in outcomes[:3]), outcomes
assert outcomes[3].successful()
assert zk.get("/") and states == ["CONNECTED"]
zk.stop()
""")


def test_a_request_that_is_interrupted_halfway_holds_up_no_other(run: Run) -> None:
    """Ctrl-C after kazoo has queued it and before it says so: later ones would be one behind."""
    run("""
from collections import deque

class Interrupted(deque):
    def append(self, request):
        zk._queue = deque([request])
        raise KeyboardInterrupt

zk._queue = Interrupted()
try:
    zk.create_async("/halfway")
except KeyboardInterrupt:
    caught = True
assert caught
assert zk.exists("/halfway") and zk.get("/")
zk.stop()
""")


def test_a_blocked_event_loop_of_another_thread_is_named(zookeeper_hosts: str, chroot: str) -> None:
    """stop() in a native thread does not wait for ever for a loop that does not run."""
    prelude = PRELUDE.format(monkey="", hosts=zookeeper_hosts + chroot)
    run_python(
        prelude
        + """
import kazoo_gevent_patch.changes.lifecycle
from kazoo_gevent_patch.errors import EventLoopBlockedError
kazoo_gevent_patch.changes.lifecycle.LOOP_TIMEOUT = 0.2
errors = []
def stop():
    try:
        zk.stop()
    except EventLoopBlockedError as error:
        errors.append(error)

thread = threading.Thread(target=stop)
thread.start()
thread.join()  # without monkey patching
assert "blocks it" in str(errors[0])
wait_until(lambda: states == ["CONNECTED", "LOST"])  # it was carried out late
"""
    )

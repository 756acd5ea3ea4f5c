"""What people reported of kazoo, gevent and programs that combine them, run on our handler.

Cases with a home of their own name their report there: stalls (kazoo 285 and 286), forks
(kazoo 143 and 554, celery 3129), gunicorn's hooks (gunicorn 2023, dify 26056), stop() in signal
handlers (gevent 799).
"""

from __future__ import annotations

import ast
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

import kazoo_gevent_patch
from tests import children
from tests.support import ROOT, run_python, wait_until

EXIT_LIMIT = 5.0

START = """
import signal, sys, threading, time
import gevent.monkey; gevent.monkey.patch_all()
from kazoo_gevent_patch import patch_all; patch_all()
import gevent, gevent.event
from kazoo.client import KazooClient

client = KazooClient({hosts!r}, timeout=1.0)
client.start()
"""


@contextmanager
def running(program: str, output: Path) -> Iterator[psutil.Process]:
    """Run a program until it says that it is ready, and further; kill it at the end."""
    with output.open("wb") as stdout:
        process = children.spawn([sys.executable, "-c", program], stdout=stdout, cwd=ROOT)
    try:
        wait_until(lambda: "ready" in output.read_text(), message=output.read_text)
        yield psutil.Process(process.pid)
    finally:
        children.kill(process)


def cpu(process: psutil.Process) -> float:
    """Return how many seconds of CPU a process has used."""
    used = process.cpu_times()
    return float(used.user + used.system)


@pytest.mark.parametrize("stopped_for", [0.3, 3.0], ids=["session kept", "session lost"])
def test_kazoo_80_no_busy_loop_after_the_process_stood_still(
    zookeeper_hosts: str, chroot: str, tmp_path: Path, stopped_for: float
) -> None:
    """SIGSTOP, with requests under way, then SIGCONT: it works on, and then it is idle."""
    program = START.format(hosts=zookeeper_hosts + chroot) + (
        "print('ready', flush=True)\n"
        "work = True\n"
        "def rest(*_):\n"
        "    global work\n"
        "    work = False\n"
        "signal.signal(signal.SIGUSR1, rest)\n"
        "while work:\n"
        "    results = [client.get_async('/') for _ in range(100)]\n"
        "    gevent.joinall(results, timeout=10)\n"
        "client.retry(client.get, '/')\n"
        "print('resting', flush=True)\n"
        "gevent.sleep(60)\n"
    )
    output = tmp_path / "output"
    with running(program, output) as process:
        time.sleep(0.2)  # be stopped in the middle of the work
        process.send_signal(signal.SIGSTOP)
        time.sleep(stopped_for)
        process.send_signal(signal.SIGUSR1)
        process.send_signal(signal.SIGCONT)
        wait_until(lambda: "resting" in output.read_text(), message=output.read_text)
        before = cpu(process)
        time.sleep(2)  # what is measured: CPU over two seconds of idleness
        assert cpu(process) - before < 0.4


def test_kazoo_364_an_idle_client_keeps_its_session_monkey_patched(
    zookeeper_hosts: str, chroot: str
) -> None:
    """Heartbeats are sent: nothing happens in three and a half session time-outs."""
    program = START.format(hosts=zookeeper_hosts + chroot) + (
        "states, session = [], client.client_id\n"
        "client.add_listener(states.append)\n"
        "time.sleep(3.5)\n"
        "assert (states, client.client_id) == ([], session), states\n"
    )
    run_python(program)


BLOCKED = {
    "kazoo 147: a watch callback": """
client.create("/node")
client.get("/node", watch=block)
client.set("/node", b"")
""",
    "kazoo 147: the callback of a result": """
client.get_async("/").rawlink(block)
""",
    "kazoo 147: a listener": """
client.add_listener(block)
gevent.spawn(client.restart)
""",
    "kazoo 147: client.stop() with a blocked callback": """
client.get_async("/").rawlink(block)
began.wait(10)
gevent.spawn(client.stop)
gevent.sleep(0)
""",
    "gevent 2188: threads of both kinds wait": """
threading.Thread(target=block, daemon=True).start()
gevent.get_hub().threadpool.spawn(client.get, "/").get(timeout=10)
gevent.get_hub().threadpool.spawn(client.get, "/")
""",
}


@pytest.mark.parametrize("blocked", BLOCKED)
def test_the_process_exits(zookeeper_hosts: str, chroot: str, blocked: str) -> None:
    """Whatever waits for ever, the program's end is its end, and quick."""
    program = START.format(hosts=zookeeper_hosts + chroot) + (
        "began = gevent.event.Event()\n"
        "def block(*_):\n"
        "    began.set()\n"
        "    gevent.event.Event().wait()\n"
        f"{BLOCKED[blocked]}\n"
        "assert began.wait(10)\n"
        "print('ends', time.time())\n"
    )
    result = run_python(program)
    assert time.time() - float(result.stdout.split()[1]) < EXIT_LIMIT
    assert "Traceback" not in result.stderr


PRIVATE = re.compile(r"gevent(\.\w+)*\._(?!_)")
NOT_PUBLIC = {"gevent.event.Timeout", "gevent.thread"}


def names(tree: ast.AST) -> Iterator[str]:
    """Return the dotted names of gevent that a module uses, as far as they are spelt out."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Attribute):
            yield ast.unparse(node)


def test_kazoo_505_and_793_no_private_name_of_gevent_is_used() -> None:
    """Nor one of the two that kazoo's handler leans on; one exception, with its reason there."""
    package = Path(kazoo_gevent_patch.__file__).parent
    used = {
        (path.name, name)
        for path in package.rglob("*.py")
        for name in names(ast.parse(path.read_text()))
        if name.partition(".")[0] == "gevent"
    }
    assert ("greenlets.py", "gevent.hub.Hub") in used
    private = {use for use in used if PRIVATE.match(use[1]) or use[1] in NOT_PUBLIC}
    assert private == {("hubs.py", "gevent._hub_local.get_hub_if_exists")}


@pytest.mark.parametrize(
    "waits",
    [
        "KazooRetry(max_tries=2, delay=1.0, max_jitter=0.0)(fail_once)",
        "KazooClient().Lock('/lock')._retry(fail_once)",
    ],
)
def test_kazoo_126_and_150_a_retry_does_not_stop_the_loop(waits: str) -> None:
    """Not monkey patched: a KazooRetry without a sleep function, and that of a recipe."""
    program = f"""
from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionLoss
from kazoo.retry import ForceRetryError, KazooRetry
from kazoo_gevent_patch import patch_all
patch_all()
import gevent
failures = [ForceRetryError("once")]

def fail_once():
    if failures:
        raise failures.pop()
    return "done"

woken = []
gevent.spawn_later(0.01, woken.append, True)
assert {waits} == "done"
assert woken
"""
    run_python(program)


@pytest.mark.parametrize("patches", [True, False])
def test_baseplate_659_660_and_668_chosen_at_run_time(patches: bool) -> None:
    """Code that asks gevent whether it has patched, and only then has kazoo patched."""
    program = f"""
import gevent.monkey
from kazoo.client import KazooClient
if {patches}:
    gevent.monkey.patch_all()
if gevent.monkey.is_module_patched("socket"):
    from kazoo_gevent_patch import patch_all
    patch_all()
print(type(KazooClient().handler).__module__)
"""
    ours, theirs = "kazoo_gevent_patch.handler.sequential", "kazoo.handlers.threading"
    assert run_python(program).stdout.strip() == (ours if patches else theirs)

"""The demo shows what it claims, and leaves nothing behind, interrupted or not."""

from __future__ import annotations

import os
import re
import signal
import sys
from tempfile import TemporaryFile

import psutil
import pytest
from kazoo.client import KazooClient
from kazoo.handlers.threading import SequentialThreadingHandler

from tests import children
from tests.support import ROOT, run_python, wait_until

DEMO = ["-m", "examples.demo"]


def _table(output: str) -> dict[str, tuple[str, str]]:
    """Return, by the first cell of a row, what it says without and with the one line."""
    rows = [re.split(r" {2,}", line) for line in output.splitlines()]
    return {row[0]: (row[1], row[3]) for row in rows if len(row) == 4}


def _names(hosts: str) -> set[str]:
    # The handler is explicit so that a patch, if one is on, does not reach this client.
    client = KazooClient(hosts, handler=SequentialThreadingHandler())
    client.start()
    try:
        return {name for name in client.get_children("/") if "demo" in name}
    finally:
        client.stop()
        client.close()


def test_every_check_holds_and_the_table_shows_it(zookeeper_hosts: str) -> None:
    result = run_python(DEMO, env={"ZK_HOSTS": zookeeper_hosts}, timeout=500)
    table = _table(result.stdout)
    for label in ("get_async, operations/s", "100 getters, operations/s"):
        assert all(int(cell.replace(",", "")) > 0 for cell in table.pop(label))
    assert table == {
        "": ("kazoo alone", "the one line"),
        "handler of": ("kazoo.handlers.threading", "kazoo_gevent_patch.handler.sequential"),
        "native threads of a client": ("3", "0"),
        "callback that calls the client": ("answered", "answered"),
        "except KazooTimeoutError: result.get": ("caught", "caught"),
        "except KazooTimeoutError: client.start": ("caught", "caught"),
        "app.py ended": ("well", "well"),
        "worker that computes 3 time-outs": ("session kept", "session kept"),
        "checks": ("9 of 9 held", "10 of 10 held"),
    }
    assert "every check held" in result.stdout
    assert "\x1b" not in result.stdout
    assert not _names(zookeeper_hosts)


def test_a_server_that_does_not_answer_is_one_line_and_a_failure() -> None:
    result = run_python(DEMO, env={"ZK_HOSTS": "127.0.0.1:1"}, timeout=300, check=False)
    assert result.returncode == 1
    assert result.stderr.rstrip().endswith("error: no ZooKeeper: Connection time-out")
    assert "Traceback" not in result.stderr


@pytest.mark.usefixtures("own_servers")
@pytest.mark.parametrize("moment", ["java", "examples.demo.app"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_no_process(moment: str, number: signal.Signals) -> None:
    environ = {name: value for name, value in os.environ.items() if name != "ZK_HOSTS"}
    with TemporaryFile() as output:
        demo = children.spawn([sys.executable, *DEMO], stdout=output, env=environ, cwd=ROOT)
        try:
            wait_until(
                lambda: any(_runs(process, moment) for process in _descendants(demo.pid)),
                timeout=30,
            )
            started = _descendants(demo.pid)
            os.killpg(demo.pid, number)
            assert demo.wait(20) == 128 + number
            wait_until(lambda: not any(map(_is_alive, started)), timeout=1)
        finally:
            children.kill(demo)


def _descendants(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def _runs(process: psutil.Process, argument: str) -> bool:
    try:
        return argument in process.cmdline()
    except psutil.NoSuchProcess:
        return False


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

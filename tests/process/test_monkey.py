"""The warning for programs that gevent has not monkey patched."""

from __future__ import annotations

import pytest

from tests.support import run_python

PROGRAM = """
import logging, sys
logging.basicConfig(stream=sys.stderr, format="%(name)s %(levelname)s %(message)s")
import gevent.monkey
{patching}
from kazoo_gevent_patch import patch_all
patch_all()
from kazoo.client import KazooClient

def start():
    KazooClient("127.0.0.1:1").start_async()

{starting}
"""


def warnings(patching: str, starting: str = "start()") -> list[str]:
    """Return our warnings in a fresh process that starts clients."""
    result = run_python(PROGRAM.format(patching=patching, starting=starting))
    return [line for line in result.stderr.splitlines() if line.startswith("kazoo_gevent_patch ")]


@pytest.mark.parametrize(
    "starting",
    [
        "start(); start()",
        "gevent.get_hub().threadpool.apply(start); start()",
    ],
)
def test_the_first_client_of_an_unpatched_process_warns(starting: str) -> None:
    """Once, wherever it starts: of what will block, and with the line to add."""
    (line,) = warnings("", starting)
    assert "WARNING gevent has not patched the standard library:" in line
    assert "time.sleep()" in line
    assert "sockets of other libraries" in line
    assert line.endswith("import gevent.monkey; gevent.monkey.patch_all()")


def test_what_is_missing_is_named() -> None:
    """Where gevent has patched only a part."""
    (line,) = warnings("gevent.monkey.patch_all(thread=False, time=False)")
    assert "WARNING gevent has not patched threading, time:" in line


def test_a_patched_process_does_not_warn() -> None:
    """gevent.monkey.patch_all() is all it takes."""
    assert warnings("gevent.monkey.patch_all()") == []


def test_a_process_without_a_client_of_ours_does_not_warn() -> None:
    """Neither patch_all() nor a client that does not start, or is on another handler."""
    assert warnings("", "KazooClient()") == []
    on_threads = """
from kazoo.handlers.threading import SequentialThreadingHandler
client = KazooClient("127.0.0.1:1", handler=SequentialThreadingHandler())
client.start_async()
client.stop()
"""
    assert warnings("", on_threads) == []

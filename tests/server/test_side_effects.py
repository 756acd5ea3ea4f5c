"""What this package does to the machine it runs on, besides talking to ZooKeeper: nothing."""

from __future__ import annotations

import json
from typing import Final

import pytest

from tests.support import run_python

PROGRAM: Final = """
import json, os, sys

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
FORBIDDEN = ("socket.bind", "os.", "subprocess.", "shutil.", "pty.", "tempfile.")
HARMLESS = ("os.listdir", "os.scandir", "os.walk")
seen = []

def look(event, arguments):
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES:
        seen.append((event, str(arguments[0])))
    elif event.startswith(FORBIDDEN) and event not in HARMLESS:
        seen.append((event, repr(arguments)))

sys.dont_write_bytecode = True
sys.addaudithook(look)
"""

CLIENT: Final = """
import gevent.monkey; gevent.monkey.patch_all()
from kazoo_gevent_patch import patch_all; patch_all()
import time
from kazoo.client import KazooClient
zk = KazooClient(sys.argv[1], timeout=0.5)
zk.start()
zk.ensure_path("/node")
with zk.Lock("/lock"):
    end = time.monotonic() + 1.0
    while time.monotonic() < end:  # so that the helper thread has to send heartbeats
        pass
zk.get("/node", watch=print)
zk.delete("/node")
zk.stop()
zk.close()
"""

DOCTOR: Final = """
from kazoo_gevent_patch.commands.line import main
main(["doctor", "--json", "--hosts", sys.argv[1]])
"""


@pytest.mark.parametrize("code", [CLIENT, DOCTOR], ids=["a client", "the doctor"])
def test_no_port_is_opened_no_process_started_and_no_file_written(
    code: str, zookeeper_hosts: str, chroot: str
) -> None:
    """The interpreter tells of everything that the whole program does."""
    program = PROGRAM + code + "print(json.dumps(seen), file=sys.stderr)"
    result = run_python(["-c", program, zookeeper_hosts + chroot])
    assert json.loads(result.stderr.splitlines()[-1]) == []


@pytest.mark.parametrize(
    "forbidden",
    [
        "import socket; socket.socket().bind(('127.0.0.1', 0))",
        "import subprocess; subprocess.run(['true'])",
        "import os; os.fork() or os._exit(0)",
        "open(os.devnull, 'w')",
    ],
)
def test_each_of_these_would_be_noticed(forbidden: str) -> None:
    """Or the test above could not fail."""
    program = f"{PROGRAM}\n{forbidden}\nprint(json.dumps(seen), file=sys.stderr)"
    assert json.loads(run_python(["-c", program]).stderr.splitlines()[-1]) != []

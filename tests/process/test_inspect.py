"""``kazoo-gevent-patch inspect`` on running programs: it names what they are stuck in."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from kazoo_gevent_patch.settings.environment import INSPECT
from tests.process.gunicorn_server import Answer, Gunicorn
from tests.process.programs import Program
from tests.support import wait_until

COMMAND = Path(sys.executable).with_name("kazoo-gevent-patch")

APPLICATION = """
import json, os, time
import gevent
from kazoo.client import KazooClient
from kazoo.exceptions import NodeExistsError

zk = KazooClient(os.environ["TEST_HOSTS"], timeout=4.0)  # here it is built
zk.start()

def wait_for_ever(event):
    hub = gevent.get_hub()
    hub.wait(hub.loop.stat("go_on", interval=0.1))  # until the file is there

def compute_for_ever(event):
    while not os.path.exists("go_on"):
        sum(range(1000))

try:
    zk.create("/first")
    callback = wait_for_ever
except NodeExistsError:
    callback = compute_for_ever
zk.get("/trigger", watch=callback)

def app(environ, start_response):
    body = json.dumps(
        {"pid": os.getpid(), "session": zk.client_id[0], "callback": callback.__name__}
    ).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]
"""


def inspect(pid: int, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command, with time for a busy machine."""
    return subprocess.run(
        [COMMAND, "inspect", str(pid), "--timeout", "120", *options],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


KINDS = {"wait_for_ever": "waits", "compute_for_ever": "runs"}


def test_the_callback_that_a_gunicorn_worker_is_stuck_in_is_named(
    tmp_path: Path, zookeeper_hosts: str, chroot: str, observer: KazooClient
) -> None:
    """One worker waits in it and one computes; both go on. The master names the workers."""
    observer.create("/trigger")
    server = Gunicorn(
        tmp_path,
        application=APPLICATION,
        configuration="from kazoo_gevent_patch.gunicorn import post_fork",
        arguments=("-k", "gevent", "--timeout", "300"),
        env={"TEST_HOSTS": zookeeper_hosts + chroot},
    )
    with server:
        before = server.answers_of_workers(lambda answers: len(answers) == 2)
        assert {answer["callback"] for answer in before.values()} == KINDS.keys()
        observer.set("/trigger", b"now")
        for answer in before.values():
            assert_named(answer)
        assert_workers_named(server.pid, before)
        Path(tmp_path, "go_on").touch()
        after = server.answers_of_workers(lambda answers: len(answers) == 2)
        assert after == before  # nothing was restarted, and no session was lost
        assert "Traceback" not in server.log
        server.stop()


def assert_named(answer: Answer) -> None:
    """Check that the command names what a worker is stuck in, and where that is."""
    pid, callback = answer["pid"], answer["callback"]
    wait_until(lambda: f"application.{callback}" in inspect(pid).stdout)
    result = inspect(pid)
    assert (result.returncode, result.stderr) == (0, "")
    assert re.search(rf"watch callbacks: application\.{callback} runs for \d+\.\d s", result.stdout)
    assert f"0x{answer['session'] & (1 << 64) - 1:x}" in result.stdout
    found = json.loads(inspect(pid, "--json").stdout)
    assert found["pid"] == pid
    (worker,) = [one for one in found["greenlets"] if "watch callbacks" in one["name"]]
    assert re.match(r"KazooClient \(.*application\.py:7\), watch", worker["name"])
    assert worker["state"] == KINDS[callback]
    assert any(f"in {callback}" in line for line in worker["stack"])


def assert_workers_named(master: int, workers: Iterable[int]) -> None:
    """Check what the command says of the master, which has no client."""
    result = inspect(master, "--timeout", "1")
    assert result.returncode == 1
    named = result.stderr.partition("child processes, such as workers: ")[2].split(", ")
    assert set(workers) <= set(map(int, named))


PROGRAM = """
import gevent, sys
from kazoo_gevent_patch import patch_all
patch_all({options})
from kazoo.client import KazooClient

class Worker(KazooClient):
    pass

zk = Worker("127.0.0.1:1")
zk.start_async()
print("ready", flush=True)
{then}
"""
BLOCKS = "def hold_up():\n    while True: pass\nhold_up()"


@pytest.mark.parametrize(
    ("options", "value", "answers"),
    [
        ("", "", True),
        ("", "0", False),
        ("keep_sessions=False", "", False),
        ("keep_sessions=False", "1", True),
    ],
)
def test_a_program_without_a_server_answers_where_that_is_wanted(
    tmp_path: Path, options: str, value: str, answers: bool
) -> None:
    """From the start of its first client, and without monkey patching."""
    script = tmp_path / "script.py"
    script.write_text(PROGRAM.format(options=options, then="gevent.sleep(600)"))
    log = tmp_path / "log"
    with Program([str(script)], cwd=tmp_path, log=log, env={INSPECT.variable: value}) as program:
        program.wait_for(lambda output: "ready" in output)
        result = inspect(program.pid, *(() if answers else ("--timeout", "3")))
    assert result.returncode == (0 if answers else 1), result.stderr
    if answers:
        assert f"Worker ({script}:10) LOST 127.0.0.1:1, time-out 10 s" in result.stdout
        # It waits between two attempts to connect, or makes one.
        assert re.search(rf"Worker \({script}:10\), connection: (waits|runs)", result.stdout)
    else:
        assert "KAZOO_GEVENT_PATCH_INSPECT=1 is in its environment" in result.stderr


def test_code_that_is_no_callback_and_holds_up_the_event_loop_is_told(tmp_path: Path) -> None:
    """By where it is: the greenlet is the program's own."""
    script = tmp_path / "script.py"
    script.write_text(PROGRAM.format(options="", then=f"gevent.sleep(0.5)\n{BLOCKS}"))
    with Program([str(script)], cwd=tmp_path, log=tmp_path / "log", env={}) as program:
        program.wait_for(lambda output: "ready" in output)
        wait_until(lambda: "in hold_up" in inspect(program.pid).stdout)
        assert "other code of the event loop's thread: runs" in inspect(program.pid).stdout


def test_nothing_is_open_while_nobody_asks(tmp_path: Path) -> None:
    """No socket that others could call or a child could inherit; one native thread."""
    script = tmp_path / "script.py"
    script.write_text(PROGRAM.format(options="", then="gevent.sleep(600)"))
    with Program([str(script)], cwd=tmp_path, log=tmp_path / "log", env={}) as program:
        program.wait_for(lambda output: "ready" in output)
        assert inspect(program.pid).returncode == 0
        unix = Path("/proc/net/unix").read_text()
        assert f"kazoo-gevent-patch/inspect/{program.pid}" not in unix
        wait_until(lambda: len(list(Path(f"/proc/{program.pid}/task").iterdir())) == 2)


@pytest.mark.parametrize("seconds", ["inf", "0", "soon"])
def test_a_time_out_that_is_none_is_refused(seconds: str) -> None:
    """With the usage of the command."""
    result = inspect(1, "--timeout", seconds)
    assert result.returncode == 2
    assert "is not a number of seconds above 0" in result.stderr
    assert result.stderr.startswith("usage: kazoo-gevent-patch inspect ")

"""A real uWSGI, started for a test, and the application that the tests have it serve."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import children
from tests.ports import free_block
from tests.support import ROOT, wait_until

_UWSGI = Path(sys.executable).with_name("uwsgi")

_APPLICATION = """
{line}
import json, os, sys
{client}

def application(environ, start_response):
    body = json.dumps({{"pid": os.getpid(), **answer()}}).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]
"""

_CLIENT = """
from kazoo.client import KazooClient
zk = KazooClient(os.environ["TEST_HOSTS"], timeout=10.0)
{at_import}

def answer():
    {at_request}
    zk.get("/")
    return {{"handler": type(zk.handler).__module__, "session": zk.client_id[0]}}
"""

_NO_CLIENT = """
def answer():
    return {}
"""

_MONKEY = "import gevent.monkey; gevent.monkey.patch_all()"
_LINES = {
    "line": f"{_MONKEY}\nfrom kazoo_gevent_patch import patch_all; patch_all()",
    "environment": "",
    # without us
    "monkey": _MONKEY,
    "nothing": "",
}


@dataclass(frozen=True)
class Cell:
    """One way of running uWSGI, and of switching the patch on."""

    switch: str
    lazy: bool
    hooks: bool
    early: bool
    start: str

    def __str__(self) -> str:
        return "-".join(
            (
                self.switch,
                "lazy-apps" if self.lazy else "shared",
                "hooks" if self.hooks else "no hooks",
                "early" if self.early else "late",
                self.start,
            )
        )

    def options(self) -> list[str]:
        """Return the options of uWSGI."""
        options = ["lazy-apps = true"] * self.lazy + ["py-call-osafterfork = true"] * self.hooks
        return [*options, f"gevent-{'early-' if self.early else ''}monkey-patch = true"]

    def application(self) -> str:
        """Return the module that uWSGI loads."""
        start = "zk._stopped.is_set() and zk.start()"  # unless it is started
        client = _CLIENT.format(
            at_import=start if self.start == "import" else "",
            at_request=start if self.start == "request" else "",
        )
        return _APPLICATION.format(
            line=_LINES[self.switch],
            client=client if self.switch in ("line", "environment") else _NO_CLIENT,
        )


@dataclass
class Outcome:
    """What became of a cell."""

    answers: list[dict[str, Any]]
    """All answers, in their order."""

    workers: tuple[set[int], set[int]]
    """The process ids of those that answered before the reload, and after it."""

    threads: int
    """How many threads the master process has."""

    log: str

    def unlike(self, others: Mapping[str, int]) -> list[str]:
        """Return the lines of the log that are in no log of the others."""
        return [line for line in lines_of(self.log) if line not in others]


def lines_of(log: str) -> dict[str, int]:
    """Return the lines of a log, without what differs from run to run, and how often each is."""
    counted: dict[str, int] = {}
    for raw in log.splitlines():
        line = re.sub(r"0x[0-9a-f]+|[0-9]+", "#", raw)
        line = re.sub(r"\[[^\]]*#:#:#[^\]]*\]|/\S+", "-", line).strip()  # times and paths
        if " is managing " not in line:  # which worker had a request when it was to end
            counted[line] = counted.get(line, 0) + 1
    return counted


def run(cell: Cell, directory: Path, hosts: str) -> Outcome:
    """Serve with two workers, have both answer, reload, have both answer again, and stop."""
    directory.mkdir()
    (directory / "web.py").write_text(cell.application())
    port, log = free_block([0]), directory / "uwsgi.log"
    options = ["module = web", "master = true", "processes = 2", "gevent = 10", "need-app = true"]
    options += [f"http-socket = 127.0.0.1:{port}", "disable-logging = true", "die-on-term = true"]
    options += [f"home = {sys.prefix}", "worker-reload-mercy = 10", *cell.options()]
    (directory / "uwsgi.ini").write_text("\n".join(["[uwsgi]", *options, ""]))
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TEST_HOSTS": hosts}
    env.update({"KAZOO_GEVENT_PATCH": "1"} if cell.switch == "environment" else {})
    with log.open("ab") as output:
        process = children.spawn(
            [str(_UWSGI), "--ini", "uwsgi.ini"], stdout=output, env=env, cwd=directory
        )
    answers: list[dict[str, Any]] = []
    try:
        ask = _asker(f"http://127.0.0.1:{port}/", answers)
        before = _answer_all(ask, set(), log)
        process.send_signal(signal.SIGHUP)
        after = _answer_all(ask, before, log)
        threads = len(os.listdir(f"/proc/{process.pid}/task"))
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
    finally:
        children.kill(process)
    return Outcome(answers, (before, after), threads, log.read_text(errors="replace"))


def _asker(url: str, answers: list[dict[str, Any]]) -> Callable[[], int | None]:
    def ask() -> int | None:
        # A socket that is not there yet, or a worker that is about to be reloaded.
        with suppress(urllib.error.URLError, ConnectionError):
            with urllib.request.urlopen(url, timeout=30) as response:
                answers.append(json.load(response))
            return int(answers[-1]["pid"])
        return None

    return ask


def _answer_all(ask: Callable[[], int | None], old: set[int], log: Path) -> set[int]:
    """Make requests until two workers that are not of the old ones have answered."""
    workers: set[int] = set()

    def both() -> bool:
        workers.update({ask()} - {None} - old)  # type: ignore[arg-type]
        return len(workers) == 2

    wait_until(both, timeout=90, sleep=time.sleep, message=lambda: log.read_text(errors="replace"))
    return workers

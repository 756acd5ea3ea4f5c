"""Runs service.py in three gunicorn workers, and has one of them compute for long."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from contextlib import ExitStack, suppress
from tempfile import TemporaryFile
from time import monotonic, sleep

from tests import children
from tests.ports import free_block

WORKERS = 3
TIMEOUT = 30.0


def compute(gunicorn: tuple[str, ...], hosts: str) -> str:
    """Return what became of a worker's session: kept or lost."""
    port = free_block([0])
    command = [sys.executable, "-m", "gunicorn", "--workers", str(WORKERS), *gunicorn]
    command += ["--bind", f"127.0.0.1:{port}", "examples.demo.service:application"]
    with TemporaryFile() as output, ExitStack() as stack:
        env = {**os.environ, "ZK_HOSTS": hosts}
        server = children.spawn(command, stdout=output, env=env)
        stack.callback(children.kill, server)
        if not _all_answer(port):
            output.seek(0)
            raise RuntimeError(f"gunicorn does not answer:\n{output.read().decode()}")
        kept = _ask(port, "/compute")["kept"]
        server.terminate()
        server.wait(TIMEOUT)
    return "kept" if kept else "lost"


def _all_answer(port: int) -> bool:
    """Return whether every worker answers: one that still boots would miss what is sent to it."""
    seen: set[object] = set()
    deadline = monotonic() + TIMEOUT
    while len(seen) < WORKERS and monotonic() < deadline:
        with suppress(OSError):  # it does not listen yet
            seen.add(_ask(port, "/")["pid"])
        sleep(0.01)
    return len(seen) == WORKERS


def _ask(port: int, path: str) -> dict[str, object]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=TIMEOUT) as answer:  # nosec B310 # ours, and http
        return dict(json.load(answer))

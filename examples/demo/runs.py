"""Runs app.py in a process of its own and collects what it saw."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from tempfile import TemporaryFile
from threading import Timer
from typing import Any

from examples.demo.ways import Way
from tests import children

TIMEOUT = 60.0


@dataclass(frozen=True)
class Outcome:
    """What app.py saw, how it ended, and what it wrote to standard error."""

    way: Way
    seen: dict[str, Any]
    errors: str

    def failures(self) -> list[str]:
        """Return the names of the expectations that did not hold."""
        return self.way.failures(self.seen)


def run(way: Way, hosts: str, progress: Callable[[], object]) -> Outcome:
    """Run app.py, and call ``progress`` for each thing that it reports."""
    reading, writing = os.pipe()
    seen: dict[str, Any] = {}
    with open(reading, "rb") as lines, TemporaryFile() as stderr:
        with open(writing, "wb") as stdout:
            env = {**os.environ, "ZK_HOSTS": hosts}
            process = children.spawn(
                [sys.executable, "-m", way.module], stdout=stdout, stderr=stderr, env=env
            )
        too_late = Timer(TIMEOUT, process.kill)
        try:
            too_late.start()
            for line in lines:
                for name, value in json.loads(line).items():
                    seen[name] = value
                    progress()
            process.wait()
        finally:
            too_late.cancel()
            children.kill(process)
        stderr.seek(0)
        errors = stderr.read().decode(errors="replace")
    seen["ended"] = _ended(process.returncode, errors)
    return Outcome(way, seen, errors)


def _ended(status: int, errors: str) -> str:
    if status == -signal.SIGKILL:
        return "hung"
    if status:
        last_line = errors.rstrip().rpartition("\n")[2]
        return f"died: {last_line.partition(':')[0].rpartition('.')[2]}"
    return "well"

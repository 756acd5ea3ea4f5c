"""Runs the parts of a check side by side, and says at the end what failed and why.

    python -m tests.parts [--at-once N] [--logs FOLDER] NAME=COMMAND...

Each part's output is shown when it has ended, and kept in a folder. The last lines are at most
ten: what failed, or what pytest counted.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests import children
from tests.support import ROOT

_LINES: Final = 10
_POLL_INTERVAL: Final = 0.2
_NEWS_INTERVAL: Final = 60.0
_GRACE: Final = 30.0
_BROKEN: Final = re.compile(r"^(?:FAILED|ERROR) .*$", re.MULTILINE)
_COUNTS: Final = re.compile(r"^=* ?(.*\bpassed\b.*) in [\d.]+s\b.*$", re.MULTILINE)
_COUNT: Final = re.compile(r"(\d+) (passed|skipped)")
# What breaks without this package breaks the rest as well, so that it is said first.
_FIRST: Final = "test_kazoo_passes_alone"


class Part:
    """A command, and its output in a file."""

    def __init__(self, name: str, command: str, logs: Path) -> None:
        self.name = name
        self._command = command
        self._log = logs / f"{re.sub(r'[^a-z0-9.]+', '-', name.lower())}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._began = 0.0

    def start(self) -> None:
        """Start it, in a process group of its own."""
        say(f"{self.name}: {self._command}")
        self._began = time.monotonic()
        with self._log.open("wb") as log:
            self._process = children.spawn(shlex.split(self._command), stdout=log, cwd=ROOT)

    @property
    def status(self) -> int | None:
        """The exit status, or None before the end."""
        return None if self._process is None else self._process.poll()

    @property
    def is_running(self) -> bool:
        """Whether it has begun and not ended."""
        return self._process is not None and self.status is None

    @property
    def output(self) -> str:
        """What it has written."""
        return self._log.read_text(errors="replace")

    @property
    def seconds(self) -> float:
        """How long it has run."""
        return time.monotonic() - self._began

    def end(self) -> None:
        """End it as Ctrl-C does, with all that it has started, and wait for it."""
        if self._process is not None and self.is_running:
            os.killpg(self._process.pid, signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE)
            children.kill(self._process)

    def failures(self) -> list[str]:
        """Return what failed, a line each; the last lines if it does not say so as pytest does."""
        lines = [line for line in self.output.splitlines() if line.strip()]
        found = [line for line in lines if _BROKEN.match(line)] or lines[-3:]
        return [f"{self.name}: {line}" for line in found]


def say(line: str) -> None:
    """Print a line of our own at once."""
    print(f"==> {line}", file=sys.stderr, flush=True)


def run(parts: Sequence[Part], at_once: int) -> None:
    """Run the parts in their order, so many at once; show each when it has ended."""
    waiting, running = list(parts), list[Part]()
    news = time.monotonic() + _NEWS_INTERVAL
    while waiting or running:
        while waiting and len(running) < at_once:
            running.append(waiting.pop(0))
            running[-1].start()
        time.sleep(_POLL_INTERVAL)
        for part in [part for part in running if not part.is_running]:
            running.remove(part)
            sys.stdout.write(part.output)
            sys.stdout.flush()
            say(f"{part.name}: ended with {part.status} after {part.seconds:.0f} s")
        if time.monotonic() > news:
            news += _NEWS_INTERVAL
            for part in running:
                last = (part.output.rstrip().splitlines() or [""])[-1]
                say(f"{part.name}, {part.seconds:.0f} s: {last[-100:]}")


def verdict(parts: Sequence[Part], logs: Path) -> list[str]:
    """Return the last lines: what failed and why, or what pytest counted in all, if anything."""
    failed = [part for part in parts if part.status]
    if not failed:
        counts = Counter[str]()
        for part in parts:
            for line in _COUNTS.findall(part.output):
                counts.update({what: int(number) for number, what in _COUNT.findall(line)})
        total = f"{counts['passed']} passed, 0 failed, {counts['skipped']} skipped"
        return [total] if counts else []
    reasons = [reason for part in failed for reason in part.failures()]
    reasons.sort(key=lambda reason: _FIRST not in reason)
    shown = reasons[: _LINES - 1]
    if len(reasons) > len(shown):
        shown[-1] = f"... and {len(reasons) - len(shown) + 1} more"
    names = ", ".join(part.name for part in failed)
    return [*shown, f"failed: {names}; the whole output is in {logs}"]


def main(arguments: Sequence[str]) -> int:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="tests.parts")
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--logs", type=Path, default=ROOT / "build" / "parts", metavar="FOLDER")
    parser.add_argument("parts", nargs="+", metavar="NAME=COMMAND")
    options = parser.parse_args(arguments)
    options.logs.mkdir(parents=True, exist_ok=True)
    named = [part.partition("=") for part in options.parts]
    parts = [Part(name, command, options.logs) for name, _, command in named]

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        run(parts, options.at_once)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    finally:
        for part in parts:
            part.end()
    for line in verdict(parts, options.logs):
        print(line, flush=True)
    return 1 if any(part.status for part in parts) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

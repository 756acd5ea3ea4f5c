"""An example's program, run as its README says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests import children
from tests.support import ROOT, wait_until


class Program:
    """A Python program that runs for the length of a block, in the directory given."""

    def __init__(
        self, arguments: Sequence[str], *, cwd: Path, log: Path, env: Mapping[str, str]
    ) -> None:
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self._arguments = [sys.executable, *arguments]
        self._env = {**os.environ, "PYTHONPATH": path, **env}
        self._cwd = cwd
        self._log = log
        self._process: subprocess.Popen[bytes]

    def __enter__(self) -> Program:
        with self._log.open("wb") as log:
            self._process = children.spawn(
                self._arguments, stdout=log, env=self._env, cwd=self._cwd
            )
        return self

    def __exit__(self, *_: object) -> None:
        children.kill(self._process)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def output(self) -> str:
        """What it has written."""
        return self._log.read_text(errors="replace")

    def records(self) -> list[dict[str, Any]]:
        """Return the lines of JSON that it has written; what it has logged is none."""
        whole, _, _ = self.output.rpartition("\n")
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def wait_for(self, wanted: Callable[[str], bool], timeout: float = 300.0) -> None:
        """Wait until the output is as wanted."""

        def is_as_wanted() -> bool:
            assert self._process.poll() is None, self.output
            return wanted(self.output)

        wait_until(is_as_wanted, timeout=timeout, message=lambda: self.output)

    def end(self, number: int) -> int:
        """Send a signal, and return the status with which the program ends."""
        self._process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Return the status with which the program ends."""
        return self._process.wait(timeout=300)

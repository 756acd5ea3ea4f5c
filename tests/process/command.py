"""The installed command, and Python beside it, run in a directory as a user runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests import children
from tests.support import COMMAND, wait_until

Ended = subprocess.CompletedProcess[str]


def run(
    command: Sequence[str],
    directory: Path,
    given: bytes = b"",
    env: Mapping[str, str] | None = None,
) -> Ended:
    """Run a command in a directory; ``given`` is its standard input, ``env`` adds to ours."""
    result = subprocess.run(
        command,
        input=given,
        capture_output=True,
        timeout=300,
        check=False,
        cwd=directory,
        env={**os.environ, **(env or {})},
    )
    out, err = result.stdout.decode(errors="replace"), result.stderr.decode(errors="replace")
    return subprocess.CompletedProcess(result.args, result.returncode, out, err)


def python(arguments: Sequence[str], directory: Path, given: bytes = b"") -> Ended:
    """Run Python."""
    return run([sys.executable, *arguments], directory, given)


def ours(
    arguments: Sequence[str],
    directory: Path,
    given: bytes = b"",
    env: Mapping[str, str] | None = None,
) -> Ended:
    """Run the installed command."""
    return run([COMMAND, *arguments], directory, given, env)


def assert_same(arguments: Sequence[str], directory: Path, given: bytes = b"") -> str:
    """Fail unless `run` does with a program what `python` does; return the standard output."""
    plain = python(arguments, directory, given)
    patched = ours(["run", *arguments], directory, given)
    assert patched.stdout == plain.stdout
    assert patched.stderr == plain.stderr
    assert patched.returncode == plain.returncode
    return patched.stdout


class Background:
    """A command that goes on, with its output."""

    def __init__(self, command: Sequence[str], directory: Path) -> None:
        self._log = directory / "output.log"
        with self._log.open("wb") as log:
            self.process = children.spawn(
                command, stdout=log, env={**os.environ, "PYTHONUNBUFFERED": "1"}, cwd=directory
            )

    @property
    def output(self) -> str:
        """What it has printed."""
        return self._log.read_text(errors="replace")

    def wait_for(self, text: str, timeout: float = 60.0) -> None:
        """Wait until it has printed the text; fail when it ends before."""

        def printed() -> bool:
            ended = self.process.poll() is not None
            found = text in self.output
            assert found or not ended, self.output
            return found

        wait_until(printed, timeout=timeout, message=lambda: self.output)

"""What tests of all kinds share."""

import os
import subprocess
import sys
import sysconfig
import textwrap
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TypeVar

from tests import children

ROOT = Path(__file__).resolve().parent.parent
COMMAND = str(Path(sysconfig.get_path("scripts"), "kazoo-gevent-patch"))
"""The command as it is installed for the Python that runs the tests."""

_POLL_INTERVAL = 0.02

T = TypeVar("T")


def wait_until(
    predicate: Callable[[], T],
    timeout: float = 60.0,
    sleep: Callable[[float], object] = time.sleep,
    message: str | Callable[[], str] = "the condition did not come true",
) -> T:
    """Return the first true value of the predicate; fail if there is none in time."""
    deadline = time.monotonic() + timeout
    while not (value := predicate()):
        if time.monotonic() > deadline:
            reason = message if isinstance(message, str) else message()
            raise AssertionError(f"after {timeout:g} s: {reason}")
        sleep(_POLL_INTERVAL)
    return value


def finish(work: Generator[float, None, T], sleep: Callable[[float], object] = time.sleep) -> T:
    """Go on with work that yields for how many seconds to wait; return its outcome."""
    while True:
        try:
            pause = next(work)
        except StopIteration as end:
            outcome: T = end.value
            return outcome
        sleep(pause)


def run_python(
    code_or_args: str | Sequence[str],
    env: Mapping[str, str] | None = None,
    timeout: float = 300.0,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a snippet, or the interpreter with arguments, in a fresh process of the same Python.

    `env` adds to this process's environment. A failure, or no end in time, fails the test and
    shows the output; with check=False a failure is the caller's to judge. Whatever the process
    started goes with it.
    """
    if isinstance(code_or_args, str):
        arguments = ["-c", textwrap.dedent(code_or_args)]
    else:
        arguments = list(code_or_args)
    return _run([sys.executable, "-X", "faulthandler", *arguments], env, timeout, check)


def run_command(
    arguments: Sequence[str],
    env: Mapping[str, str] | None = None,
    timeout: float = 300.0,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run the installed command, in the same way."""
    return _run([COMMAND, *arguments], env, timeout, check)


def _run(
    args: Sequence[str], env: Mapping[str, str] | None, timeout: float, check: bool
) -> subprocess.CompletedProcess[str]:
    # Files and no pipes: a process left behind that holds a pipe open would hold up the reader.
    with TemporaryFile() as stdout, TemporaryFile() as stderr:
        process = children.spawn(
            args, stdout=stdout, stderr=stderr, env={**os.environ, **(env or {})}, cwd=ROOT
        )
        outcome = "ended"
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            children.abort(process)
            outcome = f"did not end in {timeout:g} s"
        finally:
            children.kill(process)
        result = subprocess.CompletedProcess(args, process.returncode, _text(stdout), _text(stderr))
    if outcome != "ended" or (check and result.returncode):
        raise AssertionError(
            f"{args} {outcome} with status {result.returncode}\n"
            f"--- stdout ---\n{result.stdout}\n--- stderr ---\n{result.stderr}"
        )
    return result


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")

"""Child processes that cannot outlive the test run."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

_SETPRIV = shutil.which("setpriv")
# An exec wrapper and no preexec_fn: that one would run this process's at-fork hooks in the child.
_DIE_WITH_PARENT = [_SETPRIV, "--pdeathsig", "KILL", "--"] if _SETPRIV else []


def spawn(
    args: Sequence[str],
    *,
    stdout: IO[bytes],
    stderr: IO[bytes] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process in a group of its own; stderr joins stdout unless given.

    The kernel kills it when the thread that called this ends: call it from a thread that stays.
    """
    return subprocess.Popen(
        [*_DIE_WITH_PARENT, *args],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.STDOUT if stderr is None else stderr,
        env=env,
        cwd=cwd,
        start_new_session=True,
    )


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the process with all of its group, and wait for it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def abort(process: subprocess.Popen[bytes], grace: float = 5.0) -> None:
    """Kill a process that hangs; a Python one with faulthandler on prints its stacks first."""
    process.send_signal(signal.SIGABRT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(grace)
    kill(process)

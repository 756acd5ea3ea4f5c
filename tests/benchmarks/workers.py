"""The processes of the contenders, seen from the parent."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from tests import children
from tests.benchmarks.jobs import Job
from tests.benchmarks.measuring import Metrics
from tests.support import ROOT

if TYPE_CHECKING:
    from tests.benchmarks.worker import Answer

START_TIMEOUT: Final = 60.0
_POLL_INTERVAL: Final = 0.1
_LOG_TAIL_LINES: Final = 15


class HangError(RuntimeError):
    """A worker did not answer in time."""


class FailureError(RuntimeError):
    """A worker failed; the message says how."""


class Worker:
    """A process that measures one contender, one job at a time."""

    def __init__(self, contender: str) -> None:
        self._home = TemporaryDirectory(prefix="benchmark-")
        self._log = Path(self._home.name, "log")
        address = str(Path(self._home.name, "socket"))
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(address)
            listener.listen()
            self._process = self._spawn(contender, address)
            try:
                self._connection = self._accept(listener)
            except BaseException:
                self._end()
                raise

    def _spawn(self, contender: str, address: str) -> subprocess.Popen[bytes]:
        arguments = ["-m", f"{__package__}.worker", contender, address]
        with self._log.open("wb") as log:
            return children.spawn([sys.executable, *arguments], stdout=log, cwd=ROOT)

    def _accept(self, listener: socket.socket) -> Connection:
        listener.settimeout(_POLL_INTERVAL)
        deadline = time.monotonic() + START_TIMEOUT
        while self._process.poll() is None and time.monotonic() < deadline:
            with suppress(TimeoutError):
                accepted, _ = listener.accept()
                accepted.setblocking(True)
                return Connection(accepted.detach())
        raise FailureError(f"the worker has not started; the end of its log:\n{self._log_tail()}")

    def do(self, job: Job, timeout: float) -> Metrics:
        """Have a job done; a worker that hangs or fails must be killed after it."""
        try:
            self._connection.send(job)
            if not self._connection.poll(timeout):
                raise HangError(f"no answer within {timeout:g} s")
            answer: Answer = self._connection.recv()
        except (EOFError, OSError):
            raise FailureError(
                f"the worker has ended; the end of its log:\n{self._log_tail()}"
            ) from None
        if isinstance(answer, str):
            raise FailureError(answer)
        return answer

    def kill(self) -> None:
        """End the worker at once."""
        self._connection.close()
        self._end()

    def _end(self) -> None:
        children.kill(self._process)
        self._home.cleanup()

    def _log_tail(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-_LOG_TAIL_LINES:])


class Crew:
    """At most one worker for each contender, made when it is first needed."""

    def __init__(self) -> None:
        self._workers: dict[str, Worker] = {}

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for worker in self._workers.values():
            worker.kill()

    def do(self, contender: str, job: Job, timeout: float, fresh: bool = False) -> Metrics:
        """Have a contender's worker do the job, a new one if it is to be fresh."""
        if fresh:
            self._dismiss(contender)
        if contender not in self._workers:
            self._workers[contender] = Worker(contender)
        try:
            return self._workers[contender].do(job, timeout)
        except (HangError, FailureError):
            self._dismiss(contender)
            raise

    def _dismiss(self, contender: str) -> None:
        worker = self._workers.pop(contender, None)
        if worker is not None:
            worker.kill()

"""A real gunicorn, started for a test, and the application that it serves."""

from __future__ import annotations

import json
import os
import signal
import sys
import textwrap
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests import children
from tests.ports import free_block
from tests.support import ROOT, wait_until

APPLICATION = """
{first_line}
import json, os

from kazoo.client import KazooClient

zk = KazooClient(
    os.environ["TEST_HOSTS"], timeout=5.0, connection_retry={{"max_tries": -1, "delay": 0.1}}
)
lock = zk.Lock("/lock-%s" % os.getpid())
{at_import}

def app(environ, start_response):
    {at_request}
    with lock:
        children = zk.get_children("/")
    body = json.dumps({{
        "pid": os.getpid(),
        "handler": type(zk.handler).__module__ + "." + type(zk.handler).__qualname__,
        "session": zk.client_id[0],
        "children": children,
        "acquired": lock.is_acquired,
    }}).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]
"""

Answer = dict[str, Any]


class Gunicorn:
    """A gunicorn with two workers that serves an application in a directory of its own."""

    def __init__(
        self,
        directory: Path,
        *,
        application: str | None,
        configuration: str = "",
        arguments: tuple[str, ...] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        named: tuple[str, ...] = ()
        if application is not None:  # else the configuration names what is in the directory
            (directory / "application.py").write_text(application)
            named = ("application:app",)
        (directory / "gunicorn.conf.py").write_text(textwrap.dedent(configuration))
        self._log = directory / "gunicorn.log"
        self._directory = directory
        self._port = free_block([0])
        self._arguments = (*arguments, *named)
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self._env = {**os.environ, "PYTHONPATH": path, **(env or {})}

    def __enter__(self) -> Gunicorn:
        command = [sys.executable, "-m", "gunicorn", "--workers", "2", "--log-level", "info"]
        command += ["--bind", f"127.0.0.1:{self._port}", "--graceful-timeout", "4"]
        with self._log.open("wb") as log:
            self._process = children.spawn(
                [*command, *self._arguments],
                stdout=log,
                env=self._env,
                cwd=self._directory,
            )
        return self

    def __exit__(self, *_: object) -> None:
        children.kill(self._process)

    @property
    def log(self) -> str:
        """What gunicorn, its workers and the application have logged."""
        return self._log.read_text(errors="replace")

    @property
    def pid(self) -> int:
        """The process id of the master."""
        return self._process.pid

    @property
    def url(self) -> str:
        """Where it serves, ending with a slash."""
        return f"http://127.0.0.1:{self._port}/"

    def get(self) -> Answer:
        """Make one request."""
        with urllib.request.urlopen(self.url, timeout=60) as response:
            answer: Answer = json.load(response)
            return answer

    def answers_of_workers(
        self,
        wanted: Callable[[dict[int, Answer]], bool],
        timeout: float = 120.0,
        key: str = "pid",
        seen: list[Answer] | None = None,
    ) -> dict[int, Answer]:
        """Make requests until the latest answers, by worker, are as ``wanted``; return them.

        ``key`` names the worker in an answer; ``seen`` receives every answer.
        """
        answers: dict[int, Answer] = {}

        def ask() -> bool:
            # The listening socket is there before, and while, workers are.
            with suppress(ConnectionError, urllib.error.URLError):
                answer = self.get()
                answers[answer[key]] = answer
                if seen is not None:
                    seen.append(answer)
            assert self._process.poll() is None, self.log
            return wanted(answers)

        wait_until(ask, timeout=timeout, message=lambda: f"{answers}\n{self.log}")
        return answers

    def interrupt(self) -> None:
        """Press Ctrl-C, which master and workers hear, and wait for the end."""
        os.killpg(self.pid, signal.SIGINT)
        assert self._process.wait(timeout=300) == 0, self.log

    def stop(self) -> float:
        """Stop gracefully; return how many seconds that took."""
        begin = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(timeout=300) == 0, self.log
        return time.monotonic() - begin

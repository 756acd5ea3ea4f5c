"""The workers with their clients, from the start to the end of a run."""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import gevent
from kazoo.client import KazooClient
from kazoo.protocol.states import KeeperState

from tests.soak import paths
from tests.soak.checks import RECONNECT_MARGIN
from tests.soak.history import FAILED, Hung, Recorder, State, Stray, error_name
from tests.soak.sampler import sample
from tests.soak.workload import Leader, Worker

HISTORY: Final = "history"
STOP: Final = "stop"
"""The names of files in the directory of a run."""

_START_TIMEOUT: Final = 30.0
_LAST_TURN_TIMEOUT: Final = 60.0
"""Seconds that a worker may go on when all is over: more than its longest waits together."""
_POLL_INTERVAL: Final = 0.1
_SAMPLE_INTERVAL: Final = 2.0
# Without a limit kazoo comes to wait a minute between two tries, whatever handler it runs on.
_CONNECTION_RETRY: Final = {"max_tries": -1, "delay": 0.1, "max_delay": 1.0}


class Crew:
    """All clients and workers of the process."""

    def __init__(
        self, recorder: Recorder, clients: list[KazooClient], seed: int, patience: float
    ) -> None:
        self._recorder = recorder
        self._clients = clients
        self._patience = patience
        self._is_over = False
        self._seen: dict[str, object] = {}
        self._workers = [
            Worker(number, clients[number % len(clients)], number % len(clients), recorder, seed)
            for number in range(paths.WORKERS)
        ]
        self._workers += [
            Leader(paths.WORKERS + number, client, number, recorder, seed)
            for number, client in zip(range(paths.LEADERS), cycle(clients), strict=False)
        ]
        self._tasks: dict[str, Any] = {}

    def start(self) -> None:
        """Put the watchers up, and let the workers begin."""
        for number, client in enumerate(self._clients):
            client.DataWatch(paths.SHARED, partial(self._on_data, f"data by client {number}"))
            client.ChildrenWatch(
                paths.SHARED, partial(self._on_children, f"children by client {number}")
            )
        spawn = self._clients[0].handler.spawn
        self._tasks = {
            worker.name: spawn(worker.run, lambda: self._is_over) for worker in self._workers
        }

    def _on_data(self, watcher: str, data: bytes | None, stat: object) -> None:
        self._seen[watcher] = data

    def _on_children(self, watcher: str, children: list[str]) -> None:
        self._seen[watcher] = set(children)

    def work(self, stop: Path) -> None:
        """Let the workers work until the file is there."""
        next_sample = 0.0
        while not stop.exists():
            if time.monotonic() >= next_sample:
                self._recorder.add(sample())
                next_sample = time.monotonic() + _SAMPLE_INTERVAL
            for client in self._clients:
                if client.client_state == KeeperState.CLOSED:
                    client.start_async()  # as an application would: kazoo gave it up
            time.sleep(_POLL_INTERVAL)

    def finish(self) -> None:
        """Let the workers end; then wait until all are connected and see the last change."""
        self._is_over = True
        deadline = time.monotonic() + _LAST_TURN_TIMEOUT
        for name, task in self._tasks.items():
            task.join(max(0.0, deadline - time.monotonic()))
            if task.is_alive():
                self._recorder.add(Hung(name, _stack(task)))
        self._wait(lambda: all(client.connected for client in self._clients))
        self._converge()

    def _converge(self) -> None:
        client = self._clients[0]
        client.retry(client.set, paths.SHARED, b"last")
        children = set(client.retry(client.get_children, paths.SHARED))
        expected = {
            watcher: b"last" if watcher.startswith("data") else children for watcher in self._seen
        }
        self._wait(lambda: self._seen == expected)
        for watcher, content in expected.items():
            with self._recorder.operation("crew", 0, "converge", watcher) as operation:
                if self._seen[watcher] != content:
                    operation.outcome = FAILED

    def _wait(self, predicate: Callable[[], bool]) -> None:
        """Wait for a time; the checks find what was not reached in time."""
        deadline = time.monotonic() + self._patience
        while not predicate() and time.monotonic() < deadline:
            time.sleep(_POLL_INTERVAL)


def _stack(task: Any) -> str:
    # A greenlet has its frame itself; a thread's is found by its number.
    frame = getattr(task, "gr_frame", None) or sys._current_frames().get(getattr(task, "ident", 0))
    return "".join(traceback.format_stack(frame))


@contextmanager
def _connected(
    hosts: str, session_timeout: float, recorder: Recorder
) -> Iterator[list[KazooClient]]:
    listeners: dict[KazooClient, Callable[[str], None]] = {}
    for number in range(paths.CLIENTS):
        client = KazooClient(
            hosts, timeout=session_timeout, connection_retry=dict(_CONNECTION_RETRY)
        )
        listeners[client] = partial(_on_state, recorder, number)
        client.add_listener(listeners[client])
        client.start(_START_TIMEOUT)
    yield list(listeners)
    for client, listener in listeners.items():
        client.remove_listener(listener)  # no fault ends the connection now
        client.stop()
        client.close()


def _on_state(recorder: Recorder, number: int, state: str) -> None:
    recorder.add(State(number, state, time.monotonic()))


class _Strays(logging.Handler):
    """Records errors that nobody caught, from wherever they are reported."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(logging.ERROR)
        self._recorder = recorder

    def install(self) -> None:
        """Listen to the log, to the hook of threads and to the event loop."""
        logging.getLogger().addHandler(self)
        threading.excepthook = lambda args: self._add("thread", args.exc_value)
        hub: Any = gevent.get_hub()
        report = hub.handle_error

        def handle_error(context: object, kind: Any, value: Any, tb: Any) -> None:
            if isinstance(value, Exception):
                self._add("greenlet", value)
            report(context, kind, value, tb)

        hub.handle_error = handle_error

    def emit(self, record: logging.LogRecord) -> None:
        """Record an error that is logged with its traceback."""
        if record.exc_info:
            self._add("log", record.exc_info[1])

    def _add(self, where: str, error: BaseException | None) -> None:
        if error is not None:
            self._recorder.add(Stray(where, error_name(error)))


def main(handler: str, directory: str, seed: str, session_timeout: str, hosts: str) -> None:
    """Work until there is a file that says to stop."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s.%(msecs)03d %(message)s")
    recorder = Recorder(Path(directory, HISTORY))
    _Strays(recorder).install()
    timeout = float(session_timeout)
    with _connected(hosts, timeout, recorder) as clients:
        crew = Crew(recorder, clients, int(seed), timeout + RECONNECT_MARGIN)
        crew.start()
        crew.work(Path(directory, STOP))
        crew.finish()

"""The registry example, served for a test, and its readers."""

from __future__ import annotations

import os
import re
import selectors
import shutil
import signal
import socket
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.process.gunicorn_server import Gunicorn
from tests.support import ROOT, wait_until

EXAMPLE = ROOT / "examples" / "registry"
MEMBERS = "/example-registry/members"

# A session of the example lasts 4 s; the rest is for a busy machine.
PATIENCE = 120.0


@contextmanager
def serving(
    directory: Path,
    hosts: str,
    *,
    workers: int,
    registered: int | None = None,
    streams: int = 500,
    connections: int = 1000,
) -> Iterator[Gunicorn]:
    """Serve a copy of the example once all its workers, or as many as wanted, are registered."""
    wanted = workers if registered is None else registered
    shutil.copytree(EXAMPLE, directory, dirs_exist_ok=True)
    server = Gunicorn(
        directory,
        application=None,
        configuration=(EXAMPLE / "gunicorn.conf.py").read_text(),
        arguments=("--workers", str(workers), "--worker-connections", str(connections)),
        env={"ZK_HOSTS": hosts, "REGISTRY_STREAMS": str(streams)},
    )
    with server:
        wait_until(
            lambda: (html := _page_or_nothing(server)) and len(pids(html)) == wanted,
            timeout=PATIENCE,
            message=lambda: server.log,
        )
        yield server


def page(server: Gunicorn) -> str:
    """Return what a browser without scripts shows."""
    with urllib.request.urlopen(server.url, timeout=60) as response:
        return str(response.read().decode())


def _page_or_nothing(server: Gunicorn) -> str:
    try:
        return page(server)
    except OSError:  # nobody listens yet
        return ""


def pids(html: str) -> set[int]:
    """Return the process ids of the workers that are on a page, or in an event."""
    return set(map(int, re.findall(r'data-pid="(\d+)"', html)))


def kill(pid: int) -> None:
    """Kill a worker without a chance to say good-bye."""
    os.kill(pid, signal.SIGKILL)


class Streams:
    """Streams of events that one thread reads, however many there are."""

    def __init__(self, server: Gunicorn, count: int) -> None:
        url = urlsplit(server.url)
        self._address = (url.hostname or "", url.port or 0)
        self._selector = selectors.DefaultSelector()
        self._received: dict[socket.socket, bytes] = {}
        self._ended: set[socket.socket] = set()
        for _ in range(count):
            self._open()

    def __enter__(self) -> Streams:
        return self

    def __exit__(self, *_: object) -> None:
        self.close(len(self._received))
        self._selector.close()

    def _open(self) -> None:
        connection = socket.create_connection(self._address, timeout=60)
        connection.sendall(b"GET /events HTTP/1.1\r\nHost: test\r\n\r\n")
        self._selector.register(connection, selectors.EVENT_READ)
        self._received[connection] = b""

    def wait_for_last_events(self, wanted: Callable[[str], bool]) -> None:
        """Read until the last event of every stream is as ``wanted``."""
        wait_until(
            lambda: all(map(wanted, self.last_events())),
            timeout=PATIENCE,
            message=lambda: f"{sum(map(wanted, self.last_events()))} of {len(self._received)}",
        )

    def wait_for_end(self) -> None:
        """Read until the server has ended every stream."""
        wait_until(self._have_ended, timeout=PATIENCE)

    def last_events(self) -> list[str]:
        """Return the last whole event that every stream has sent so far."""
        self._read()
        return [_last_event(received) for received in self._received.values()]

    def close(self, count: int) -> None:
        """Go away from some of the streams, as a closed browser does."""
        for connection in list(self._received)[:count]:
            if connection not in self._ended:
                self._selector.unregister(connection)
            self._ended.discard(connection)
            del self._received[connection]
            connection.close()

    def _have_ended(self) -> bool:
        self._read()
        return len(self._ended) == len(self._received)

    def _read(self) -> None:
        for key, _ in self._selector.select(timeout=0):
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            data = connection.recv(65_536)
            self._received[connection] += data
            if not data:
                self._ended.add(connection)
                self._selector.unregister(connection)


def _last_event(received: bytes) -> str:
    events = received.decode().split("event: view\n")[1:]
    whole = [event for event in events if "\n\n" in event]
    return whole[-1] if whole else ""

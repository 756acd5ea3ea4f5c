"""A program under load whose event loop stands still again and again; see test_kept_sessions.

`python -m tests.server.stalled_often OPTIONS`, a dictionary as JSON: `hosts`, `path`, `timeout`,
`seed`, `stalls`. Prints what became of the session.
"""

from __future__ import annotations

import json
import logging
import random
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import gevent
import gevent.monkey
from gevent.monkey import get_original
from kazoo.client import KazooClient

from kazoo_gevent_patch import patch_all

OPTIONS: dict[str, Any] = json.loads(sys.argv[1])
TIMEOUT: float = OPTIONS["timeout"]
LARGE = 300_000

chance = random.Random(OPTIONS["seed"])
block = get_original("time", "sleep")
errors: list[str] = []


class Load:
    """Greenlets that read and write, and check what they get."""

    def __init__(self, zk: KazooClient, path: str) -> None:
        self.done = 0
        self._zk = zk
        self._running = True
        self._greenlets = [
            gevent.spawn(self._go_on, work, f"{path}/{work.__name__}-{number}")
            for work in (self._small, self._large, self._many)
            for number in range(3)
        ]

    def stop(self) -> None:
        """Stop, and wait for what is under way."""
        self._running = False
        gevent.joinall(self._greenlets, timeout=30, raise_error=True)

    def _go_on(self, work: Callable[[str], None], path: str) -> None:
        self._zk.create(path)
        try:
            while self._running:
                work(path)
                self.done += 1
        except Exception as error:
            errors.append(f"{work.__name__}: {error!r}")

    def _small(self, path: str) -> None:
        data = str(self.done).encode()
        self._zk.set(path, data)
        assert self._zk.get(path)[0] == data

    def _large(self, path: str) -> None:
        data = str(self.done % 10).encode() * LARGE
        self._zk.set(path, data)
        assert self._zk.get(path)[0] == data

    def _many(self, path: str) -> None:
        for result in [self._zk.get_async(path) for _ in range(200)]:
            assert result.get()[0] == b""


def stall() -> None:
    """Let the event loop stand still: mostly not for long, at times for twice the time-out."""
    seconds = TIMEOUT * (chance.uniform(1, 2) if chance.random() < 0.1 else chance.random() * 0.2)
    if chance.random() < 0.5:
        block(seconds)
        return
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(1000))


def in_a_greenlet(zk: KazooClient, path: str) -> None:
    """Stand still between two greenlets."""
    stall()


def in_a_callback(zk: KazooClient, path: str) -> None:
    """Stand still where the completions run."""
    zk.get_async(path).rawlink(lambda _: stall())


def in_a_watch(zk: KazooClient, path: str) -> None:
    """Stand still where the watches run."""
    zk.get(path, watch=lambda _: stall())
    zk.set(path, b"")


def in_a_signal(zk: KazooClient, path: str) -> None:
    """Stand still in whatever is running, soon."""
    signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.001, 0.02))


def main() -> None:
    gevent.monkey.patch_all()
    patch_all()
    logging.basicConfig(stream=sys.stderr)
    signal.signal(signal.SIGALRM, lambda *_: stall())
    zk = KazooClient(OPTIONS["hosts"], timeout=TIMEOUT)
    zk.start()
    states: list[str] = []
    zk.add_listener(states.append)
    session, path = zk.client_id, OPTIONS["path"]
    zk.create(path)
    load = Load(zk, path)
    for _ in range(OPTIONS["stalls"]):
        chance.choice((in_a_greenlet, in_a_callback, in_a_watch, in_a_signal))(zk, path)
        gevent.sleep(chance.uniform(0, 0.1))
    load.stop()
    seen = {
        "session kept": zk.client_id == session,
        "states": list(states),
        "errors": errors,
        "done": load.done > OPTIONS["stalls"],
    }
    zk.stop()
    zk.close()
    print(json.dumps(seen), flush=True)


if __name__ == "__main__":
    main()

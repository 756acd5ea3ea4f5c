"""A program that holds a lock and does not let its event loop run; see test_kept_sessions.

`python -m tests.server.stalled OPTIONS`, a dictionary as JSON. Prints what became of the session.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable
from threading import Lock
from typing import Any

import gevent
from gevent.monkey import get_original

OPTIONS: dict[str, Any] = json.loads(sys.argv[1])
TIMEOUT: float = OPTIONS["timeout"]
LARGE = bytes(1 << 20)[: -(1 << 12)]  # with what is round it, less than the server's limit
READS = 10_000


def stall(seconds: float) -> None:
    """Let the event loop stand still."""
    if OPTIONS["how"] == "sleep":
        get_original("time", "sleep")(seconds)
        return
    end, total = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        total += sum(number * number for number in range(1000))


def idle(zk: Any, path: str) -> Callable[[], bool]:
    """Do nothing for a while."""
    gevent.sleep(TIMEOUT * 0.4)
    return lambda: True


def reads(zk: Any, path: str) -> Callable[[], bool]:
    """Be in the middle of many reads."""
    zk.set(path, b"short")
    results = [zk.get_async(path) for _ in range(READS)]
    while not results[READS // 10].ready():
        gevent.sleep(0.001)
    assert not results[-1].ready()
    return lambda: all(result.get(timeout=30)[0] == b"short" for result in results)


def write(zk: Any, path: str) -> Callable[[], bool]:
    """Be in the middle of a large message, most of which has not left; the proxy holds it up."""
    connection = zk._connection._socket
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)  # not all of it fits in
    result = zk.set_async(path, LARGE)
    while not connection.behind:
        gevent.sleep(0.001)
    return lambda: bool(result.get(timeout=30).dataLength == len(LARGE))


def reply(zk: Any, path: str) -> Callable[[], bool]:
    """Be in the middle of a large reply; the proxy holds it up."""
    zk.set(path, LARGE)
    connection = zk._connection._socket
    result = zk.get_async(path)
    while not (connection.ready or zk._pending):
        gevent.sleep(0)
    gevent.sleep(0.05)
    assert not result.ready()
    return lambda: bool(result.get(timeout=30)[0] == LARGE)


MOMENTS = {work.__name__: work for work in (idle, reads, write, reply)}


def scenario() -> dict[str, object]:
    """Hold a lock over a stall."""
    from kazoo.client import KazooClient

    zk = KazooClient(OPTIONS["hosts"], timeout=TIMEOUT, **OPTIONS["tls"])
    zk.start(timeout=20)
    states: list[str] = []
    zk.add_listener(states.append)
    path = OPTIONS["path"]
    lock = zk.Lock(path + "/lock", "holder")
    lock.acquire()
    node = zk.create(path + "/node", ephemeral=True)
    zk.create(path + "/data")
    session = zk.client_id
    is_right = MOMENTS[OPTIONS["moment"]](zk, path + "/data")
    print("stands still", flush=True)
    stall(TIMEOUT * OPTIONS["timeouts"])
    seen = {
        "answers are right": is_right(),
        "session kept": zk.client_id == session,
        "lock kept": lock.contenders() == ["holder"],
        "node kept": zk.exists(node).ephemeralOwner == session[0],
        "states": list(states),
    }
    lock.release()
    zk.stop()
    zk.close()
    return seen


def main() -> None:
    if OPTIONS["monkey"]:
        import gevent.monkey

        gevent.monkey.patch_all()
    from kazoo_gevent_patch import patch_all

    patch_all()
    outcome: list[dict[str, object]] = []
    if OPTIONS["where"] == "main":
        outcome.append(scenario())
    else:
        ended = get_original("_thread", "allocate_lock")()
        ended.acquire()

        def run(ended: Lock = ended) -> None:
            try:
                outcome.append(scenario())
            finally:
                ended.release()
            get_original("time", "sleep")(100)  # holds up nobody's exit

        get_original("_thread", "start_new_thread")(run, ())
        ended.acquire()
    print(json.dumps(outcome[0]), flush=True)


if __name__ == "__main__":
    main()

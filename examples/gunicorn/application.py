"""An ordinary kazoo application behind gunicorn, without any gevent code.

Every worker registers an ephemeral node and takes turns at a lock; a request tells which
workers there are and how often the counter was incremented.

Run it from this folder, with a ZooKeeper at ZK_HOSTS (127.0.0.1:2181 if unset)::

    gunicorn application:app
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import NodeExistsError
from kazoo.handlers.threading import KazooTimeoutError

HOSTS = os.environ.get("ZK_HOSTS", "127.0.0.1:2181")
zk = KazooClient(
    HOSTS,
    timeout=5.0,
    connection_retry={"max_tries": -1, "delay": 0.1},
)
counter_lock = zk.Lock("/example-gunicorn/lock")
try:
    zk.start()
except KazooTimeoutError:
    sys.exit(f"error: no ZooKeeper answers at {HOSTS}; set ZK_HOSTS to one that runs")


def register() -> None:
    """Register this worker in the session that it has now."""
    zk.ensure_path("/example-gunicorn/workers")
    with suppress(NodeExistsError):
        zk.create(f"/example-gunicorn/workers/{os.getpid()}", ephemeral=True)


def count() -> int:
    """Increment the counter that all workers share, and return it."""
    zk.ensure_path("/example-gunicorn/counter")
    with counter_lock:
        number = int(zk.get("/example-gunicorn/counter")[0] or 0) + 1
        zk.set("/example-gunicorn/counter", str(number).encode())
    return number


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer any request."""
    register()
    answer = {
        "worker": os.getpid(),
        "handler": type(zk.handler).__module__,
        "session": hex(zk.client_id[0]),
        "count": count(),
        "workers": sorted(map(int, zk.get_children("/example-gunicorn/workers"))),
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]

"""A web application whose requests may take long, under a lock: plain kazoo, plain WSGI.

It is what one of gunicorn's workers does; ``examples.demo.workers`` asks it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException

SESSION_TIMEOUT = 1.5
SECONDS = 3 * SESSION_TIMEOUT

zk = KazooClient(os.environ["ZK_HOSTS"], timeout=SESSION_TIMEOUT)


def compute(seconds: float) -> None:
    end, total = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        total += sum(number * number for number in range(1000))


def compute_under_lock() -> bool:
    """Return whether the session, and with it the lock, outlives a long computation."""
    lock = zk.Lock(f"/worker-{os.getpid()}", "computing")
    with lock:
        session = zk.client_id
        compute(SECONDS)
        holders = zk.retry(lock.contenders)
        return bool(zk.client_id == session and holders == ["computing"])


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if not zk.connected:
        zk.start(timeout=10.0)
    try:
        kept = compute_under_lock() if environ["PATH_INFO"] == "/compute" else None
    except KazooException:
        kept = False
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"pid": os.getpid(), "kept": kept}).encode()]

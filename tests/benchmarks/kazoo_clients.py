"""Kazoo clients for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kazoo.client import KazooClient

from tests.benchmarks.jobs import SESSION_TIMEOUT


@contextmanager
def started(hosts: str, **options: Any) -> Iterator[Any]:
    """Give a client with a session; the contender has chosen its handler."""
    client = KazooClient(hosts, timeout=SESSION_TIMEOUT, **options)
    client.start(timeout=2 * SESSION_TIMEOUT)
    try:
        yield client
    finally:
        client.stop()
        client.close()

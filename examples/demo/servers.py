"""The ZooKeeper that the demo talks to."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from kazoo.client import KazooClient

from tests.zookeeper import ZooKeeper


@contextmanager
def zookeeper() -> Iterator[str]:
    """Give the connect string of ``ZK_HOSTS``, else of a server that lives as long as the block."""
    if hosts := os.environ.get("ZK_HOSTS"):
        yield hosts
    else:
        with ZooKeeper() as server:
            yield server.hosts


@contextmanager
def namespace(hosts: str) -> Iterator[str]:
    """Give the connect string of a path that exists for this block alone."""
    client = KazooClient(hosts)
    path = f"/kazoo-gevent-patch-demo-{uuid.uuid4()}"
    client.start(timeout=5.0)
    try:
        client.create(path)
        yield hosts + path
    finally:
        client.delete(path, recursive=True)
        client.stop()
        client.close()

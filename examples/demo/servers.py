"""The ZooKeeper that the demo talks to."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException
from kazoo.handlers.threading import KazooTimeoutError

from tests.zookeeper import ZooKeeper

TIMEOUT = 5.0


class UnusableError(RuntimeError):
    """A ZooKeeper cannot be used; the message says why, and what to do."""

    def __init__(self, hosts: str, why: str) -> None:
        super().__init__(
            f"no ZooKeeper to use at {hosts}: {why}.\n"
            f"To find the cause: .venv/bin/kazoo-gevent-patch doctor --hosts {hosts}\n"
            "Or leave ZK_HOSTS unset, and the demo starts a ZooKeeper of its own."
        )


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
    client, path = _started(hosts), f"/kazoo-gevent-patch-demo-{uuid.uuid4()}"
    try:
        try:
            client.create(path)
        except KazooException as error:
            raise UnusableError(hosts, f"no node can be created ({error!r})") from error
        try:
            yield hosts + path
        finally:
            client.delete(path, recursive=True)
    finally:
        client.stop()
        client.close()


def _started(hosts: str) -> KazooClient:
    try:
        client = KazooClient(hosts)
        client.start(timeout=TIMEOUT)
    except KazooTimeoutError as error:
        raise UnusableError(hosts, f"it did not answer within {TIMEOUT:g} s") from error
    except ValueError as error:
        raise UnusableError(hosts, f"it is no list of host:port ({error})") from error
    return client

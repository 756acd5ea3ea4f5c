"""What tests of processes share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kazoo.client import KazooClient
from kazoo.handlers.threading import SequentialThreadingHandler


@pytest.fixture
def observer(zookeeper_hosts: str, chroot: str) -> Iterator[KazooClient]:
    """Give a client that sees, and changes, what the processes see."""
    client = KazooClient(zookeeper_hosts + chroot, handler=SequentialThreadingHandler())
    client.start()
    yield client
    client.stop()
    client.close()

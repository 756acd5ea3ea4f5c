"""What tests of processes share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kazoo.client import KazooClient
from kazoo.handlers.threading import SequentialThreadingHandler

from tests import children
from tests.process.command import Background


@pytest.fixture
def observer(zookeeper_hosts: str, chroot: str) -> Iterator[KazooClient]:
    """Give a client that sees, and changes, what the processes see."""
    client = KazooClient(zookeeper_hosts + chroot, handler=SequentialThreadingHandler())
    client.start()
    yield client
    client.stop()
    client.close()


@pytest.fixture
def background() -> Iterator[list[Background]]:
    """A list of programs that are killed after the test."""
    started: list[Background] = []
    yield started
    for program in started:
        children.kill(program.process)

"""Clients on both handlers, so that the tests prove that both behave alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kazoo.client import KazooClient
from kazoo.handlers.threading import SequentialThreadingHandler

from kazoo_gevent_patch import SequentialGeventHandler, patch_all

MakeClient = Callable[..., KazooClient]

HANDLERS = {"default": SequentialThreadingHandler, "ours": SequentialGeventHandler}


def _make_client(hosts: str, expected_handler: type) -> Iterator[MakeClient]:
    made: list[KazooClient] = []

    def make(*, start: bool = True, **options: Any) -> KazooClient:
        options.setdefault("timeout", 5.0)
        client = KazooClient(options.pop("hosts", hosts), **options)
        assert type(client.handler) is expected_handler
        made.append(client)
        if start:
            client.start()
        return client

    yield make
    for client in made:
        client.stop()
        client.close()


@pytest.fixture(params=list(HANDLERS))
def make_client(
    request: pytest.FixtureRequest, zookeeper_hosts: str, chroot: str
) -> Iterator[MakeClient]:
    """Give a function that builds, and starts, clients without a handler.

    The test runs twice: unpatched, on kazoo's default handler, and patched, on ours.
    """
    if request.param == "ours":
        patch_all()
    yield from _make_client(zookeeper_hosts + chroot, HANDLERS[request.param])


@pytest.fixture
def make_patched_client(zookeeper_hosts: str, chroot: str) -> Iterator[MakeClient]:
    """Give the same function for tests of what kazoo's default handler cannot do."""
    patch_all()
    yield from _make_client(zookeeper_hosts + chroot, SequentialGeventHandler)


@pytest.fixture
def client(make_client: MakeClient) -> KazooClient:
    """Give a started client, on each handler in turn."""
    return make_client()


@pytest.fixture
def patched_client(make_patched_client: MakeClient) -> KazooClient:
    """Give a started client on our handler."""
    return make_patched_client()

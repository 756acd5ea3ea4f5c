"""Name look-ups: on our handler gevent's resolver is asked, with the outcome that kazoo has."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from gevent.resolver.thread import Resolver
from kazoo.client import KazooClient
from kazoo.handlers.threading import SequentialThreadingHandler

from kazoo_gevent_patch import SequentialGeventHandler, patch_all, patched
from tests.support import run_python

HOSTS = {
    "an address": "127.0.0.1:2181",
    "an address of IPv6": "[::1]:2181",
    "a name": "localhost:2181",
    "several": "localhost:2181, 127.0.0.1:2182,[::1]:2183,127.0.0.1",
    "a name that does not resolve": "no-such-name.invalid:2181",
    "one of several does not resolve": "no-such-name.invalid:2181,127.0.0.1:2182",
}


class RecordingResolver(Resolver):
    """gevent's resolver, which remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[object] = []

    def getaddrinfo(self, *args: Any, **kwargs: Any) -> Any:
        self.asked.append(args[0])
        return super().getaddrinfo(*args, **kwargs)


@pytest.fixture
def resolver() -> Iterator[RecordingResolver]:
    """Give the resolver of the hub."""
    hub: Any = gevent.get_hub()
    recording = RecordingResolver()
    hub.resolver = recording
    yield recording
    del hub.resolver


def expand(hosts: str, handler: object) -> list[tuple[str, str, int]]:
    client = KazooClient(hosts, handler=handler, randomize_hosts=False)
    expanded: list[tuple[str, str, int]] = client._connection._expand_client_hosts()
    return expanded


@pytest.mark.parametrize("hosts", HOSTS.values(), ids=list(HOSTS))
def test_hosts_are_expanded_as_in_kazoo(
    hosts: str, resolver: RecordingResolver, caplog: pytest.LogCaptureFixture
) -> None:
    """The same addresses in the same order, and the same warnings; gevent is asked for names."""
    with caplog.at_level(logging.WARNING):
        expected = expand(hosts, SequentialThreadingHandler())
        warnings = [record.getMessage() for record in caplog.records]
        patch_all()
        assert expand(hosts, SequentialThreadingHandler()) == expected
        assert not resolver.asked
        caplog.clear()
        assert expand(hosts, SequentialGeventHandler()) == expected
        assert [record.getMessage() for record in caplog.records] == warnings
    names = [host.partition(":")[0] for host in hosts.split(",") if host[0].isalpha()]
    assert resolver.asked == names


def test_a_name_that_cannot_be_looked_up_raises_as_in_kazoo() -> None:
    """A label may have 63 characters."""
    for handler in (SequentialThreadingHandler(), SequentialGeventHandler()):
        with patched(), pytest.raises(UnicodeError, match="label"):
            expand("a" * 64 + ".test:2181", handler)


def test_a_programs_own_resolver_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that it put in the place of the standard library's, such as a DNS cache's."""
    resolve = socket.getaddrinfo

    def cached(host: str, *args: Any) -> Any:
        return resolve("127.0.0.7" if host == "only-the-cache.invalid" else host, *args)

    monkeypatch.setattr(socket, "getaddrinfo", cached)
    with patched():
        assert expand("only-the-cache.invalid:2181", None) == [
            ("only-the-cache.invalid", "127.0.0.7", 2181)
        ]


def test_a_programs_resolver_from_before_gevents_is_asked_first() -> None:
    """gevent keeps it as the standard library's: what it answers without gevent's help counts."""
    run_python(
        """
        import socket

        resolve = socket.getaddrinfo

        def cached(host, *args):
            return resolve("127.0.0.7" if host == "only-the-cache.invalid" else host, *args)

        socket.getaddrinfo = cached
        import gevent.monkey

        gevent.monkey.patch_all()
        from kazoo.client import KazooClient
        from kazoo_gevent_patch import patch_all

        patch_all()
        client = KazooClient("only-the-cache.invalid:2181")
        assert client._connection._expand_client_hosts() == [
            ("only-the-cache.invalid", "127.0.0.7", 2181)
        ]
        """
    )


def test_a_programs_own_way_to_connect_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that it put in the place of the standard library's, such as a proxy's."""
    connect = socket.create_connection
    asked: list[object] = []

    def through_a_proxy(address: object, *args: Any) -> Any:
        asked.append(address)
        return connect(server.getsockname(), *args)

    monkeypatch.setattr(socket, "create_connection", through_a_proxy)
    with socket.create_server(("127.0.0.1", 0)) as server:
        SequentialGeventHandler().create_connection(("192.0.2.1", 2181), timeout=5).close()
    assert asked == [("192.0.2.1", 2181)]

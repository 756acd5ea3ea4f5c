"""A read-only session looks for a server that can write, and nothing waits for that."""

from __future__ import annotations

import logging
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gevent
import gevent.ssl
import pytest
from gevent.server import StreamServer
from kazoo.client import KazooClient
from kazoo.protocol.states import KeeperState

from kazoo_gevent_patch import SequentialGeventHandler, patched
from kazoo_gevent_patch.changes.search import ConnectAsClient
from kazoo_gevent_patch.handler import sequential
from tests.support import wait_until
from tests.unit.wire.attacks import Attack
from tests.unit.wire.hostile_sessions import SESSION_TIMEOUT
from tests.unit.wire.scripted_peer import AT_ONCE
from tests.zookeeper.tls import Authority

Address = tuple[str, int]


@pytest.fixture
def drops_packets() -> Iterator[Address]:
    """Give an address whose system answers no attempt to connect: its queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        while True:
            one = socket.socket()
            waiting.append(one)
            one.settimeout(0.2)
            try:
                one.connect(listener.getsockname())
            except TimeoutError:
                break
        yield listener.getsockname()
        for one in waiting:
            one.close()


def test_connecting_keeps_to_the_limit(
    drops_packets: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the caller names no time-out, as kazoo's search does not."""
    monkeypatch.setattr(sequential, "PING_TIMEOUT", 0.1)
    handler = SequentialGeventHandler()
    with gevent.Timeout(20), pytest.raises(TimeoutError):
        handler.create_connection(drops_packets)


def test_requests_do_not_wait_for_the_search(
    hostile_client: Callable[..., KazooClient],
    drops_packets: Address,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A server that is asked whether it can write, and cannot be reached, holds up nobody."""
    client = hostile_client(
        Attack(0, "read only"), schedule=replace(AT_ONCE, session_timeout=SESSION_TIMEOUT)
    )
    assert client.client_state == KeeperState.CONNECTED_RO
    client.get("/first")
    with caplog.at_level(logging.DEBUG, "kazoo.protocol.connection"):
        client.hosts[:] = [drops_packets]  # the search goes through this very list
        wait_until(lambda: "Pinging server for r/w" in caplog.text, sleep=gevent.sleep)
    longest, ends = 0.0, time.monotonic() + 1.5
    while time.monotonic() < ends:
        began = time.monotonic()
        client.get_async("/meanwhile").get(timeout=20)
        longest = max(longest, time.monotonic() - began)
    # A second is for a busy machine. In the session's own greenlet the search takes two.
    assert longest < 1.0
    assert client.client_state == KeeperState.CONNECTED_RO


def test_the_search_uses_tls_if_the_client_does(tmp_path: Path) -> None:
    """The question reaches a server that speaks nothing else, and its answer is believed."""
    authority = Authority(tmp_path)
    own = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(authority.issue("server"))
    asked: list[bytes] = []

    def answer(sock: Any, _: object) -> None:
        asked.append(sock.recv(4))
        sock.sendall(b"rw")

    server = StreamServer(("127.0.0.1", 0), answer, ssl_context=own)
    server.start()
    with patched():
        client = KazooClient(
            f"127.0.0.1:{server.server_port}", use_ssl=True, ca=str(authority.certificate)
        )
        client.handler.start()
        search = client._connection._server_pinger()
        found = wait_until(lambda: next(search), sleep=gevent.sleep)
        client.handler.stop()
    server.stop(timeout=1)
    assert found == ("127.0.0.1", server.server_port)
    assert asked == [b"isro"]


def test_the_search_trusts_whom_the_client_trusts(tmp_path: Path) -> None:
    """A server with a certificate of somebody else is not asked."""
    authority, other = Authority(tmp_path), Authority(tmp_path, "other")
    own = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(other.issue("server"))
    asked: list[bytes] = []
    server = StreamServer(
        ("127.0.0.1", 0), lambda sock, _: asked.append(sock.recv(4)), ssl_context=own
    )
    server.start()
    with patched():
        client = KazooClient(
            f"127.0.0.1:{server.server_port}", use_ssl=True, ca=str(authority.certificate)
        )
        with pytest.raises(ssl.SSLCertVerificationError):
            ConnectAsClient(client)(("127.0.0.1", server.server_port or 0))
    server.stop(timeout=1)
    assert not asked

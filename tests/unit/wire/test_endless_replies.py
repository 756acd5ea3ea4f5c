"""Replies that say nothing, or never end: requests and ``stop()`` end all the same."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import gevent
import gevent.event
import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionLoss, MarshallingError

from kazoo_gevent_patch import patched
from kazoo_gevent_patch.changes import protocol
from tests.dribble import DribblingProxy
from tests.support import wait_until
from tests.unit.wire.attacks import Attack
from tests.unit.wire.scripted_peer import AT_ONCE, ScriptedPeer

HEADER = struct.pack("!iqi", 1, 1, 0)  # of the reply to the first request
NULL = struct.pack("!i", -1)
DRIPPING = replace(AT_ONCE, pieces=(1,), delays=(0.01,), session_timeout=1.0)
ENDLESS = struct.pack("!i", 2**31 - 1) + bytes(1 << 20)


@pytest.mark.parametrize(
    "request_async",
    [
        lambda client: client.create_async("/node"),
        lambda client: client.create_async("/node", makepath=True),
        lambda client: client.sync_async("/node"),
    ],
    ids=["create", "create with makepath", "sync"],
)
def test_a_request_that_is_answered_with_no_path_fails(
    hostile_client: Callable[..., KazooClient],
    request_async: Callable[[KazooClient], gevent.event.AsyncResult[object]],
) -> None:
    """It says why; on kazoo's own handlers it never ends."""
    client = hostile_client(Attack(1, "noise within", noise=HEADER + NULL))
    with pytest.raises(MarshallingError, match="names no path"):
        request_async(client).get(timeout=20)
    assert client.get("/next")[0] == b"/next"


def test_stop_ends_while_a_reply_has_no_end(
    hostile_client: Callable[..., KazooClient], caplog: pytest.LogCaptureFixture
) -> None:
    """It hangs up when no reply has come to its end within the session time-out, and says so."""
    client = hostile_client(Attack(1, "noise before", noise=ENDLESS), schedule=DRIPPING)
    received: list[int] = []
    connection = client._connection._socket
    recv = connection.recv

    def noted(size: int) -> Any:
        received.append(size)
        return recv(size)

    connection.recv = noted
    result = client.get_async("/never")
    wait_until(lambda: len(received) > 10, sleep=gevent.sleep)
    with gevent.Timeout(20):
        client.stop()
    assert isinstance(result.exception, ConnectionLoss)
    assert not client.connected
    assert "has completed no reply within 1 s of stop()" in caplog.text
    client.close()


def test_start_ends_while_the_handshake_comes_byte_by_byte() -> None:
    """It times out as usual: the client that gives up hangs up as well."""
    with (
        patched(),
        ScriptedPeer(AT_ONCE) as peer,
        DribblingProxy(("127.0.0.1", int(peer.hosts.rpartition(":")[2])), interval=0.5) as proxy,
    ):
        client = KazooClient("{}:{}".format(*proxy.address), timeout=1.0)
        with gevent.Timeout(15), pytest.raises(client.handler.timeout_exception):
            client.start(timeout=0.5)
        assert not client.connected


def test_stop_waits_while_replies_come(
    hostile_client: Callable[..., KazooClient],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Requests that were sent before are answered, however long all of them take together."""
    if version("kazoo") == "2.10.0":
        pytest.skip("kazoo 2.10.0 leaves its loop as soon as stop() is called, on any handler")
    monkeypatch.setattr(protocol, "LONGEST_PATIENCE", 0.5)
    client = hostile_client(schedule=replace(AT_ONCE, delays=(0.2,)))
    client._session_timeout = 500
    results = [client.get_async(f"/{number}") for number in range(10)]
    client.stop()
    assert [result.get(timeout=1)[0] for result in results] == [b"/%d" % n for n in range(10)]
    assert "of stop()" not in caplog.text

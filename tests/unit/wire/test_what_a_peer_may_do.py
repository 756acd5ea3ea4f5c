"""What the threat notes say of a peer that is not honest, or takes its time."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Final

import gevent
import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionLoss

from kazoo_gevent_patch import patched
from tests.unit.wire.attacks import Attack
from tests.unit.wire.scripted_peer import AT_ONCE, ScriptedPeer

DAYS: Final = 10 * 24 * 3600.0
SILENT: Final = Attack(1, "never", then="silence")

MakeClient = Callable[..., KazooClient]


@pytest.fixture
def client_of() -> Iterator[MakeClient]:
    """Give what starts a client of a peer that sets the session time-out, and that may attack."""
    with ExitStack() as stack, patched():

        def make(session_timeout: float, *attacks: Attack, asked: float = 10.0) -> KazooClient:
            schedule = replace(AT_ONCE, session_timeout=session_timeout)
            peer = stack.enter_context(ScriptedPeer(schedule, attacks))
            client = KazooClient(peer.hosts, timeout=asked)
            stack.callback(client.close)
            stack.callback(client.stop)
            stack.callback(peer.hang_up)  # stop() would wait for a silent peer
            client.start()
            return client

        yield make


def test_content_that_cannot_be_read_fails_its_request_and_nothing_else(
    client_of: MakeClient,
) -> None:
    """The session goes on, as on the default handler."""
    client = client_of(10.0)
    session = client.client_id
    with pytest.raises(struct.error):
        client.exists("/the reply is empty")
    assert client.get("/next")[0] == b"/next"
    assert client.client_id == session


@pytest.mark.slow
def test_a_silent_peer_is_given_up_within_the_session_timeout(client_of: MakeClient) -> None:
    """The request fails, and the next one is answered, on another connection."""
    timeout = 9.0
    client = client_of(timeout, SILENT)
    began = time.monotonic()
    with pytest.raises(ConnectionLoss):
        client.get("/lost")
    assert time.monotonic() - began < timeout
    assert client.retry(client.get, "/next")[0] == b"/next"


def test_a_peer_may_be_silent_for_as_long_as_the_session_timeout_that_it_sets(
    client_of: MakeClient,
) -> None:
    """However short the one is that the client asked for."""
    client = client_of(DAYS, SILENT, asked=0.2)
    result = client.get_async("/never")
    gevent.sleep(1.0)  # many of the time-outs that the client asked for
    assert not result.ready()
    assert client.connected

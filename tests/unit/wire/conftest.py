"""Clients of peers that attack them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from kazoo.client import KazooClient

from kazoo_gevent_patch import patched
from tests.unit.wire.attacks import Attack
from tests.unit.wire.scripted_peer import AT_ONCE, Schedule, ScriptedPeer


@pytest.fixture
def hostile_client() -> Iterator[Callable[..., KazooClient]]:
    """Give a function that connects a client to a peer with a schedule and attacks."""
    with patched(), ExitStack() as stack:

        def connect(*attacks: Attack, schedule: Schedule = AT_ONCE, **options: Any) -> KazooClient:
            peer = stack.enter_context(ScriptedPeer(schedule, attacks))
            client = KazooClient(
                peer.hosts,
                timeout=schedule.session_timeout,
                connection_retry={"max_tries": -1, "delay": 0.001},
                **options,
            )
            client.peer = peer
            client.start()
            stack.callback(client.close)
            stack.callback(client.stop)
            stack.callback(peer.hang_up)  # else stop() waits for what a silent peer never says
            return client

        yield connect

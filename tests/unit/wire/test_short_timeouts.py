"""Sessions whose time-out is a moment: the client works, and does not waste the processor."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import gevent
import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionLoss

from kazoo_gevent_patch.changes.protocol import SHORTEST_PAUSE
from tests.unit.wire.scripted_peer import AT_ONCE

BLATHER = 5
"""The level at which kazoo tells of heartbeats."""


def test_there_is_a_pause_between_heartbeats(
    hostile_client: Callable[..., KazooClient], caplog: pytest.LogCaptureFixture
) -> None:
    """Even where kazoo would send one with each answer to the last."""
    with caplog.at_level(BLATHER):
        hostile_client(schedule=replace(AT_ONCE, session_timeout=0.001))
        began = time.monotonic()
        gevent.sleep(1.0)
        elapsed = time.monotonic() - began
    sent = [message for message in caplog.messages if "Sending request(xid=-2)" in message]
    assert 1 <= len(sent) <= elapsed / SHORTEST_PAUSE + 1


def test_requests_do_not_wait_for_the_end_of_the_pause(
    hostile_client: Callable[..., KazooClient],
) -> None:
    """They are sent at once, and answered before the next heartbeat is due."""
    client = hostile_client(schedule=replace(AT_ONCE, session_timeout=0.3))
    times = []
    for number in range(100):
        began = time.monotonic()
        try:
            assert client.get(f"/{number}")[0] == b"/%d" % number
        except ConnectionLoss:
            continue  # a busy machine is late by a third of a second now and then
        times.append(time.monotonic() - began)
    assert sorted(times)[len(times) // 2] < SHORTEST_PAUSE / 2

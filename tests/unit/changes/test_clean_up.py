"""The clean-up after a cancelled call, against a peer whose replies cannot be read."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import gevent
import pytest
from kazoo.client import KazooClient

from kazoo_gevent_patch import patched
from tests.support import wait_until
from tests.unit.wire.scripted_peer import AT_ONCE, ScriptedPeer


@pytest.fixture
def client() -> Iterator[KazooClient]:
    """Give a client of a peer that answers all but a ``get`` with a header and nothing else."""
    with ScriptedPeer(AT_ONCE) as peer, patched():
        client = KazooClient(peer.hosts)
        client.start()
        yield client
        client.stop()
        client.close()


def test_a_reply_that_cannot_be_read_ends_the_call_and_prints_no_traceback(
    client: KazooClient, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """If the clean-up cannot read its reply either, a warning names the node."""

    def warnings() -> list[str]:
        return [
            record.getMessage() for record in caplog.records if record.name == "kazoo_gevent_patch"
        ]

    with pytest.raises(struct.error):
        client.Lock("/recipe").acquire()
    (message,) = wait_until(warnings, sleep=gevent.sleep)
    assert "may have left a node at /recipe: the clean-up failed with <class 'struct.err" in message
    assert capfd.readouterr().err == ""

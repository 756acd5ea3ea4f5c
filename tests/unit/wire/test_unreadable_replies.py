"""Replies that cannot be read: kazoo says so, and tells no secret."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from kazoo.client import KazooClient
from kazoo.protocol.serialization import SetData
from kazoo.security import make_digest_acl

from kazoo_gevent_patch.changes.replies import hide_request
from tests.support import wait_until
from tests.unit.wire.attacks import Attack

HEADER = struct.pack("!iqi", 1, 1, 0)  # of the reply to the first request
MESSAGE = "Exception raised during deserialization of request: "
PASSWORD = "p" * 16  # of the peer's session


def test_the_record_names_the_kind_of_the_request_only(
    hostile_client: Callable[..., KazooClient], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a node's data nor the digest of an ACL is in it, nor is the traceback missing."""
    acl = make_digest_acl("alice", "wonderland", all=True)
    requests: dict[str, Callable[[KazooClient], Any]] = {
        "SetData": lambda client: client.set_async("/node", b"secret"),
        "Create": lambda client: client.create_async("/node", b"secret", acl=[acl]),
    }
    for kind, request_async in requests.items():
        client = hostile_client(Attack(1, "noise within", noise=HEADER))
        with pytest.raises(struct.error):
            request_async(client).get(timeout=20)
        record = next(record for record in caplog.records if record.levelno == logging.ERROR)
        assert record.getMessage() == MESSAGE + kind
        assert record.exc_info
        assert acl.id.id not in caplog.text
        assert "secret" not in caplog.text
        caplog.clear()


def test_the_password_of_the_session_is_in_no_record(
    hostile_client: Callable[..., KazooClient], caplog: pytest.LogCaptureFixture
) -> None:
    """Not when the reply to the handshake cannot be read either."""
    client = hostile_client(
        Attack(1, "never", then="close"), Attack(0, "noise within", noise=b"12345678")
    )
    client.get_async("/lost").wait(20)
    wait_until(lambda: MESSAGE in caplog.text, sleep=gevent.sleep)
    wait_until(lambda: client.connected, sleep=gevent.sleep)
    assert client._session_passwd == PASSWORD.encode()
    assert PASSWORD not in caplog.text
    assert f"{MESSAGE}Connect" in caplog.text


def test_other_records_stay_as_they_are() -> None:
    """Those of other code, and those of clients on other handlers, which are not ours to change."""
    request = SetData("/node", b"data", -1)
    for text in (f"{MESSAGE}%s", "Anything about %s"):
        record = logging.LogRecord("any", logging.ERROR, "file", 1, text, (request,), None)
        assert hide_request(record)
        assert record.getMessage() == text % (request,)
    record = logging.LogRecord("any", logging.ERROR, "file", 1, MESSAGE, None, None)
    assert hide_request(record)


def test_a_logger_of_another_kind_is_left_alone(
    hostile_client: Callable[..., KazooClient], caplog: pytest.LogCaptureFixture
) -> None:
    """It takes no filter, so it gets kazoo's record as it is."""
    logger = logging.LoggerAdapter(logging.getLogger("of a test of replies"), {})
    client = hostile_client(Attack(1, "noise within", noise=HEADER), logger=logger)
    with pytest.raises(struct.error):
        client.set("/node", b"data of the node")
    assert f"{MESSAGE}SetData(" in caplog.text
    assert "data of the node" in caplog.text

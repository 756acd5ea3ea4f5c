"""No secret reaches a log of ours, at any level, nor what a client or status() shows."""

from __future__ import annotations

import base64
import gc
import logging
import os
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import CellType, FunctionType
from typing import Any, Final

import gevent
import gevent.socket
import pytest
from gevent.server import StreamServer
from kazoo.client import KazooClient
from kazoo.exceptions import AuthFailedError
from kazoo.protocol.connection import _CONNECTION_DROP
from kazoo.security import make_digest_acl, make_digest_acl_credential

from kazoo_gevent_patch import status
from kazoo_gevent_patch.inspection.visits import reports
from tests.server.conftest import MakeClient
from tests.support import finish, wait_until

OURS: Final = ("kazoo_gevent_patch", "kazoo.handlers.gevent")
CREDENTIAL: Final = "alice:wonderland-5f1d"
KEY_PASSWORD: Final = "looking-glass-77aa"
SASL_PASSWORD: Final = "jabberwock-19c3"
DATA: Final = b"cheshire-40be"


class _Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__(level=1)
        self.texts: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s %(args)r"))

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))


@contextmanager
def records(*names: str) -> Iterator[list[str]]:
    """Collect what these loggers and those below them log, at any level."""
    collected, loggers = _Records(), [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(1)
        logger.addHandler(collected)
    try:
        yield collected.texts
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
            logger.removeHandler(collected)


def spellings(secret: bytes) -> set[str]:
    """Return the ways in which a secret could be written."""
    return {
        secret.decode("latin-1"),
        repr(secret)[2:-1],
        secret.hex(),
        base64.b64encode(secret).decode(),
        repr(bytearray(secret))[12:-2],
    }


def told(texts: list[str], secrets: list[bytes]) -> list[str]:
    """Return those texts that tell a secret."""
    wanted = set().union(*(spellings(secret) for secret in secrets))
    return [text for text in texts if any(spelling in text for spelling in wanted)]


def use_credentials(make_client: MakeClient, hosts: str) -> list[bytes]:
    """Use every kind of secret, in ways that work and ways that fail; return the secrets."""
    digest = make_digest_acl_credential(*CREDENTIAL.split(":"))
    client = make_client(default_acl=[make_digest_acl(*CREDENTIAL.split(":"), all=True)])
    client.add_auth("digest", CREDENTIAL)
    client.create("/mine", b"")
    first = client._session_passwd
    _fail_in_every_way(client)
    with pytest.raises(AuthFailedError):
        make_client(auth_data=[("nonsense", CREDENTIAL)]).get("/")
    sasl = {"mechanism": "DIGEST-MD5", "username": "alice", "password": SASL_PASSWORD}
    tls = {"use_ssl": True, "certfile": "none", "keyfile": "none"}
    for options in ({"sasl_options": sasl}, {**tls, "keyfile_password": KEY_PASSWORD}):
        refused = KazooClient(hosts, timeout=1.0, **options)
        refused.start_async()
        gevent.sleep(0.3)  # for an attempt, which tells nobody that it has failed
        refused.stop()
        refused.close()
    client.restart()
    client.delete("/mine")
    secrets = [CREDENTIAL.encode(), b"wonderland-5f1d", digest.partition(":")[2].encode()]
    return [
        *secrets,
        SASL_PASSWORD.encode(),
        KEY_PASSWORD.encode(),
        first,
        client._session_passwd,
    ]


def _fail_in_every_way(client: KazooClient) -> None:
    """Drop the connection, and have callbacks of all kinds fail."""
    result = client.exists_async("/mine", watch=lambda event: event.no_such_attribute)
    result.rawlink(lambda result: result.no_such_attribute)
    result.get()
    client.set("/mine", b"changed")
    client._call(_CONNECTION_DROP, client.handler.async_result())
    wait_until(lambda: not client.connected, sleep=gevent.sleep)
    client.retry(client.get, "/mine")


def test_no_secret_reaches_a_log_of_ours(
    make_patched_client: MakeClient, zookeeper_hosts: str
) -> None:
    """Credentials, SASL, default_acl, a key's password, sessions: with reconnection and errors."""
    with records(*OURS) as ours, records("kazoo.client") as kazoos:
        secrets = use_credentials(make_patched_client, zookeeper_hosts)
    assert any("Exception in a callback" in text for text in ours)
    assert told(ours, secrets) == []
    assert told(kazoos, secrets) != []  # so the search finds what there is


def test_no_secret_is_shown_by_a_client_or_by_status(make_patched_client: MakeClient) -> None:
    """Neither repr() of a client and its parts nor status() nor the command inspect tells one."""
    client = make_patched_client(auth_data=[("digest", CREDENTIAL)], keyfile_password=KEY_PASSWORD)
    client.create("/node", DATA)
    secrets = [CREDENTIAL.encode(), KEY_PASSWORD.encode(), client._session_passwd, DATA]
    things = [client, client.handler, client._connection, client._connection._socket]
    things += [status(verbose=True), status().as_dict(), client.handler.status()]
    # Requests with secrets in them are on their way, and greenlets wait for them. One at a time:
    # the server is quicker with an Auth than kazoo expects.
    requests = [partial(client.set_async, "/node", DATA)]
    requests += [partial(client.add_auth_async, "digest", CREDENTIAL)]
    requests += [partial(client.get_async, "/node")]
    results = []
    for request in requests:
        results.append(request())
        waiting = gevent.spawn(results[-1].get)
        gevent.sleep(0)
        things += [finish(reports[-1]()).decode(), status(), client.handler]
        waiting.join()
    outside = "".join(thing for thing in things if isinstance(thing, str))
    assert "waits for SetData /" in outside
    assert "waits for Auth" in outside
    texts = [text for thing in things for text in (repr(thing), str(thing))]
    texts += [repr(result) for result in results]
    assert told(texts, secrets) == []


def test_no_secret_reaches_a_log_of_ours_in_a_forked_child(
    make_patched_client: MakeClient,
) -> None:
    """The child's new session, with the same credentials, is as silent."""
    client = make_patched_client(auth_data=[("digest", CREDENTIAL)])
    with records(*OURS) as ours, records("kazoo.client") as kazoos:
        child = os.fork()
        if child == 0:
            secrets = [CREDENTIAL.encode(), client._session_passwd]
            client.get("/")
            secrets.append(client._session_passwd)
            os._exit(0 if told(kazoos, secrets) and not told(ours, secrets) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


_HOLDERS: Final = (dict, list, tuple, set, frozenset, deque, partial, CellType)


def is_ours(thing: object) -> bool:
    return str(type(thing).__module__).startswith(OURS[0])


def held_by_us() -> Iterator[object]:
    """Give what this package's modules and objects hold, and not what those of others hold."""
    modules = [module for name, module in sys.modules.items() if name.startswith(OURS[0])]
    found: list[object] = [*map(vars, modules), *filter(is_ours, gc.get_objects())]
    seen: set[int] = set()
    while found:
        thing = found.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        yield thing
        if isinstance(thing, FunctionType):  # its globals are a module's
            found += thing.__closure__ or ()
        elif type(thing) in _HOLDERS or is_ours(thing):
            found += gc.get_referents(thing)


def test_no_secret_is_kept_where_kazoo_does_not_keep_it(make_patched_client: MakeClient) -> None:
    """In no object of this package, and in nothing that only such an object holds."""
    client = make_patched_client(
        auth_data=[("digest", CREDENTIAL)],
        default_acl=[make_digest_acl(*CREDENTIAL.split(":"), all=True)],
        keyfile_password=KEY_PASSWORD,
    )
    client.get("/")
    secrets = {CREDENTIAL, KEY_PASSWORD, client._session_passwd, client.default_acl[0].id.id}
    kept = [thing for thing in held_by_us() if isinstance(thing, (str, bytes, bytearray))]
    assert len(kept) > 1000
    assert told(list(map(str, kept)), [_bytes(secret) for secret in secrets]) == []


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def test_without_tls_credentials_travel_in_the_clear(
    make_patched_client: MakeClient, zookeeper_hosts: str, chroot: str
) -> None:
    """Whoever forwards the bytes can read them."""
    host, port = zookeeper_hosts.split(",", maxsplit=1)[0].rsplit(":", 1)
    overheard = bytearray()

    def forward(source: Any, target: Any, *, listen: bool) -> None:
        while data := source.recv(65536):
            overheard.extend(data if listen else b"")
            target.sendall(data)

    def serve(client: Any, _: object) -> None:
        with gevent.socket.create_connection((host, int(port))) as server:
            answers = gevent.spawn(forward, server, client, listen=False)
            forward(client, server, listen=True)
            answers.kill()

    with_listener = StreamServer(("127.0.0.1", 0), serve)
    with_listener.start()
    hosts = f"127.0.0.1:{with_listener.server_port}{chroot}"
    client = make_patched_client(hosts=hosts, auth_data=[("digest", CREDENTIAL)])
    client.get("/")
    client.stop()
    with_listener.stop()
    assert CREDENTIAL.encode() in overheard

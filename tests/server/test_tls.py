"""TLS on both handlers: the same sessions are opened, and the same servers refused."""

from __future__ import annotations

import gc
import logging
import os
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent
import pytest
from kazoo.protocol.states import KazooState

from kazoo_gevent_patch.patching.versions import compares_host_names
from tests.dribble import DribblingProxy
from tests.ports import free_block
from tests.server.conftest import MakeClient
from tests.support import wait_until
from tests.zookeeper import ZooKeeper
from tests.zookeeper.server import HOST
from tests.zookeeper.tls import Authority, tls_config

pytestmark = pytest.mark.needs_zookeeper("3.5.1")  # the first that speaks TLS

_PASSWORD = "of the key"  # nosec B105 # of a key that the test makes
_LARGE = 5_000_000
_TIMEOUT = 10.0


@dataclass(frozen=True)
class Servers:
    """The servers of this module, and what clients need for them."""

    ca: str
    other_ca: str
    certificate: str
    encrypted_certificate: str
    other_certificate: str
    port: int
    """Of a server whose certificate is for localhost."""
    strict_port: int
    """Of a server whose certificate has expired, and that takes nobody without one."""


@contextmanager
def secure_port(certificate: Path, clients: Authority | None = None) -> Iterator[int]:
    """Give the port for TLS of a server with the certificate."""
    port = free_block([0])
    config = tls_config(certificate, port, HOST, clients)
    with ZooKeeper(extra_config=config, jute_maxbuffer=2 * _LARGE):
        yield port


@pytest.fixture(scope="module")
def servers(own_servers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Two servers, one of which is particular about its clients."""
    home = tmp_path_factory.mktemp("certificates")
    authority, other = Authority(home), Authority(home, "other-authority")
    with (
        secure_port(authority.issue("server")) as port,
        secure_port(authority.issue("expired", is_expired=True), authority) as strict_port,
    ):
        yield Servers(
            ca=str(authority.certificate),
            other_ca=str(other.certificate),
            certificate=str(authority.issue("client")),
            encrypted_certificate=str(authority.issue("encrypted", password=_PASSWORD)),
            other_certificate=str(other.issue("other-client")),
            port=port,
            strict_port=strict_port,
        )


Options = Callable[[Servers], dict[str, Any]]


def own(certificate: str, **options: object) -> dict[str, Any]:
    """Return the options of a client that shows a certificate, the key of which is with it."""
    return {"certfile": certificate, "keyfile": certificate, **options}


def cases(table: Mapping[str, Any]) -> list[Any]:
    """Return the rows of a table as parameters; kazoo compares host names since 2.11."""
    too_old = pytest.mark.skipif(not compares_host_names(), reason="needs kazoo 2.11")
    return [
        pytest.param(
            *(row if isinstance(row, tuple) else (row,)),
            id=name,
            marks=[too_old] if "host name" in name else [],
        )
        for name, row in table.items()
    ]


ACCEPTED: dict[str, Options] = {
    "known authority": lambda servers: {
        "hosts": f"{HOST}:{servers.port}",
        "ca": servers.ca,
    },
    "right host name": lambda servers: {
        "hosts": f"localhost:{servers.port}",
        "ca": servers.ca,
        "check_hostname": True,
    },
    "unverified": lambda servers: {
        "hosts": f"{HOST}:{servers.port}",
        "verify_certs": False,
    },
    "client certificate": lambda servers: {
        "hosts": f"{HOST}:{servers.strict_port}",
        "verify_certs": False,
        **own(servers.certificate),
    },
    "encrypted key": lambda servers: {
        "hosts": f"{HOST}:{servers.strict_port}",
        "verify_certs": False,
        **own(servers.encrypted_certificate, keyfile_password=_PASSWORD),
    },
}


@pytest.mark.parametrize("options", cases(ACCEPTED))
def test_a_session_over_tls(options: Options, servers: Servers, make_client: MakeClient) -> None:
    """Requests and watches work with what the parameter says."""
    client = make_client(use_ssl=True, **options(servers))
    seen: list[object] = []
    path = client.create("/tls-", b"first", ephemeral=True, sequence=True)
    assert client.get(path, watch=seen.append)[0] == b"first"
    client.set(path, b"second")
    assert client.get(path)[0] == b"second"
    wait_until(lambda: seen, sleep=client.handler.sleep_func)


REFUSED: dict[str, tuple[Options, str]] = {
    "unknown authority": (
        lambda servers: {"hosts": f"{HOST}:{servers.port}"},
        "CERTIFICATE_VERIFY_FAILED.*unable to get local issuer certificate",
    ),
    "another authority": (
        lambda servers: {"hosts": f"{HOST}:{servers.port}", "ca": servers.other_ca},
        "CERTIFICATE_VERIFY_FAILED.*unable to get local issuer certificate",
    ),
    "wrong host name": (
        lambda servers: {
            "hosts": f"{HOST}:{servers.port}",
            "ca": servers.ca,
            "check_hostname": True,
        },
        f"CERTIFICATE_VERIFY_FAILED.*IP address mismatch, certificate is not valid for '{HOST}'",
    ),
    "expired": (
        lambda servers: {
            "hosts": f"{HOST}:{servers.strict_port}",
            "ca": servers.ca,
            **own(servers.certificate),
        },
        "CERTIFICATE_VERIFY_FAILED.*certificate has expired",
    ),
    "no client certificate": (
        lambda servers: {"hosts": f"{HOST}:{servers.strict_port}", "verify_certs": False},
        # As the alert or the reset that follows it is first, and by the version of TLS.
        "alert|ALERT|Connection reset|broken|Broken",
    ),
    "client certificate of another authority": (
        lambda servers: {
            "hosts": f"{HOST}:{servers.strict_port}",
            "verify_certs": False,
            **own(servers.other_certificate),
        },
        "alert|ALERT|Connection reset|broken|Broken",
    ),
}


@pytest.mark.parametrize(("options", "reason"), cases(REFUSED))
def test_no_session_without_trust(
    options: Options,
    reason: str,
    servers: Servers,
    make_client: MakeClient,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The client is refused, or refuses, and goes on trying; it says why as kazoo does."""
    client = make_client(start=False, use_ssl=True, **options(servers))
    with caplog.at_level(logging.WARNING):
        client.start_async()
        reasons = wait_until(
            lambda: drops(caplog), timeout=_TIMEOUT, sleep=client.handler.sleep_func
        )
    assert re.search(reason, reasons[0]), reasons
    assert not client.connected


def drops(caplog: pytest.LogCaptureFixture) -> list[str]:
    messages = (record.getMessage() for record in caplog.records)
    return [message for message in messages if message.startswith("Connection dropped: ")]


ERRORS: dict[str, tuple[Options, type[Exception], str]] = {
    "unknown authority": (
        lambda servers: {"address": (HOST, servers.port)},
        ssl.SSLCertVerificationError,
        "unable to get local issuer certificate",
    ),
    "wrong host name": (
        lambda servers: {
            "address": (HOST, servers.port),
            "hostname": "elsewhere.test",
            "ca": servers.ca,
            "check_hostname": True,
        },
        ssl.SSLCertVerificationError,
        "Hostname mismatch, certificate is not valid for 'elsewhere.test'",
    ),
    "wrong host name beyond ASCII": (
        lambda servers: {
            "address": (HOST, servers.port),
            "hostname": "b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.test",
            "ca": servers.ca,
            "check_hostname": True,
        },
        ssl.SSLCertVerificationError,
        "Hostname mismatch, certificate is not valid for 'xn--bcher-kva.test'",
    ),
    "expired": (
        lambda servers: {"address": (HOST, servers.strict_port), "ca": servers.ca},
        ssl.SSLCertVerificationError,
        "certificate has expired",
    ),
    "wrong password": (
        lambda servers: {
            "address": (HOST, servers.port),
            **own(servers.encrypted_certificate, keyfile_password="wrong"),  # nosec B106 # of such a key
        },
        ssl.SSLError,
        "SSL|DECRYPT",
    ),
    "no such file": (
        lambda servers: {"address": (HOST, servers.port), "ca": f"{servers.ca}.not"},
        FileNotFoundError,
        "No such file or directory",
    ),
    "host name of an unverified server": (
        lambda servers: {
            "address": (HOST, servers.port),
            "hostname": "localhost",
            "check_hostname": True,
            "verify_certs": False,
        },
        ValueError,
        "verify_certs must be True when check_hostname is True",
    ),
}


@pytest.mark.parametrize(("options", "error", "reason"), cases(ERRORS))
def test_an_error_is_of_the_same_class(
    options: Options,
    error: type[Exception],
    reason: str,
    servers: Servers,
    make_client: MakeClient,
) -> None:
    """Connecting fails on both handlers with the very class and words that kazoo alone has."""
    handler = make_client(start=False).handler
    with pytest.raises(error, match=reason) as raised:
        handler.create_connection(use_ssl=True, timeout=_TIMEOUT, **options(servers))
    assert type(raised.value) is error


def test_a_four_letter_command_over_tls(servers: Servers, make_client: MakeClient) -> None:
    """A connection that nobody has made non-blocking waits for what is to come."""
    # Not client.command(): kazoo 2.11 passes it the port for the host name, and it fails.
    handler = make_client(start=False).handler
    connection = handler.create_connection(
        (HOST, servers.port), timeout=_TIMEOUT, use_ssl=True, ca=servers.ca
    )
    connection.sendall(b"ruok")
    assert connection.recv(8192) == b"imok"
    connection.close()


def test_a_refused_connection_is_closed(servers: Servers, make_client: MakeClient) -> None:
    """Trying again and again leaves no descriptors behind, before garbage is collected."""
    handler = make_client(start=False).handler
    gc.disable()
    try:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            with pytest.raises(ssl.SSLError):
                handler.create_connection((HOST, servers.port), timeout=_TIMEOUT, use_ssl=True)
        # The event loop, and a thread for its look-ups, may have come into being.
        assert len(os.listdir("/proc/self/fd")) < before + 10
    finally:
        gc.enable()


def test_a_handshake_keeps_to_the_timeout(servers: Servers, make_client: MakeClient) -> None:
    """As a whole: a peer that dribbles it would else hold the client for a minute and more."""
    handler = make_client(start=False).handler
    with DribblingProxy((HOST, servers.port), interval=0.1) as proxy:
        began = time.monotonic()
        with pytest.raises(TimeoutError) as raised:
            handler.create_connection(proxy.address, timeout=1.0, use_ssl=True, verify_certs=False)
        assert type(raised.value) is TimeoutError
        assert time.monotonic() - began < 20
        assert proxy.dribbled > 1


def test_large_data_over_tls(servers: Servers, make_client: MakeClient) -> None:
    """More than the kernel's buffers hold goes both ways, with a heartbeat in between."""
    client = make_client(
        hosts=f"{HOST}:{servers.port}", use_ssl=True, verify_certs=False, timeout=10.0
    )
    data = os.urandom(_LARGE)
    path = client.create("/large-", data, ephemeral=True, sequence=True)
    assert client.get(path)[0] == data
    results = [client.set_async(path, data) for _ in range(5)]
    assert all(result.get(timeout=60) for result in results)
    assert client.get(path)[0] == data


def test_clients_that_connect_again_at_once_leave_the_loop_to_others(
    servers: Servers, make_patched_client: MakeClient
) -> None:
    """Forty of them: a ticker is kept waiting for 50 ms of this thread's own work at most."""
    clients = [
        make_patched_client(
            start=False,
            hosts=f"{HOST}:{servers.port}",
            use_ssl=True,
            ca=servers.ca,
            timeout=20.0,
            connection_retry={"max_tries": -1, "delay": 0.001, "max_delay": 0.01},
        )
        for _ in range(40)
    ]
    for client in clients:
        client.start_async()
    wait_until(lambda: all(client.connected for client in clients), sleep=gevent.sleep)
    lost: list[object] = []

    def note(state: str) -> None:
        if state == KazooState.SUSPENDED:
            lost.append(state)

    for client in clients:
        client.add_listener(note)
    work: list[float] = []

    def tick() -> None:
        before = time.thread_time()
        while True:
            gevent.sleep(0.001)
            work.append(-before + (before := time.thread_time()))

    ticker = gevent.spawn(tick)
    gc.collect()
    gc.disable()  # a collection takes as long as all objects of the process make it
    try:
        for client in clients:
            client._connection._socket.shutdown(socket.SHUT_RDWR)
        wait_until(
            lambda: len(lost) == len(clients) and all(client.connected for client in clients),
            sleep=gevent.sleep,
        )
    finally:
        gc.enable()
    ticker.kill()
    # Of kazoo's doing, without a context that is kept: 0.9 s.
    assert max(work) < 0.05

"""The servers that everything is measured on."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.benchmarks.bare import BareClient
from tests.benchmarks.jobs import DATA, LARGE_DATA
from tests.benchmarks.kazoo_clients import started
from tests.ports import free_block
from tests.zookeeper import ZooKeeper
from tests.zookeeper.server import HOST
from tests.zookeeper.tls import Authority, tls_config

_JUTE_MAXBUFFER: Final = 4 << 20
_JAVA_OPTIONS: Final = ("-Xms1g", "-Xmx1g")
_NO_SNAPSHOTS: Final = 1 << 30  # one would fall on some contender
QUEUE: Final = {"clientPortListenBacklog": 4096}
"""How many clients may wait to be accepted. With the 50 of Java's default the kernel turns some
away where many come at once. They try again after a second, which is no handler's time."""
_SHARED_MEMORY: Final = Path("/dev/shm")  # nosec B108 # only looked at
_READS_WHILE_WARMING_UP: Final = 5_000
_WRITES_KEPT: Final = 500
_TIMEOUT: Final = 30.0


class LostError(RuntimeError):
    """The server no longer answers: it has failed, and no contender has."""


@dataclass(frozen=True)
class Server:
    """A server with the nodes of the workloads."""

    hosts: str
    plain_hosts: str
    """The same without TLS."""
    root: str
    version: str
    is_own: bool
    """Whether it was started with our options."""


@contextmanager
def plain(warm_up: float) -> Iterator[Server]:
    """Give the server of ``ZK_HOSTS``, else one that lives as long as the block.

    It answers reads for ``warm_up`` seconds first, until Java has compiled what it runs often.
    """
    if hosts := os.environ.get("ZK_HOSTS"):
        with _with_nodes(hosts, is_own=False) as server:
            yield server
        return
    with _running({}) as zookeeper, _with_nodes(zookeeper.hosts, is_own=True) as server:
        _warm_up(server, warm_up)
        yield server


@contextmanager
def tls(warm_up: float) -> Iterator[Server]:
    """Give a server that speaks TLS, with a certificate of its own making."""
    with TemporaryDirectory(prefix="benchmark-") as home:
        port = free_block([0])
        config = tls_config(Authority(Path(home)).issue("server"), port, HOST)
        with _running(config) as zookeeper, _with_nodes(zookeeper.hosts, is_own=True) as server:
            _warm_up(server, warm_up)
            yield replace(server, hosts=f"{HOST}:{port}")


@contextmanager
def _running(config: Mapping[str, object]) -> Iterator[ZooKeeper]:
    in_memory = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None
    with (
        TemporaryDirectory(prefix="benchmark-", dir=in_memory) as log,
        ZooKeeper(
            jute_maxbuffer=_JUTE_MAXBUFFER,
            java_options=_JAVA_OPTIONS,
            extra_config={
                "dataLogDir": log,
                "snapCount": _NO_SNAPSHOTS,
                **QUEUE,
                **config,
            },
        ) as zookeeper,
    ):
        yield zookeeper


@contextmanager
def _with_nodes(hosts: str, *, is_own: bool) -> Iterator[Server]:
    root = f"/benchmark-{uuid.uuid4().hex}"
    with started(hosts) as client:
        client.create(root)
        client.create(f"{root}/node", DATA)
        if is_own:
            client.create(f"{root}/large", LARGE_DATA)
        version = ".".join(map(str, client.server_version()))
    try:
        yield Server(hosts, hosts, root, version, is_own)
    finally:
        if not is_own:
            with started(hosts) as client:
                client.delete(root, recursive=True)


def check(server: Server) -> None:
    """Raise ``LostError`` if the server accepts no session."""
    with _session(server):
        pass


def forget_writes(server: Server) -> None:
    """Make room: ZooKeeper keeps its last 500 writes in memory, however large they are."""
    with _session(server) as client:
        client.set_many(f"{server.root}/node", DATA, _WRITES_KEPT)


def _warm_up(server: Server, seconds: float) -> None:
    end = time.monotonic() + seconds
    with _session(server) as client:
        while time.monotonic() < end:
            client.get_many(f"{server.root}/node", _READS_WHILE_WARMING_UP)


@contextmanager
def _session(server: Server) -> Iterator[BareClient]:
    try:
        with BareClient(server.plain_hosts, timeout=_TIMEOUT) as client:
            yield client
    except OSError as error:
        raise LostError(f"{server.plain_hosts} answers no more: {error!r}") from None

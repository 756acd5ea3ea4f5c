"""Sessions in other circumstances: a chroot, other servers, a lost quorum, a new configuration."""

from __future__ import annotations

import socket
import socketserver
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import (
    BadArgumentsError,
    BadVersionError,
    ConfigurationError,
    NoAuthError,
    NotReadOnlyCallError,
)
from kazoo.protocol.states import EventType, KazooState, KeeperState
from kazoo.security import make_digest_acl_credential

from tests.server.conftest import MakeClient
from tests.support import wait_until
from tests.zookeeper import Ensemble, ZooKeeper

SUPERUSER = ("digest", "super:secret")


@pytest.fixture(scope="module")
def ensemble(own_servers: None) -> Iterator[Ensemble]:
    """Three servers that serve readers without a quorum, and may be reconfigured."""
    digest = make_digest_acl_credential(*SUPERUSER[1].split(":"))
    with Ensemble(
        extra_config={
            "reconfigEnabled": "true",
            "standaloneEnabled": "false",
            # A server without a quorum takes local sessions only; they become global when they
            # create something ephemeral.
            "localSessionsEnabled": "true",
            "localSessionsUpgradingEnabled": "true",
        },
        java_options=[
            "-Dreadonlymode.enabled=true",
            f"-Dzookeeper.DigestAuthenticationProvider.superDigest={digest}",
        ],
    ) as servers:
        yield servers


@pytest.fixture
def without_quorum(ensemble: Ensemble) -> Iterator[ZooKeeper]:
    """The only server of the ensemble that is left, when it serves readers; all run afterwards."""
    survivor, *others = ensemble.servers
    for server in others:
        server.kill()
    wait_until(lambda: survivor.mode() == "read-only", timeout=30.0, message=survivor.mode)
    yield survivor
    ensemble.start()


def wait_for(client: KazooClient, predicate: Callable[[], Any], timeout: float = 30.0) -> Any:
    """Wait with the sleep of the client's handler, which lets its callbacks run."""
    return wait_until(predicate, timeout=timeout, sleep=client.handler.sleep_func)


def wait_for_state(client: KazooClient, state: str) -> None:
    """Wait until the client's own state, not the simpler one that listeners hear, is this one."""
    wait_for(client, lambda: client.client_state == state)


@pytest.mark.needs_zookeeper("3.5.1")  # the first that knows include_data
def test_a_chroot_shows_in_no_path(
    make_client: MakeClient, zookeeper_hosts: str, chroot: str
) -> None:
    """Results of each way to create, of sync, and events; from outside the node is below it."""
    client, outside = make_client(), make_client(hosts=zookeeper_hosts)
    assert client.chroot == chroot
    assert client.create("/a/b", b"x", makepath=True) == "/a/b"
    assert outside.get(f"{chroot}/a/b")[0] == b"x"
    assert client.create("/a/s-", sequence=True) == "/a/s-0000000001"
    assert client.create_async("/c/d", makepath=True).get(timeout=10) == "/c/d"
    assert client.create("/e", include_data=True)[0] == "/e"
    assert client.ensure_path_async("/f/g").get(timeout=10)
    assert client.sync("/f") == "/f"
    transaction = client.transaction()
    transaction.create("/h")
    transaction.delete("/f/g")
    assert transaction.commit() == ["/h", True]
    assert sorted(outside.get_children(chroot)) == ["a", "c", "e", "f", "h"]
    assert outside.exists(f"{chroot}/f/g") is None
    assert client.get_children("/") == outside.get_children(chroot)


def test_an_event_is_of_the_path_that_was_watched(
    make_client: MakeClient, zookeeper_hosts: str, chroot: str
) -> None:
    """Created, changed, new child, deleted, by a client without the chroot; the root as well."""
    client, outside = make_client(), make_client(hosts=zookeeper_hosts)
    events: list[tuple[str, str]] = []

    def watch(event: Any) -> None:
        events.append((event.type, event.path))

    expected = []
    for arm, change, event in (
        (client.exists, outside.create, EventType.CREATED),
        (client.get, lambda node: outside.set(node, b"x"), EventType.CHANGED),
        (client.get_children, lambda node: outside.create(f"{node}/child"), EventType.CHILD),
        (client.exists, lambda node: outside.delete(node, recursive=True), EventType.DELETED),
    ):
        arm("/node", watch=watch)
        change(f"{chroot}/node")
        expected.append((event, "/node"))
        wait_for(client, lambda: len(events) == len(expected))
    client.get_children("/", watch=watch)
    outside.create(f"{chroot}/node")
    wait_for(client, lambda: len(events) > len(expected))
    assert events == [*expected, (EventType.CHILD, "/")]


def test_a_session_goes_on_at_the_servers_of_set_hosts(
    make_client: MakeClient, ensemble: Ensemble
) -> None:
    """set_hosts() disturbs nothing; when the connection is lost, the session moves."""
    old, new, _ = ensemble.servers
    client = make_client(hosts=old.hosts, timeout=20.0)
    states: list[str] = []
    client.add_listener(states.append)
    session, path = client.client_id, f"/{uuid.uuid4()}"
    client.create(path, b"kept", ephemeral=True)
    with pytest.raises(ConfigurationError):
        client.set_hosts(f"{new.hosts}/elsewhere")
    client.set_hosts(new.hosts)
    assert client.exists(path)
    assert (states, port(client)) == ([], old.port)

    client._connection._socket.shutdown(socket.SHUT_RDWR)
    wait_for(client, lambda: states == [KazooState.SUSPENDED, KazooState.CONNECTED])
    assert port(client) == new.port
    assert client.client_id == session
    assert client.retry(client.get, path)[0] == b"kept"


def port(client: KazooClient) -> int:
    """Return the port of the server that the client is connected to."""
    peer: int = client._connection._socket.getpeername()[1]
    return peer


class _SaysThatItWrites(socketserver.StreamRequestHandler):
    """Answers the question whether it is read-only, and keeps what else it is told."""

    def handle(self) -> None:
        question = self.rfile.read(4)
        self.server.questions.append(question)  # type: ignore[attr-defined]
        if question == b"isro":
            self.wfile.write(b"rw")


@pytest.fixture
def says_that_it_writes() -> Iterator[socketserver.ThreadingTCPServer]:
    """A peer that seems to be a server with a quorum, until a session is asked for."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _SaysThatItWrites) as server:
        server.questions = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_reader_is_served_without_a_quorum(
    make_client: MakeClient,
    without_quorum: ZooKeeper,
    says_that_it_writes: socketserver.ThreadingTCPServer,
) -> None:
    """CONNECTED_RO: reads work, writes are refused; meanwhile it looks for a server that writes."""
    other = says_that_it_writes.server_address[1]
    client = make_client(
        # kazoo asks the first of the list only.
        hosts=f"127.0.0.1:{other},{without_quorum.hosts}",
        read_only=True,
        randomize_hosts=False,
        timeout=2.0,
    )
    assert client.client_state == KeeperState.CONNECTED_RO
    assert client.connected
    assert client.state == KazooState.CONNECTED
    assert "zookeeper" in client.get_children("/")
    assert client.exists("/none") is None
    writes: list[Callable[[], object]] = [
        lambda: client.create("/node"),
        lambda: client.set("/zookeeper", b"x"),
        lambda: client.delete("/none"),
        lambda: client.create_async("/a/b", makepath=True).get(timeout=10),
    ]
    for write in writes:
        with pytest.raises(NotReadOnlyCallError):
            write()
    assert client.get("/zookeeper")[0] == b"", "a refused write ends no session"

    questions: list[bytes] = says_that_it_writes.questions  # type: ignore[attr-defined]
    # It is asked when a heartbeat is due, and then for a session, as it was in the beginning.
    wait_for(client, lambda: b"isro" in questions[:-1])
    assert questions[0] == questions[-1] != b"isro"
    wait_for_state(client, KeeperState.CONNECTED_RO)
    assert client.retry(client.get_children, "/")


def test_a_reader_writes_when_the_quorum_is_back(
    make_client: MakeClient, ensemble: Ensemble, without_quorum: ZooKeeper
) -> None:
    """One that insists on writing is not served meanwhile; then both are CONNECTED."""
    reader = make_client(hosts=ensemble.hosts, read_only=True)
    writer = make_client(hosts=ensemble.hosts, start=False)
    assert reader.client_state == KeeperState.CONNECTED_RO
    with pytest.raises(writer.handler.timeout_exception):
        writer.start(timeout=1.0)
    ensemble.start()
    writer.start()
    for client in (reader, writer):
        wait_for_state(client, KeeperState.CONNECTED)
        path = f"/{uuid.uuid4()}"
        assert client.retry(client.create, path, ephemeral=True) == path


@pytest.mark.needs_zookeeper("3.5.3")  # the first whose reconfig() has to be switched on
def test_a_server_leaves_and_joins(make_client: MakeClient, ensemble: Ensemble) -> None:
    """reconfig by the superuser: the answer and the watched node tell the new configuration."""
    leaver = ensemble.followers()[-1]
    others = [server for server in ensemble.servers if server is not leaver]
    client = make_client(hosts=",".join(server.hosts for server in others), auth_data=[SUPERUSER])
    events: list[Any] = []
    configuration = client.get("/zookeeper/config", watch=events.append)[0].decode()
    number = str(1 + ensemble.servers.index(leaver))
    [member] = [line for line in configuration.splitlines() if f"server.{number}=" in line]

    smaller, _ = client.reconfig(joining=None, leaving=number, new_members=None)
    assert member not in smaller.decode()
    wait_for(client, lambda: events)
    assert (events[0].type, events[0].path) == (EventType.CHANGED, "/zookeeper/config")

    member = f"{member.partition(';')[0]};{leaver.hosts}"
    larger, stat = client.reconfig(joining=member, leaving=None, new_members=None)
    assert member in larger.decode()
    assert client.get("/zookeeper/config") == (larger, stat)
    # The server itself learns that it is a member again.
    wait_for(client, lambda: leaver.mode() == "follower")


@pytest.mark.needs_zookeeper("3.5.3")
def test_a_reconfiguration_that_is_refused(make_client: MakeClient, ensemble: Ensemble) -> None:
    """Of anybody else, of a version that is not the current one, of nonsense."""
    change = {"joining": None, "leaving": "99", "new_members": None}
    with pytest.raises(NoAuthError):
        make_client(hosts=ensemble.hosts).reconfig(**change)
    client = make_client(hosts=ensemble.hosts, auth_data=[SUPERUSER])
    with pytest.raises(BadVersionError):
        client.reconfig(**change, from_config=1)
    with pytest.raises(BadArgumentsError):
        client.reconfig(**{**change, "joining": "nonsense"})
    with pytest.raises(TypeError):
        client.reconfig(**{**change, "leaving": 99})
    assert client.exists("/zookeeper/config")

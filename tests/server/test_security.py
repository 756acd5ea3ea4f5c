"""Authentication and permissions: SASL, digest authentication and access control lists."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import (
    AuthFailedError,
    BadVersionError,
    ConnectionClosedError,
    InvalidACLError,
    NoAuthError,
)
from kazoo.protocol.states import KazooState, KeeperState
from kazoo.security import (
    CREATOR_ALL_ACL,
    OPEN_ACL_UNSAFE,
    READ_ACL_UNSAFE,
    make_acl,
    make_digest_acl,
    make_digest_acl_credential,
)

from tests.server.conftest import MakeClient
from tests.support import wait_until
from tests.zookeeper import ZooKeeper

JAAS = """
Server {
    org.apache.zookeeper.server.auth.DigestLoginModule required
    user_alice="right";
};
"""

USER = ("digest", "bob:secret")
# The old way, through auth_data, is deprecated and works.
pytestmark = pytest.mark.filterwarnings("ignore:Passing SASL configuration:DeprecationWarning")

SASL: dict[str, Callable[[str], dict[str, Any]]] = {
    "sasl_options": lambda password: {
        "sasl_options": {"mechanism": "DIGEST-MD5", "username": "alice", "password": password}
    },
    "auth_data": lambda password: {"auth_data": [("sasl", f"alice:{password}")]},
}


@pytest.fixture(scope="module")
def sasl_hosts(own_servers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that knows Alice by her password."""
    jaas: Path = tmp_path_factory.mktemp("jaas") / "jaas.conf"
    jaas.write_text(JAAS)
    with ZooKeeper(
        extra_config={
            "authProvider.1": "org.apache.zookeeper.server.auth.SASLAuthenticationProvider"
        },
        java_options=[
            f"-Djava.security.auth.login.config={jaas}",
            "-Dzookeeper.fips-mode=false",  # on by default in 3.9.6, which then refuses DIGEST-MD5
        ],
    ) as server:
        yield server.hosts


@pytest.fixture
def path() -> str:
    """A node of the test's own."""
    return f"/{uuid.uuid4()}"


def wait_until_closed(client: KazooClient) -> None:
    """Wait until the session, which the server has ended, is lost for good."""
    wait_until(lambda: client.client_state == KeeperState.CLOSED, sleep=client.handler.sleep_func)


@pytest.mark.parametrize("options", list(SASL))
def test_the_right_password_opens_what_is_alices(
    make_client: MakeClient, sasl_hosts: str, path: str, options: str
) -> None:
    """DIGEST-MD5: her node is open to her and closed to others, after a reconnection as well."""
    alice = make_client(hosts=sasl_hosts, **SASL[options]("right"))
    states: list[str] = []
    alice.add_listener(states.append)
    alice.create(path, b"hers", acl=[make_acl("sasl", "alice", all=True)])
    with pytest.raises(NoAuthError):
        make_client(hosts=sasl_hosts).get(path)
    alice._connection._socket.shutdown(socket.SHUT_RDWR)
    wait_until(
        lambda: states == [KazooState.SUSPENDED, KazooState.CONNECTED],
        sleep=alice.handler.sleep_func,
    )
    assert alice.retry(alice.get, path)[0] == b"hers"
    alice.delete(path)


@pytest.mark.parametrize("options", list(SASL))
def test_a_wrong_password_loses_the_session_for_good(
    make_client: MakeClient, sasl_hosts: str, options: str
) -> None:
    """LOST; a request that waited for the answer is an AuthFailedError, a later one is refused."""
    client = make_client(start=False, hosts=sasl_hosts, **SASL[options]("wrong"))
    states: list[str] = []
    requests: list[Any] = []

    def ask(state: str) -> None:
        states.append(state)
        requests.append(client.get_async("/"))

    client.add_listener(ask)
    # Whether start() sees the session before it is lost is chance on kazoo's default handler.
    client.start_async()
    wait_until(lambda: KazooState.LOST in states, sleep=client.handler.sleep_func)
    wait_until_closed(client)
    assert states == [KazooState.CONNECTED, KazooState.LOST]
    for request in requests:
        with pytest.raises(AuthFailedError):
            request.get(timeout=10)
    with pytest.raises(ConnectionClosedError):
        client.get("/")


def test_start_raises_what_is_wrong_with_the_password(
    make_patched_client: MakeClient, sasl_hosts: str
) -> None:
    """With a chroot, which start() looks for: AuthFailedError, and neither time-out nor success."""
    hosts = f"{sasl_hosts}/zookeeper"
    for _ in range(3):
        client = make_patched_client(start=False, hosts=hosts, **SASL["sasl_options"]("wrong"))
        with pytest.raises(AuthFailedError):
            client.start()
    client = make_patched_client(hosts=hosts, **SASL["sasl_options"]("right"))
    assert client.exists("/quota")


def test_a_digest_that_is_added_counts_from_then_on(make_client: MakeClient, path: str) -> None:
    """add_auth() on a started client; another password is another user."""
    client, eve = make_client(), make_client()
    client.add_auth(*USER)
    client.create(path, b"his", acl=CREATOR_ALL_ACL)
    with pytest.raises(NoAuthError):
        eve.get(path)
    eve.add_auth("digest", "bob:guess")
    with pytest.raises(NoAuthError):
        eve.get(path)
    assert eve.add_auth_async(*USER).get(timeout=10) is True
    assert eve.get(path)[0] == b"his"
    client.delete(path)


def test_a_digest_may_be_added_before_the_start(make_client: MakeClient, path: str) -> None:
    """add_auth() is a ConnectionClosedError then, and yet is sent in each session to come."""
    client = make_client(start=False)
    with pytest.raises(ConnectionClosedError):
        client.add_auth(*USER)
    for session in range(2):
        client.start()
        client.create(f"{path}-{session}", acl=CREATOR_ALL_ACL)
        assert client.get_acls(f"{path}-{session}")[0] == [
            make_digest_acl("bob", "secret", all=True)
        ]
        client.stop()
    owner = make_client(auth_data=[USER])
    for session in range(2):
        assert owner.get(f"{path}-{session}")[0] == b""
        owner.delete(f"{path}-{session}")


def test_an_unknown_scheme_loses_the_session(make_client: MakeClient) -> None:
    """add_auth raises AuthFailedError; later requests are refused. A wrong type is a TypeError."""
    client = make_client()
    with pytest.raises(TypeError):
        client.add_auth("digest", ("bob", "secret"))
    with pytest.raises(AuthFailedError):
        client.add_auth("unknown", "bob:secret")
    wait_until_closed(client)
    with pytest.raises(ConnectionClosedError):
        client.get("/")


def is_secret_whether_a_node_exists(server_version: tuple[int, ...]) -> bool:
    """Tell whether exists() needs READ, as it does since ZooKeeper 3.8.4 and 3.9.2."""
    return server_version >= (3, 9, 2) or (3, 8, 4) <= server_version < (3, 9)


def test_a_chroot_that_may_not_be_read(
    make_client: MakeClient,
    zookeeper_hosts: str,
    chroot: str,
    path: str,
    server_version: tuple[int, ...],
) -> None:
    """start() looks for it with exists(): it is NoAuthError where that needs READ (kazoo 759)."""
    owner = make_client(auth_data=[USER])
    owner.create(path, acl=CREATOR_ALL_ACL)
    client = make_client(hosts=zookeeper_hosts + chroot + path, start=False)
    if is_secret_whether_a_node_exists(server_version):
        with pytest.raises(NoAuthError):
            client.start()
    else:
        client.start()
        with pytest.raises(NoAuthError):
            client.get("/")
    owner.delete(path)


def test_each_permission_is_kept(
    make_client: MakeClient, path: str, server_version: tuple[int, ...]
) -> None:
    """Reading, writing, creating, deleting, administering: each is NoAuthError without it."""
    owner, other = make_client(auth_data=[USER]), make_client()
    allowed_to_all = make_acl("world", "anyone", read=True)
    owner.create(path, acl=[make_digest_acl("bob", "secret", all=True), allowed_to_all])
    owner.create(f"{path}/child", acl=CREATOR_ALL_ACL)
    assert other.get_children(path) == ["child"]
    refused: list[Callable[[KazooClient], object]] = [
        lambda client: client.set(path, b"x"),
        lambda client: client.create(f"{path}/new"),
        lambda client: client.ensure_path(f"{path}/a/b"),
        lambda client: client.delete(f"{path}/child"),
        lambda client: client.set_acls(path, OPEN_ACL_UNSAFE),
        lambda client: client.get(f"{path}/child"),
        lambda client: client.get_children(f"{path}/child"),
    ]
    if is_secret_whether_a_node_exists(server_version):
        refused.append(lambda client: client.exists(f"{path}/child"))
    else:
        assert other.exists(f"{path}/child")
    for call in refused:
        with pytest.raises(NoAuthError):
            call(other)
    outcome = other.transaction()
    outcome.set_data(path, b"x")
    assert [type(result) for result in outcome.commit()] == [NoAuthError]
    owner.delete(path, recursive=True)


def test_the_default_acl_is_that_of_each_new_node(make_client: MakeClient, path: str) -> None:
    """default_acl holds for create, makepath, ensure_path and transactions, unless one is given."""
    mine = make_digest_acl("bob", "secret", all=True)
    client = make_client(auth_data=[USER], default_acl=[mine])
    client.create(f"{path}/b", makepath=True)
    client.ensure_path(f"{path}/c/d")
    transaction = client.transaction()
    transaction.create(f"{path}/e")
    assert transaction.commit() == [f"{path}/e"]
    for node in (path, f"{path}/b", f"{path}/c", f"{path}/c/d", f"{path}/e"):
        assert client.get_acls(node)[0] == [mine]
    client.create(f"{path}/open", acl=OPEN_ACL_UNSAFE)
    assert client.get_acls(f"{path}/open")[0] == OPEN_ACL_UNSAFE
    client.delete(path, recursive=True)


def test_acls_are_read_and_changed(make_client: MakeClient, path: str) -> None:
    """get_acls and set_acls, with the version of the list, and what is no list at all."""
    client, other = make_client(auth_data=[USER]), make_client()
    client.create(path)
    acls, stat = client.get_acls(path)
    assert (acls, stat.acl_version) == (OPEN_ACL_UNSAFE, 0)
    mine = make_acl("digest", make_digest_acl_credential("bob", "secret"), read=True, admin=True)
    assert client.set_acls(path, [mine], version=0).acl_version == 1
    assert client.get_acls_async(path).get(timeout=10)[0] == [mine]
    assert mine.acl_list == ["READ", "ADMIN"]
    with pytest.raises(NoAuthError):
        client.set(path, b"x")
    with pytest.raises(NoAuthError):
        other.get(path)
    with pytest.raises(BadVersionError):
        client.set_acls(path, OPEN_ACL_UNSAFE, version=0)
    with pytest.raises(InvalidACLError):
        client.set_acls(path, [make_acl("unknown", "bob", all=True)])
    for wrong in (READ_ACL_UNSAFE[0], "world:anyone"):
        with pytest.raises(TypeError):
            client.set_acls(path, wrong)
    assert client.set_acls_async(path, OPEN_ACL_UNSAFE).get(timeout=10).acl_version == 2
    assert other.get(path)[0] == b""

"""``kazoo-gevent-patch doctor``: what answers at each port, and how each member does."""

from __future__ import annotations

import http.server
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from kazoo_gevent_patch.patching.versions import compares_host_names
from tests.ports import free_block
from tests.server.doctor import Report, children_of, doctor, findings
from tests.zookeeper import Ensemble, ZooKeeper
from tests.zookeeper.tls import Authority, tls_config

NO_VERIFY = ("--tls", "--no-verify")


class Ports(NamedTuple):
    """The ports of two servers that speak TLS, and the certificates that go with them."""

    secure: str
    plain: str
    for_known_clients: str
    authority: str
    certificate: str


@pytest.fixture(scope="module")
def ports(own_servers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    """A server whose TLS port takes everybody, and one that wants a client's certificate."""
    home = tmp_path_factory.mktemp("tls")
    open_port, closed_port = free_block([0]), free_block([0])
    authority, clients = Authority(home), Authority(home, "clients")
    settings = tls_config(authority.issue("server"), open_port, "127.0.0.1")
    strict = tls_config(authority.issue("strict"), closed_port, "127.0.0.1", clients)
    with ZooKeeper(extra_config=settings) as server, ZooKeeper(extra_config=strict):
        yield Ports(
            f"127.0.0.1:{open_port}",
            server.hosts,
            f"127.0.0.1:{closed_port}",
            str(authority.certificate),
            str(clients.issue("client")),
        )


@pytest.mark.needs_zookeeper("3.5.1")  # the first that speaks TLS
def test_tls_is_checked_with_kazoos_settings(ports: Ports) -> None:
    """Trusted, or not verified at all: ok. Unknown authority, other host: a problem."""
    tls = ["--timeout", "8", "--hosts", ports.secure, "--tls"]
    found = doctor(*tls, "--ca", ports.authority, code=0)
    assert found["TLS"]["text"].startswith("TLSv1.")
    assert found["server"]["text"].startswith(f"{ports.secure}: ZooKeeper 3.")
    assert found["lock"]["level"] == "ok"
    assert doctor(*tls, "--no-verify", code=0)["TLS"]["level"] == "ok"
    found = doctor(*tls, code=2)
    assert "CERTIFICATE_VERIFY_FAILED" in found["TLS"]["text"]
    assert "--ca" in found["TLS"]["advice"]
    if compares_host_names():
        found = doctor(*tls, "--ca", ports.authority, "--check-hostname", code=2)
        assert "127.0.0.1" in found["TLS"]["text"]


@pytest.mark.needs_zookeeper("3.5.1")
def test_tls_and_plain_ports_that_are_mixed_up_are_told(ports: Ports) -> None:
    """Either way round there is a line that says which, and no word of certificates."""
    found = doctor("--hosts", ports.secure, code=2)
    assert found["server"]["text"] == f"{ports.secure}: ZooKeeper with TLS"
    assert "--tls" in found["server"]["advice"]
    assert found["session"]["advice"] == found["server"]["advice"]
    for verify in ([], ["--no-verify"]):
        found = doctor("--hosts", ports.plain, "--tls", *verify, code=2)
        assert found["TLS"]["level"] == "problem"
        advice = "ZooKeeper without TLS: leave out --tls, or name its secureClientPort"
        assert found["TLS"]["advice"] == advice


@pytest.mark.needs_zookeeper("3.5.1")
def test_a_server_that_wants_a_certificate_is_told(ports: Ports) -> None:
    """Without one the advice names the options; with one that it trusts all is ok."""
    hosts = ["--hosts", ports.for_known_clients, *NO_VERIFY]
    found = doctor(*hosts, code=2)
    assert "--cert and --key" in _refusal(found)["advice"]
    own = ["--cert", ports.certificate, "--key", ports.certificate]
    assert doctor(*hosts, *own, code=0)["lock"]["level"] == "ok"


def _refusal(found: Report) -> Report:
    """Return the finding that says what is wrong with the server: of TLS, if that fails."""
    refusal: Report = found["server" if "server" in found else "TLS"]
    return refusal


class Banner(socketserver.BaseRequestHandler):
    """Says what it is before it is asked, as ssh does."""

    def handle(self) -> None:
        self.request.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
        self.request.recv(100)


class Echo(socketserver.BaseRequestHandler):
    """Takes what comes and says nothing."""

    def handle(self) -> None:
        while self.request.recv(100):
            pass


class Server(socketserver.ThreadingTCPServer):
    """Does not wait for its connections when it ends."""

    daemon_threads = True
    block_on_close = False


@contextmanager
def listening(
    handler: type[socketserver.BaseRequestHandler], certificate: Path | None
) -> Iterator[str]:
    """Run a server that is no ZooKeeper; with a certificate, it speaks TLS."""
    with Server(("127.0.0.1", 0), handler) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("asked", [(), NO_VERIFY], ids=["plain", "tls"])
@pytest.mark.parametrize("has_tls", [False, True], ids=["http", "https"])
def test_an_http_server_is_no_zookeeper(
    has_tls: bool, asked: tuple[str, ...], tmp_path: Path
) -> None:
    """The line says so, and sends nobody to the server's log."""
    certificate = Authority(tmp_path).issue("http") if has_tls else None
    with listening(http.server.SimpleHTTPRequestHandler, certificate) as hosts:
        found = doctor("--hosts", hosts, *asked, code=2)
    one = _refusal(found)
    assert one["level"] == "problem"
    assert "an HTTP server, no ZooKeeper" in one["text"] + one["advice"]
    assert "correct host or port" in one["advice"]
    assert "log" not in one["advice"]
    assert "--tls" not in one["advice"]


def test_another_servers_greeting_is_shown() -> None:
    """As far as it fits, without its control characters."""
    with listening(Banner, None) as hosts:
        found = doctor("--hosts", hosts, code=2)
    text = r"no ZooKeeper; it says 'SSH-2.0-OpenSSH_9.2\r\n'"
    assert found["server"]["text"] == f"{hosts}: {text}"
    assert found["session"]["text"] == "no server can give one"


def test_a_tls_port_that_says_nothing_is_not_told_to_use_tls(tmp_path: Path) -> None:
    """With --tls it has what the advice would be."""
    with listening(Echo, Authority(tmp_path).issue("echo")) as hosts:
        found = doctor("--hosts", hosts, *NO_VERIFY, "--timeout", "4", code=2)
        assert found["TLS"]["level"] == "ok"
        assert found["server"]["text"] == f"{hosts}: it does not say what it is"
        assert "--tls" not in found["session"]["advice"]
        found = doctor("--hosts", hosts, "--timeout", "4", code=2)
        assert found["server"]["text"] == f"{hosts}: it speaks TLS"


def test_servers_that_are_not_one_ensemble_are_told(
    zookeeper_hosts: str, zk_server: ZooKeeper
) -> None:
    """One does not have what was written through the other: locks would not be locks."""
    found = findings("--hosts", f"{zookeeper_hosts},{zk_server.hosts}", code=2)
    members = [one for one in found if one["check"] == "member"]
    assert [one["level"] for one in members].count("problem") == 1
    [other] = [one for one in members if one["level"] == "problem"]
    assert other["text"].endswith("it lacks the temporary node: it belongs to another ensemble")
    assert children_of(zk_server.hosts) == ["zookeeper"]
    roles = [one["values"]["mode"] for one in found if one["check"] == "server"]
    assert roles == ["standalone", "standalone"]


def test_each_address_of_a_name_is_a_member(zookeeper_hosts: str, tmp_path: Path) -> None:
    """A name may stand for a whole ensemble; here both addresses lead to one server."""
    (tmp_path / "sitecustomize.py").write_text(
        "import _socket\n"
        "real = _socket.getaddrinfo\n"
        "def fake(host, *args, **names):\n"
        "    if host not in ('several.invalid', b'several.invalid'):\n"
        "        return real(host, *args, **names)\n"
        "    return [one for ip in ('127.0.0.1', '::ffff:127.0.0.1')\n"
        "            for one in real(ip, *args, **names)]\n"
        "_socket.getaddrinfo = fake\n"
    )
    hosts = f"several.invalid:{zookeeper_hosts.rpartition(':')[2]}"
    found = findings("--hosts", hosts, code=0, env={"PYTHONPATH": str(tmp_path)})
    places = [f"{hosts} (127.0.0.1)", f"{hosts} (::ffff:127.0.0.1)"]
    for check in ("server", "member"):
        assert [one["values"]["server"] for one in found if one["check"] == check] == places


def _of(found: list[Report], check: str) -> dict[str, Report]:
    return {one["values"]["server"]: one for one in found if one["check"] == check}


def test_each_member_of_an_ensemble_is_looked_at(ensemble: Ensemble) -> None:
    """Its version, whether it leads or follows, and a session of its own."""
    found = findings("--hosts", ensemble.hosts, code=0)
    names = [server.hosts for server in ensemble.servers]
    modes = {name: one["values"]["mode"] for name, one in _of(found, "server").items()}
    assert modes == {server.hosts: server.mode() for server in ensemble.servers}
    assert list(_of(found, "member")) == names
    assert all(one["values"]["seconds"] > 0 for one in _of(found, "member").values())


def test_a_member_that_does_not_work_is_named(ensemble: Ensemble) -> None:
    """One that stands still is a warning; one that has lost all others serves nobody."""
    paused, *others = [*ensemble.followers(), ensemble.leader()]
    paused.pause()
    try:
        found = findings("--hosts", ensemble.hosts, "--timeout", "10", code=1)
    finally:
        paused.resume()
    assert _of(found, "server")[paused.hosts]["level"] == "warning"
    assert {name for name, one in _of(found, "server").items() if one["level"] == "ok"} == {
        server.hosts for server in others
    }
    assert _of(found, "member")[paused.hosts]["text"].startswith(f"{paused.hosts}: no session")
    ensemble.wait_until_complete()
    for server in others:
        server.kill()
    try:
        found = findings("--hosts", ensemble.hosts, "--timeout", "5", code=2)
    finally:
        ensemble.start()
    text = f"{paused.hosts}: ZooKeeper, which serves nobody now: it has no quorum"
    assert _of(found, "server")[paused.hosts]["text"] == text

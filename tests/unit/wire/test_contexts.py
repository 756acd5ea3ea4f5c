"""TLS contexts: one is kept for the same arguments and files, and for nothing else."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import gevent.ssl
import pytest
from gevent.server import StreamServer
from kazoo.client import KazooClient
from kazoo.handlers import utils

from kazoo_gevent_patch import SequentialGeventHandler, patched
from kazoo_gevent_patch.patching.versions import compares_host_names
from kazoo_gevent_patch.wire import contexts as module
from kazoo_gevent_patch.wire.contexts import Context, Contexts
from tests.zookeeper.tls import Authority

Connect = Callable[..., Any]

_PASSWORD = "of the key"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Give the authority that has signed the server's certificate."""
    return Authority(tmp_path)


@pytest.fixture
def contexts(monkeypatch: pytest.MonkeyPatch) -> Contexts:
    """Give an empty store, which keeps contexts of files that were written a moment ago."""
    store = Contexts()
    monkeypatch.setattr(module, "contexts", store)
    monkeypatch.setattr("kazoo_gevent_patch.wire.sockets.contexts", store)
    monkeypatch.setattr(module, "SETTLED", -60.0)
    monkeypatch.setattr(module, "GLANCE", 0.0)
    return store


@pytest.fixture
def connect(contexts: Contexts, authority: Authority) -> Iterator[Connect]:
    """Give a function that connects with the options, and returns the context of the attempt."""
    certificate = str(authority.issue("server"))
    handler = SequentialGeventHandler()

    def serve(sock: Any, _: object) -> None:
        sock.recv(1)

    own = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(certificate)
    server = StreamServer(("127.0.0.1", 0), serve, ssl_context=own)
    server.start()

    def connect(**options: Any) -> Any:
        connection = handler.create_connection(
            server.address, **{"use_ssl": True, "timeout": 30.0, **options}
        )
        connection.close()
        return connection.context

    yield connect
    server.stop(timeout=1)


def replace(path: Path, data: bytes) -> None:
    """Put another file in the place of this one, as tools that renew certificates do."""
    other = path.with_suffix(".new")
    other.write_bytes(data)
    other.rename(path)


def test_the_same_arguments_and_files_have_one_context(
    connect: Connect, authority: Authority
) -> None:
    """However often, with whatever time-out, and for a path as for its name."""
    first = connect(ca=str(authority.certificate))
    assert type(first) is Context
    assert connect(ca=str(authority.certificate)) is first
    assert connect(ca=authority.certificate) is first
    assert connect(ca=str(authority.certificate), timeout=29) is first


def test_it_is_set_up_as_by_kazoo_alone(
    connect: Connect, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The context that an attempt finds has all the settings of one that kazoo has just made."""
    options = {"ca": str(authority.certificate), "verify_certs": True}
    connect(**options)
    found = connect(**options)
    monkeypatch.setattr(module, "_key", lambda *_: None)
    made = connect(**options)
    assert made is not found
    for name in ("options", "verify_mode", "verify_flags", "check_hostname", "protocol"):
        assert getattr(found, name) == getattr(made, name)
    assert found.get_ca_certs(binary_form=True) == made.get_ca_certs(binary_form=True)
    assert [cipher["name"] for cipher in found.get_ciphers()] == [
        cipher["name"] for cipher in made.get_ciphers()
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"verify_certs": False, "ca": None},
        {"ciphers": "ECDHE+AESGCM"},
        {"options": int(ssl.OP_NO_TLSv1_3)},
    ],
    ids=lambda options: next(iter(options)),
)
def test_other_arguments_have_another_context(
    connect: Connect, authority: Authority, other: dict[str, Any]
) -> None:
    """Each of them, and in turn: no context is changed by what another attempt asks for."""
    options = {"ca": str(authority.certificate)}
    first = connect(**options)
    second = connect(**{**options, **other})
    assert second is not first
    assert connect(**options) is first
    assert connect(**{**options, **other}) is second


@pytest.mark.parametrize("how", ["replaced", "written over"])
def test_another_authority_in_the_file_is_noticed(
    connect: Connect, authority: Authority, tmp_path: Path, how: str
) -> None:
    """What was trusted is refused at once, and trusted again when the file is as it was."""
    ca = tmp_path / "ca.pem"
    trusted, other = authority.certificate.read_bytes(), Authority(tmp_path, "other").certificate
    write = {"replaced": replace, "written over": Path.write_bytes}[how]
    write(ca, trusted)
    connect(ca=str(ca))
    connect(ca=str(ca))
    time.sleep(0.02)  # for the file system's clock
    write(ca, other.read_bytes())
    for _ in range(2):
        with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
            connect(ca=str(ca))
    time.sleep(0.02)
    write(ca, trusted)
    connect(ca=str(ca))
    ca.unlink()
    with pytest.raises(FileNotFoundError):
        connect(ca=str(ca))


def test_another_certificate_in_the_file_is_noticed(
    connect: Connect, authority: Authority, tmp_path: Path
) -> None:
    """A client that renews its own certificate shows the new one."""
    own = tmp_path / "own.pem"
    replace(own, authority.issue("first").read_bytes())
    options = {"ca": str(authority.certificate), "certfile": str(own), "keyfile": str(own)}
    first = connect(**options)
    assert connect(**options) is first
    replace(own, authority.issue("second").read_bytes())
    second = connect(**options)
    assert second is not first
    assert connect(**options) is second


def test_another_bundle_of_the_system_is_noticed(
    connect: Connect, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As SSL_CERT_FILE names it, and whatever is in it."""
    bundle = tmp_path / "bundle.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    replace(bundle, authority.certificate.read_bytes())
    first = connect()
    assert connect() is first
    replace(bundle, Authority(tmp_path, "other").certificate.read_bytes())
    with pytest.raises(ssl.SSLCertVerificationError):
        connect()
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    assert connect() is not first


@pytest.mark.parametrize("how", ["replaced", "written over", "added", "removed"])
def test_another_authority_in_the_systems_directory_is_noticed(
    connect: Connect,
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    """In one of those that SSL_CERT_DIR names."""
    directory = tmp_path / "authorities"
    directory.mkdir()
    file = directory / "0a1b2c3d.0"
    file.write_bytes(b"")
    monkeypatch.setenv("SSL_CERT_DIR", f"{tmp_path}{os.pathsep}{directory}")
    options = {"ca": str(authority.certificate)}
    first = connect(**options)
    assert connect(**options) is first
    if how == "replaced":
        replace(file, b"something")
    elif how == "written over":
        file.write_bytes(b"something")
    elif how == "added":
        (directory / "0a1b2c3d.1").write_bytes(b"")
    else:
        file.unlink()
    assert connect(**options) is not first


def test_a_password_is_asked_for_each_time(connect: Connect, authority: Authority) -> None:
    """The right one opens the key for itself only, and is not kept."""
    own = str(authority.issue("own", password=_PASSWORD))
    options = {"ca": str(authority.certificate), "certfile": own, "keyfile": own}
    first = connect(**options, keyfile_password=_PASSWORD)
    assert connect(**options, keyfile_password=_PASSWORD) is first
    with pytest.raises(ssl.SSLError):
        connect(**options, keyfile_password="wrong")
    assert connect(**options, keyfile_password=_PASSWORD) is first
    assert connect(**options, keyfile_password=_PASSWORD.encode()) is first


def test_no_password_is_in_the_store(connect: Connect, authority: Authority) -> None:
    """What tells one from another is a hash."""
    own = str(authority.issue("own", password=_PASSWORD))
    store = module.contexts
    connect(ca=str(authority.certificate), certfile=own, keyfile=own, keyfile_password=_PASSWORD)
    assert len(store._kept) == 1
    assert _PASSWORD not in repr(store._kept)


def test_files_that_have_just_changed_are_read_each_time(
    connect: Connect, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next change might leave no trace in the times of the file."""
    monkeypatch.setattr(module, "SETTLED", 3600.0)
    options = {"ca": str(authority.certificate)}
    assert connect(**options) is not connect(**options)


def test_nothing_is_kept_of_what_a_program_reads_in_its_own_way(
    connect: Connect, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one that adds the authorities of its company to those of the system."""
    plain = ssl.SSLContext.load_default_certs
    calls: list[object] = []

    def with_others(self: ssl.SSLContext, *args: Any) -> None:
        calls.append(self)
        plain(self, *args)

    options = {"ca": str(authority.certificate)}
    connect(**options)
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", with_others)
    assert connect(**options) is not connect(**options)
    assert len(calls) == 2


def test_nothing_is_kept_of_arguments_that_are_not_known(
    connect: Connect, authority: Authority
) -> None:
    """Such as a newer kazoo's; nor of a password that a function gives."""
    original = utils.create_tcp_connection
    certificate = str(authority.issue("own", password=_PASSWORD))
    own = {"certfile": certificate, "keyfile": certificate, "keyfile_password": lambda: _PASSWORD}
    options = {"ca": str(authority.certificate)}
    assert connect(**options, **own) is not connect(**options, **own)
    assert module._key(original, {**options, "use_ssl": True, "anything": 1}) is None
    assert module._key(original, {**options, "use_ssl": True}) is not None


def test_nothing_is_kept_for_a_function_of_the_programs_own() -> None:
    """It may set a context up by more than its arguments tell, such as authorities in memory."""

    def own(*args: Any, **kwargs: Any) -> Any:
        return utils.create_tcp_connection(*args, **kwargs)

    assert module._key(utils.create_tcp_connection, {"use_ssl": True}) is not None
    assert module._key(own, {"use_ssl": True}) is None


def test_an_attempt_that_fails_leaves_a_good_context(
    connect: Connect, contexts: Contexts, authority: Authority
) -> None:
    """Servers that refuse do not make the next attempt read all authorities anew."""
    with pytest.raises(ssl.SSLCertVerificationError):
        connect()
    assert len(contexts._kept) == 1
    with pytest.raises(FileNotFoundError):
        connect(ca=f"{authority.certificate}.not")
    assert len(contexts._kept) == 1


def test_few_are_kept(
    connect: Connect, contexts: Contexts, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest goes: a program may name new files over and over."""
    monkeypatch.setattr(module, "MOST", 2)
    own = {"ca": str(authority.certificate)}
    first, second = connect(**own), connect(verify_certs=False)
    connect(**own, ciphers="ECDHE+AESGCM")
    assert len(contexts._kept) == 2
    assert connect(verify_certs=False) is second
    assert connect(**own) is not first


@pytest.mark.parametrize("after", [0.0, 0.05], ids=["at once", "held up on the way"])
def test_the_loop_runs_between_two_that_are_made(
    connect: Connect, authority: Authority, monkeypatch: pytest.MonkeyPatch, after: float
) -> None:
    """However many clients ask for a different one at the same time, and whatever holds them up."""
    begun: list[int] = []
    rounds = [0]
    plain = Context.load_default_certs

    def noted(self: Context, *args: Any) -> None:
        begun.append(rounds[0])
        time.sleep(0.01)  # the event loop stands still
        plain(self, *args)
        time.sleep(after)

    def count() -> None:
        while True:
            gevent.sleep(0.001)
            rounds[0] += 1

    monkeypatch.setattr(Context, "load_default_certs", noted)
    counter = gevent.spawn(count)
    certificates = [str(authority.issue(f"client-{number}")) for number in range(8)]
    clients = [
        gevent.spawn(connect, ca=str(authority.certificate), certfile=path, keyfile=path)
        for path in certificates
    ]
    gevent.joinall(clients, raise_error=True)
    counter.kill()
    assert len(begun) == len(set(begun)) == len(certificates)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_goes_on_with_copies(connect: Connect, authority: Authority) -> None:
    """It connects with them, and what it does with its own is not seen by its parent."""
    options = {"ca": str(authority.certificate)}
    first = connect(**options)
    child = os.fork()
    if not child:
        status = 1
        try:
            gevent.reinit()
            status = 0 if connect(**options) is not None else 2
        finally:
            os._exit(status)
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
        gevent.sleep(0.01)  # the server is a greenlet of this process
    assert ended[1] == 0
    assert connect(**options) is first


def test_the_systems_directories_are_looked_at_once_a_while(
    contexts: Contexts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Forty clients that connect at once look once, not forty times."""
    monkeypatch.setattr(module, "GLANCE", 3600.0)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    (tmp_path / "0a1b2c3d.0").write_bytes(b"")
    looks: list[object] = []
    plain = os.listdir

    def look(path: Any) -> list[Any]:
        looks.append(path)
        return plain(path)

    monkeypatch.setattr(os, "listdir", look)
    state = module._state({})
    assert module._state({}) == state
    assert looks == [str(tmp_path)]
    assert str(tmp_path / "0a1b2c3d.0") in state


def test_the_defaults_of_tls_are_kazoos() -> None:
    """Off, verified if it is on, and host names are not compared."""
    with patched():
        client = KazooClient()
    assert (client.use_ssl, client.verify_certs) == (False, True)
    if compares_host_names():
        assert client.check_hostname is False

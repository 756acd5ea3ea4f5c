"""Without monkey patching the event loop goes on, whatever a server or a resolver does."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

from tests.dribble import DribblingProxy
from tests.ports import free_block
from tests.support import run_python
from tests.zookeeper import ZooKeeper
from tests.zookeeper.server import HOST
from tests.zookeeper.tls import Authority, tls_config

LONGEST_GAP = 0.25
# A loop that is blocked stands still every time; a machine that is busy does not take the
# processor from this process every time.
TRIES = 10
LARGE = 5_000_000

PROGRAM = """
import json, os, signal, time
import gevent
from kazoo.client import KazooClient
from kazoo.handlers.threading import KazooTimeoutError
from kazoo_gevent_patch import patch_all
patch_all()

LARGE = {large}
longest = 0.0

def tick():
    global longest
    while True:
        before = time.monotonic()
        gevent.sleep(0.02)
        longest = max(longest, time.monotonic() - before)

def does_not_start(client):
    try:
        client.start(timeout=1.5)
    except KazooTimeoutError:
        return
    raise AssertionError("it started")

gevent.get_hub().threadpool.apply(abs, (1,))  # the first thread of gevent's pool takes a while
ticker = gevent.spawn(tick)
gevent.sleep(0)
{body}
ticker.kill()
print(json.dumps(longest))
"""

UNANSWERED = """
client = KazooClient({address!r}, timeout=1.0, use_ssl=True, verify_certs=False)
does_not_start(client)
client.stop()
"""

BLACK_HOLED = """
for options in ({{}}, {{"use_ssl": True, "verify_certs": False}}):
    client = KazooClient({address!r}, timeout=1.0, **options)
    does_not_start(client)
    client.stop()
"""

LOOK_UP = """
import _socket

def slow(host, *args, original=_socket.getaddrinfo):
    asks = not args[4:] or not args[4] & _socket.AI_NUMERICHOST  # an address is never asked for
    if host in ("slow.test", b"slow.test") and asks:
        time.sleep(2)
        host = "127.0.0.1"
    return original(host, *args)

_socket.getaddrinfo = slow  # Python's function and gevent's threads both end there
client = KazooClient("slow.test:{port}")
before = time.monotonic()
client.start()
assert time.monotonic() - before >= 2
client.stop()
"""

RECEIVING = """
client = KazooClient({address!r}, timeout=20.0, use_ssl=True, verify_certs=False)
client.start()
data = os.urandom(LARGE)
path = client.create("/large-", data, ephemeral=True, sequence=True)
assert client.get(path)[0] == data
client.stop()
"""

SENDING = """
client = KazooClient({address!r}, timeout=20.0, use_ssl=True, verify_certs=False)
client.start()
path = client.create("/large-", b"", ephemeral=True, sequence=True)
os.kill({pid}, signal.SIGSTOP)
results = [client.set_async(path, os.urandom(LARGE)) for _ in range(3)]
gevent.sleep(1)
assert not any(result.ready() for result in results)
os.kill({pid}, signal.SIGCONT)
assert all(result.get(timeout=30) for result in results)
client.stop()
"""


def expect_ticks(body: str) -> None:
    """Run the body of a program, and expect its ticker never to have waited long."""
    gaps: list[float] = []
    while len(gaps) < TRIES:
        result = run_python(PROGRAM.format(large=LARGE, body=body))
        gaps.append(json.loads(result.stdout))
        print(f"the longest gap between ticks: {gaps[-1]:.3f} s")
        if gaps[-1] <= LONGEST_GAP:
            return
    pytest.fail(f"the event loop stood still for {gaps} s in {TRIES} runs")


@dataclass(frozen=True)
class Server:
    """A server, and its port for TLS."""

    zookeeper: ZooKeeper
    port: int


@pytest.fixture(scope="module")
def server(own_servers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a port for TLS."""
    port = free_block([0])
    certificate = Authority(tmp_path_factory.mktemp("tls")).issue("server")
    with ZooKeeper(
        extra_config=tls_config(certificate, port, HOST), jute_maxbuffer=2 * LARGE
    ) as zookeeper:
        yield Server(zookeeper, port)


@contextmanager
def full_listener() -> Iterator[tuple[str, int]]:
    """Give an address where Linux drops what comes: nobody accepts, and the queue is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((HOST, 0), backlog=0))
        address = listener.getsockname()
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        with pytest.raises(TimeoutError):
            socket.create_connection(address, timeout=0.5)
        yield address


def test_a_handshake_that_is_not_answered() -> None:
    """A peer accepts the connection and says nothing."""
    with socket.create_server((HOST, 0)) as listener:
        expect_ticks(UNANSWERED.format(address=f"{HOST}:{listener.getsockname()[1]}"))
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(1) == b"\x16"  # the type of TLS's handshake


def test_a_handshake_that_is_dribbled(server: Server) -> None:
    """A peer sends what a TLS server says a byte at a time; the client gives up in time."""
    with DribblingProxy((HOST, server.port), interval=0.02) as proxy:
        expect_ticks(UNANSWERED.format(address=f"{HOST}:{proxy.address[1]}"))
        assert proxy.dribbled > 10


def test_a_look_up_that_takes_two_seconds(server: Server) -> None:
    """The name of the server is looked up in a thread."""
    expect_ticks(LOOK_UP.format(port=server.zookeeper.port))


def test_a_tls_server_that_sends_five_megabytes(server: Server) -> None:
    """A large node is written and read over TLS."""
    expect_ticks(RECEIVING.format(address=f"{HOST}:{server.port}"))


def test_a_tls_server_that_does_not_read(server: Server) -> None:
    """What is to be written waits, and does not spin, until the server goes on."""
    try:
        expect_ticks(SENDING.format(address=f"{HOST}:{server.port}", pid=server.zookeeper.pid))
    finally:
        server.zookeeper.resume()


def test_a_connect_that_is_black_holed() -> None:
    """Neither with TLS nor without."""
    with full_listener() as (host, port):
        expect_ticks(BLACK_HOLED.format(address=f"{host}:{port}"))

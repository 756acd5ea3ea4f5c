"""The buffered connection and ``select``, on real sockets."""

from __future__ import annotations

import errno
import io
import resource
import socket as plain_socket
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

import gevent
import pytest
from gevent import socket
from greenlet import getcurrent, greenlet

from kazoo_gevent_patch.wire import connection as connection_module
from kazoo_gevent_patch.wire import sending
from kazoo_gevent_patch.wire.connection import Connection
from kazoo_gevent_patch.wire.descriptor import READ, WRITE, DescriptorEvents
from kazoo_gevent_patch.wire.selector import Selector
from kazoo_gevent_patch.wire.wake_channel import WakeReader, wake_channel
from tests.native import NativeThread
from tests.support import wait_until

Pair = tuple[Connection, socket.socket]


@pytest.fixture
def selector() -> Selector:
    """Give a selector of its own."""
    return Selector()


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Give a connection, non-blocking as kazoo has it, and the peer's end."""
    left, right = socket.socketpair()
    connection = Connection(left)
    connection.setblocking(False)
    yield connection, right
    connection.close()
    right.close()


def receive_exactly(selector: Selector, connection: Connection, size: int) -> bytes:
    """Read as kazoo does: select unless something is pending, then recv the rest."""
    parts = []
    while size > 0:
        if not connection.pending():
            assert selector.select([connection], [], [], 5)[0] == [connection]
        part = connection.recv(size)
        assert part, "end of file"
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def test_small_reads_are_served_from_one_large_one(selector: Selector, pair: Pair) -> None:
    """After the first recv the rest of what came is pending, and comes in order."""
    connection, peer = pair
    peer.sendall(b"abcdefghij")
    assert connection.pending() == 0
    assert receive_exactly(selector, connection, 4) == b"abcd"
    assert connection.pending() == 6
    assert connection.recv(3) == b"efg"
    assert connection.recv(100) == b"hij"
    assert connection.pending() == 0


def test_a_reply_that_was_not_received_is_not_pending(selector: Selector, pair: Pair) -> None:
    """kazoo asks ``handler.select`` for it, in whose place a program may have put its own."""
    connection, peer = pair
    peer.sendall(b"abcd")
    assert selector.select([connection], [], [], 5)[0] == [connection]
    assert connection.pending() == 0
    assert connection.recv(4) == b"abcd"


def test_what_else_a_socket_has_is_the_sockets_own(pair: Pair) -> None:
    """Programs ask the connection for its addresses and options, as they ask a socket."""
    connection, peer = pair
    connection.setsockopt(plain_socket.SOL_SOCKET, plain_socket.SO_KEEPALIVE, 1)
    assert connection.getsockopt(plain_socket.SOL_SOCKET, plain_socket.SO_KEEPALIVE)
    assert connection.family == plain_socket.AF_UNIX
    assert (connection.fileno(), connection.gettimeout()) == (connection._sock.fileno(), 0)
    connection.shutdown(plain_socket.SHUT_WR)
    assert peer.recv(1) == b""
    assert not hasattr(connection, "getpeercert")  # that is what a TLS socket has


def test_reading_an_empty_connection_raises_what_a_socket_raises(pair: Pair) -> None:
    """Non-blocking, with nothing to read: BlockingIOError."""
    with pytest.raises(BlockingIOError):
        pair[0].recv(4)


def test_a_blocking_connection_waits_as_a_socket_does(pair: Pair) -> None:
    """With a time-out set, recv waits, returns what came, and times out after."""
    connection, peer = pair
    connection.settimeout(5)
    gevent.spawn(peer.sendall, b"imok")
    assert connection.recv(8192) == b"imok"
    connection.settimeout(0.01)
    with pytest.raises(TimeoutError):
        connection.recv(8192)


def test_end_of_file_is_empty_bytes_after_all_data(selector: Selector, pair: Pair) -> None:
    """What came before the peer closed is read first; then recv returns b'' each time."""
    connection, peer = pair
    peer.sendall(b"last words")
    peer.close()
    assert receive_exactly(selector, connection, 4) == b"last"
    assert receive_exactly(selector, connection, 6) == b" words"
    for _ in range(2):
        assert selector.select([connection], [], [], 5)[0] == [connection]
        assert connection.recv(4) == b""


def test_a_reset_is_an_os_error() -> None:
    """A connection that the peer resets is readable, and recv raises OSError."""
    with plain_socket.create_server(("127.0.0.1", 0)) as server:
        connection = Connection(socket.create_connection(server.getsockname(), 5))
        connection.setblocking(False)
        accepted, _ = server.accept()
        linger_zero = b"\x01\0\0\0\0\0\0\0"
        accepted.setsockopt(plain_socket.SOL_SOCKET, plain_socket.SO_LINGER, linger_zero)
        accepted.close()
        assert Selector().select([connection], [], [], 5)[0] == [connection]
        with pytest.raises(ConnectionResetError):
            connection.recv(4)
        connection.close()


@pytest.mark.parametrize("size", [1, 70_000, 3_000_000])
def test_a_message_in_any_pieces_arrives_whole(selector: Selector, pair: Pair, size: int) -> None:
    """Messages smaller and larger than a read, sent in pieces, are put together."""
    connection, peer = pair
    message = bytes(number % 251 for number in range(size))
    gevent.spawn(peer.sendall, message + b"next")
    assert receive_exactly(selector, connection, size) == message
    assert receive_exactly(selector, connection, 4) == b"next"


@pytest.mark.parametrize("size", [500, 5_000])
def test_a_message_in_one_byte_segments_costs_one_receive_each(
    selector: Selector, pair: Pair, size: int
) -> None:
    """The work grows with the message and no faster: nothing is received or kept twice."""
    connection, peer = pair
    message = bytes(number % 256 for number in range(size))
    received: list[int] = []
    sock = connection._sock

    class Counted:
        def recv(self, size: int, flags: int = 0) -> bytes:
            data: bytes = sock.recv(size, flags)
            received.append(len(data))
            return data

        def __getattr__(self, name: str) -> object:
            return getattr(sock, name)

    connection._sock = Counted()
    parts = []
    for number in range(size):
        peer.sendall(message[number : number + 1])
        parts.append(receive_exactly(selector, connection, 1))
    assert b"".join(parts) == message
    assert received == [1] * size


def test_a_large_message_is_taken_whole_and_told_as_it_leaves(
    selector: Selector, pair: Pair
) -> None:
    """kazoo sends the rest of what it takes for not yet sent, and waits for room in between."""
    connection, peer = pair
    data = bytes(number % 251 for number in range(3_000_000))
    connection.send(b"small")
    sent = connection.send(memoryview(data))
    assert 0 < sent < len(data)
    assert len(connection.behind) >= len(data) - sent
    assert selector.select([], [connection], [], 0) == ([], [], [])
    received, pieces = b"", 1
    while sent < len(data):
        received += peer.recv(100_000)
        if selector.select([], [connection], [], 0)[1]:
            told = connection.send(memoryview(data)[sent:])
            assert told > 0
            sent, pieces = sent + told, pieces + 1
        assert len(received) + len(connection.behind) <= len(data) + 5
    assert pieces > 5
    assert len(connection.behind) < sending.WRITE_SIZE
    connection.send(b"next")
    while not received.endswith(b"next"):
        received += peer.recv(1 << 20)
        connection.flush()
    assert received == b"small" + data + b"next"


def test_the_last_request_of_the_queue_leaves_at_once(pair: Pair) -> None:
    """What is sent while no other request waits is not kept back until select."""
    _, peer = pair
    reader, writer = wake_channel()
    connection = Connection(pair[0]._sock, reader)
    connection.setblocking(False)
    peer.setblocking(False)
    writer.send(b"\0\0")  # two requests
    connection.send(b"first")
    with pytest.raises(BlockingIOError):
        peer.recv(100)
    reader.recv(1)
    connection.send(b"second")
    assert peer.recv(100) == b"firstsecond"


def test_a_read_allocates_no_more_than_its_limit(pair: Pair) -> None:
    """The length a peer announces is not what is asked of the socket at once."""
    connection, _ = pair
    asked: list[int] = []

    class Recorder:
        def recv(self, size: int, flags: int = 0) -> bytes:
            asked.append(size)
            return b"x"

    sock, connection._sock = connection._sock, Recorder()
    try:
        connection.recv(2**31 - 1)
    finally:
        connection._sock = sock
    assert asked == [connection_module.LARGEST_READ]


def test_a_full_connection_is_not_writable_until_the_peer_reads(
    selector: Selector, pair: Pair
) -> None:
    """select for writing waits for room; every byte arrives once."""
    connection, peer = pair
    sent, rest = 0, b""
    while selector.select([], [connection], [], 0)[1]:
        if not rest:
            rest = b"x" * 65536
            sent += len(rest)
        rest = rest[connection.send(rest) :]
    assert rest
    assert selector.select([], [connection], [], 0.01) == ([], [], [])
    waiting = gevent.spawn(selector.select, [], [connection], [], 10)
    received = len(peer.recv(65536))
    assert waiting.get(timeout=5) == ([], [connection], [])
    while received < sent:
        received += len(peer.recv(65536))
        connection.flush()
    assert received == sent


either_way = pytest.mark.parametrize("kind", [float, int])
"""kazoo's connection loop passes its time-out as a float, and that is answered by itself."""


@either_way
def test_select_tells_a_request_and_a_reply_apart(
    selector: Selector, pair: Pair, kind: type[float]
) -> None:
    """With the connection and the wake channel in one list, what is ready is returned."""
    connection, peer = pair
    reader, writer = wake_channel()
    both = [connection, reader]
    assert selector.select(both, [], [], 0) == ([], [], [])
    assert selector.select(both, [], [], 0.001) == ([], [], [])
    writer.send(b"\0")
    assert selector.select(both, [], [], kind(5)) == ([reader], [], [])
    peer.sendall(b"reply")
    # While there are requests to take, it looks for replies once in a time slice.
    wait_until(lambda: selector.select(both, [], [], kind(5)) == (both, [], []), sleep=gevent.sleep)
    reader.recv(1)
    assert selector.select(both, [], [], kind(5)) == ([connection], [], [])


@either_way
@pytest.mark.parametrize("source", ["reply", "request"])
def test_either_source_ends_the_wait(
    selector: Selector, pair: Pair, source: str, kind: type[float]
) -> None:
    """A waiting select wakes for a reply and for a request."""
    connection, peer = pair
    reader, writer = wake_channel()
    waiting = gevent.spawn(selector.select, [connection, reader], [], [], kind(30))
    gevent.sleep(0)
    if source == "reply":
        peer.sendall(b"x")
    else:
        writer.send(b"\0")
    expected = [connection] if source == "reply" else [reader]
    assert waiting.get(timeout=5) == (expected, [], [])


@either_way
def test_what_had_no_room_is_sent_while_select_waits(
    selector: Selector, pair: Pair, kind: type[float]
) -> None:
    """The last requests leave when the peer reads again, though nobody sends any more."""
    connection, peer = pair
    reader, writer = wake_channel()
    sent = 0
    while selector.select([], [connection], [], 0)[1]:
        sent += connection.send(b"x" * 1000)
    waiting = gevent.spawn(selector.select, [connection, reader], [], [], kind(30))
    wait_until(lambda: connection.events._is_used, sleep=gevent.sleep)
    received = 0
    with gevent.Timeout(10):
        while received < sent:
            received += len(peer.recv(65536))
    assert not waiting.ready()
    writer.send(b"\0")
    assert waiting.get(timeout=5) == ([reader], [], [])


def test_who_looks_at_the_wake_channel_alone_is_not_the_connection_greenlet(
    selector: Selector, pair: Pair
) -> None:
    """Else that greenlet would no longer give way when it issues many requests."""
    connection, _ = pair
    reader, _ = wake_channel()
    connection_greenlet = gevent.spawn(selector.select, [connection, reader], [], [], 0)
    connection_greenlet.join()
    selector.select([reader], [], [], 0)
    assert selector.greenlet is connection_greenlet


def test_a_connection_in_both_lists_is_reported_in_both(selector: Selector, pair: Pair) -> None:
    """Unlike kazoo's own select, which forgets that it is writable."""
    connection, peer = pair
    peer.sendall(b"x")
    assert selector.select([connection], [connection], [], 5) == ([connection], [connection], [])
    plain = peer
    connection.send(b"y")
    connection.flush()
    assert selector.select([plain], [plain], [], 5) == ([plain], [plain], [])


def test_any_object_with_a_descriptor_may_be_selected(selector: Selector, pair: Pair) -> None:
    """Sockets, numbers and connections mix; a connection's read-ahead counts."""
    connection, peer = pair
    peer.sendall(b"abcdef")
    fd = peer.fileno()
    assert receive_exactly(selector, connection, 2) == b"ab"
    assert selector.select([connection, fd], [fd], [], 5) == ([connection], [fd], [])
    assert selector.select([fd], [], [], 0.01) == ([], [], [])


@pytest.mark.parametrize("collection", [list, tuple, set, dict.fromkeys])
def test_any_collection_may_be_selected(
    selector: Selector, pair: Pair, collection: Callable[[list[Any]], Any]
) -> None:
    """As with select.select: also sets and dictionaries, which have no index."""
    connection, peer = pair
    peer.sendall(b"x")
    for item in (connection, connection.fileno()):
        assert selector.select(collection([item]), [], [], 5.0) == ([item], [], [])
        assert selector.select([], collection([item]), [], 5.0) == ([], [item], [])


def test_descriptors_above_a_thousand_are_fine(selector: Selector) -> None:
    """select.select's limit does not apply."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2200), hard))
    sockets = [plain_socket.socket() for _ in range(1100)]
    try:
        assert sockets[-1].fileno() > 1024
        writable = selector.select([], sockets[-2:], [], 5)[1]
        assert writable == sockets[-2:]  # an unconnected socket reports a hang-up
    finally:
        for sock in sockets:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_closing_ends_a_wait_with_an_error_on_recv(selector: Selector, pair: Pair) -> None:
    """close() while another greenlet waits: it goes on at once and recv raises OSError."""
    connection, _ = pair
    waiting = gevent.spawn(selector.select, [connection], [], [], 30)
    gevent.sleep(0)
    connection.close()
    assert waiting.get(timeout=5) == ([connection], [], [])
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the number tells
        connection.recv(4)
    assert caught.value.errno == errno.EBADF


def test_a_closed_connection_stays_readable(selector: Selector, pair: Pair) -> None:
    """Each recv after close() raises, and no select waits for what has its descriptor now."""
    connection, _ = pair
    connection.close()
    reader, _ = wake_channel()
    for rlist in ([connection], [connection, reader]):
        assert selector.select(rlist, [], [], 30.0) == ([connection], [], [])
        with pytest.raises(OSError):  # noqa: PT011 - any
            connection.recv(4)


def test_what_was_read_ahead_is_gone_when_the_connection_is_closed(
    selector: Selector, pair: Pair
) -> None:
    """As with a socket. So no select waits for what has the descriptor now, once it is read."""
    connection, peer = pair
    peer.sendall(b"abcdefgh")
    assert receive_exactly(selector, connection, 4) == b"abcd"
    connection.close()
    assert connection.pending() == 0
    assert selector.select([connection], [], [], 30.0) == ([connection], [], [])
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the number tells
        connection.recv(4)
    assert caught.value.errno == errno.EBADF


def test_a_killed_wait_leaves_the_connection_usable(selector: Selector, pair: Pair) -> None:
    """A greenlet killed, or timed out, in select leaves nothing registered behind."""
    connection, peer = pair
    reader, _ = wake_channel()
    for _ in range(3):
        waiting = gevent.spawn(selector.select, [connection, reader], [], [], 30)
        gevent.sleep(0)
        waiting.kill()
    peer.sendall(b"x")
    assert selector.select([connection, reader], [], [], 5) == ([connection], [], [])


def test_two_greenlets_may_not_wait_for_one_connection(selector: Selector, pair: Pair) -> None:
    """The second gets gevent's error, and the first still its data."""
    connection, peer = pair
    first = gevent.spawn(selector.select, [connection], [], [], 30)
    wait_until(lambda: connection.events._is_used, sleep=gevent.sleep)
    with pytest.raises(gevent.exceptions.ConcurrentObjectUseError):
        selector.select([connection], [], [], 5)
    peer.sendall(b"x")
    assert first.get(timeout=5) == ([connection], [], [])


with_or_without_requests = pytest.mark.parametrize("others", [[], [wake_channel()[0]]])


@with_or_without_requests
def test_the_time_out_is_kept_over_false_alarms(
    selector: Selector, pair: Pair, others: list[WakeReader]
) -> None:
    """A wake-up without anything ready behind it does not look like a time-out."""
    connection, peer = pair
    waiting = gevent.spawn(selector.select, [connection, *others], [], [], 30.0)
    wait_until(lambda: connection.events._is_used, sleep=gevent.sleep)
    gevent.get_hub().loop.run_callback(connection.events._place.switch, 0)
    gevent.sleep(0.01)  # time for the false alarm to be answered wrongly
    assert not waiting.ready()
    peer.sendall(b"x")
    assert waiting.get(timeout=5) == ([connection], [], [])


@with_or_without_requests
def test_what_is_there_at_the_deadline_is_seen(
    selector: Selector, pair: Pair, others: list[WakeReader]
) -> None:
    """The loop stood still past the deadline, while a reply came: it is not a time-out."""
    connection, peer = pair
    waiting = gevent.spawn(selector.select, [connection, *others], [], [], 0.05)
    gevent.sleep(0)
    peer.sendall(b"x")
    end = perf_counter() + 0.1
    while perf_counter() < end:
        pass
    assert waiting.get(timeout=5) == ([connection], [], [])


def test_a_greenlet_of_a_destroyed_event_loop_waits_in_the_next_one() -> None:
    """It goes on because something else resumes it."""
    ready: list[object] = []

    def select(main: greenlet) -> None:
        ours, peers = plain_socket.socketpair()
        selector, connection = Selector(), Connection(ours)
        connection.setblocking(False)
        main.switch()
        ready.append(selector.select([connection], [], [], 0.01))
        peers.send(b"x")
        ready.append(selector.select([connection], [], [], 30.0) == ([connection], [], []))
        connection.close()
        peers.close()
        main.switch()

    def run() -> None:
        main = getcurrent()
        selecting = greenlet(select, gevent.get_hub())
        selecting.switch(main)
        gevent.get_hub().destroy(destroy_loop=True)
        selecting.switch()
        gevent.get_hub().destroy(destroy_loop=True)

    NativeThread(run).get()
    assert ready == [([], [], []), True]


def test_a_wake_up_that_comes_when_nobody_waits_is_forgotten(
    selector: Selector, pair: Pair
) -> None:
    """The place is kept: what it was told between two waits is not news for the second one."""
    connection, _ = pair
    assert selector.select([connection], [], [], 0.01) == ([], [], [])
    connection.events._place.switch(READ)
    assert selector.select([connection], [], [], 0.01) == ([], [], [])


def test_waiting_to_write_does_not_spin_on_what_there_is_to_read(
    selector: Selector, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full connection with a reply in it: one wait, not thousands."""
    connection, peer = pair
    while selector.select([], [connection], [], 0)[1]:
        connection.send(b"x" * 65536)
    peer.sendall(b"reply")
    waits: list[int] = []
    wait = DescriptorEvents.wait

    def counted(self: DescriptorEvents, events: int, *arguments: Any) -> int:
        waits.append(events)
        return wait(self, events, *arguments)

    monkeypatch.setattr(DescriptorEvents, "wait", counted)
    assert selector.select([], [connection], [], 0.1) == ([], [], [])
    assert waits == [WRITE]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (([], [], [], "soon"), TypeError),
        (([], [], [], -1), ValueError),
        (([object()], [], [], 0), TypeError),
        (([-1], [], [], 0), TypeError),
        (([io.StringIO()], [], [], 0), TypeError),
    ],
)
def test_bad_arguments_raise_what_kazoos_select_raises(
    selector: Selector, arguments: tuple[object, ...], error: type[Exception]
) -> None:
    """The errors are those of kazoo's selector_select."""
    with pytest.raises(error):
        selector.select(*arguments)  # type: ignore[arg-type]


def test_a_closed_descriptor_is_a_value_error(selector: Selector) -> None:
    """As kazoo's select has it."""
    sock = plain_socket.socket()
    fd = sock.fileno()
    sock.close()
    with pytest.raises(ValueError, match=str(fd)):
        selector.select([fd], [], [], 0)


class Quick:
    """A socket whose peer reads and writes as fast as one can write and read."""

    def send(self, data: bytes) -> int:
        """Take everything."""
        return len(data)

    def recv(self, size: int) -> bytes:
        """Give all that is asked for."""
        return bytes(size)

    def pending(self) -> int:
        """Return that a TLS object has nothing in memory."""
        return 0


def read_requests(selector: Selector, _: Connection, reader: WakeReader) -> None:
    """Ask for requests, of which there is always one."""
    assert selector.select([reader], [], [], 5)[0] == [reader]


def read_requests_of_a_session(
    selector: Selector, connection: Connection, reader: WakeReader
) -> None:
    """Ask as kazoo's connection loop does."""
    assert selector.select([connection, reader], [], [], 5.0)[0] == [reader]


def read_replies(selector: Selector, connection: Connection, reader: WakeReader) -> None:
    """Read replies as kazoo's connection loop does; there is always one, and a request waits."""
    ready = selector.select([connection, reader], [], [], 5.0)[0]
    assert reader in ready
    if connection in ready:
        assert receive_exactly(selector, connection, 4) == bytes(4)


def write_a_large_message(selector: Selector, connection: Connection, _: WakeReader) -> None:
    """Send a piece of a message that has no end."""
    assert selector.select([], [connection], [], 5.0)[1] == [connection]
    assert connection.send(bytes(sending.WRITE_SIZE))


@pytest.mark.parametrize("is_tls", [False, True])
@pytest.mark.parametrize(
    "work", [read_requests, read_requests_of_a_session, read_replies, write_a_large_message]
)
def test_a_busy_select_lets_timers_run(
    selector: Selector,
    pair: Pair,
    monkeypatch: pytest.MonkeyPatch,
    work: Callable[[Selector, Connection, WakeReader], None],
    is_tls: bool,
) -> None:
    """A loop that always finds something to do does not starve the event loop."""
    connection, peer = pair
    reader, writer = wake_channel()
    writer.send(b"\0")
    uses_quick = work in (read_replies, write_a_large_message)
    ticks: list[float] = []

    def tick() -> None:
        while len(ticks) < 5:
            gevent.sleep(0.001)
            ticks.append(perf_counter())

    ticker = gevent.spawn(tick)
    deadline = perf_counter() + 10
    with monkeypatch.context() as patch:
        if uses_quick:
            peer.send(b"\0")  # nobody receives it, so that the descriptor stays readable
            sock = connection._sock
            connection._use(Quick())
            patch.setattr(connection, "_is_tls", is_tls)
        while not ticker.ready() and perf_counter() < deadline:
            work(selector, connection, reader)
    if uses_quick:
        connection._use(sock)
    assert len(ticks) == 5

"""A connection that the event loop's thread and the helper thread use, each stopped at will."""

from __future__ import annotations

import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import gevent.ssl

from kazoo_gevent_patch.heartbeats.sessions import HEARTBEAT
from kazoo_gevent_patch.wire import connection, sending
from kazoo_gevent_patch.wire.connection import Connection
from kazoo_gevent_patch.wire.wake_channel import wake_channel
from tests.zookeeper.tls import Authority


def message(number: int, size: int) -> bytes:
    """Return a message of a request, framed."""
    return struct.pack("!i", size) + bytes([number]) * size


class Exclusive:
    """A socket that two threads must not use at once, as an object of ``ssl``."""

    USES = frozenset(("send", "recv", "pending", "close"))

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._is_tls = hasattr(sock, "pending")
        self._user: int | None = None
        self.meanwhile: Callable[[], object] | None = None
        """Called once, in the next use."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._sock, name)
        if name not in self.USES:
            return found

        def use(*args: Any) -> Any:
            # Of sockets without TLS, one may be written to while it is read.
            is_alone = self._user is None or (not self._is_tls and name == "send")
            assert is_alone, f"{name}() while another thread uses the socket"
            self._user = threading.get_ident()
            meanwhile, self.meanwhile = self.meanwhile, None
            try:
                if meanwhile is not None:
                    meanwhile()
                return found(*args)
            finally:
                self._user = None

        return use


class Line:
    """A connection, its peer, and what has passed."""

    def __init__(self, left: Any, right: Any) -> None:
        reader, self._writer = wake_channel()
        self._reader = reader
        self.connection = Connection(left, reader)
        self.connection.setblocking(False)
        self.connection._use(Exclusive(self.connection._sock))
        self._peer = right
        self._peer.setblocking(False)
        self._received = b""
        self.sent: list[bytes] = []
        self.is_over = False
        """Whether the last message is about to be sent."""

    def is_wanted(self) -> bool:
        """Return whether a heartbeat may still be sent."""
        return not self.is_over

    def send(self, data: bytes, *, more: bool = False) -> None:
        """Send as kazoo does: the channel says whether more requests wait."""
        self._writer.send(b"\0\0" if more else b"\0")
        self.sent.append(data)
        rest = memoryview(data)
        while rest:
            if self.connection.writable():
                rest = rest[self.connection.send(rest) :]
            else:
                self.receive()
        self._reader.recv(2)

    def answer(self, data: bytes) -> None:
        """Have the peer send something."""
        self._peer.sendall(data)

    def receive(self) -> None:
        """Have the peer receive what has come."""
        with suppress(BlockingIOError, ssl.SSLWantReadError, ConnectionError):
            while data := self._peer.recv(1 << 16):
                self._received += data

    def hang_up(self) -> None:
        """Have the peer close the connection."""
        self._peer.close()

    def messages(self) -> list[bytes]:
        """Return what the peer has received, which must be whole messages."""
        self.receive()
        found, rest = [], self._received
        while rest:
            end = 4 + struct.unpack_from("!i", rest)[0]
            assert end <= len(rest), "a message is not whole"
            found.append(rest[:end])
            rest = rest[end:]
        return found

    def check(self, heartbeats: int) -> None:
        """Check that all has come, in order, and so many heartbeats."""
        found = self.messages()
        assert [data for data in found if data != HEARTBEAT] == self.sent
        assert found.count(HEARTBEAT) == heartbeats
        if self.is_over:
            assert found[-1] == self.sent[-1]


def tls_pair(directory: Path) -> tuple[Any, Any]:
    """Return the two ends of a connection that speaks TLS, shaken hands."""
    authority = Authority(directory)
    there = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    there.load_cert_chain(authority.issue("server"))
    here = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    here.load_verify_locations(authority.certificate)
    left, right = socket.socketpair()
    shaken: list[ssl.SSLSocket] = []
    peer = threading.Thread(
        target=lambda: shaken.append(there.wrap_socket(right, server_side=True))
    )
    peer.start()
    wrapped = here.wrap_socket(left, server_hostname="localhost")
    peer.join(10)
    return wrapped, shaken[0]


def stop_before(step: int, function: Callable[[], object], meanwhile: Callable[[], object]) -> bool:
    """Call the function, and something else before that step of it; return if it has so many."""
    steps = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal steps
        if frame.f_code.co_filename not in (connection.__file__, sending.__file__):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            if steps == step:
                meanwhile()
            steps += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return steps > step


def in_thread(function: Callable[[], object]) -> None:
    """Call the function in another native thread, and wait for it; raise what it raises."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            function()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    for error in raised:
        raise error

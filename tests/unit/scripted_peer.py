"""A peer that speaks just enough of ZooKeeper's protocol to misplace its bytes exactly.

It answers every read with the path that was asked for. What is scripted is when and in which
pieces the answers leave, and where the connection is cut. Everything about the protocol
itself is tested on a real server.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import gevent
from gevent.server import StreamServer

SESSION: Final = 0x1234
_GET_DATA: Final = 4
_PING: Final = 11
_CLOSE: Final = -11
_STAT: Final = struct.pack("!qqqqiiiqiiq", 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1)


@dataclass(frozen=True)
class Schedule:
    """How the peer delivers what it has to say, the same way over and over."""

    pieces: tuple[int, ...]
    """The sizes of the pieces in which bytes leave, in turn."""

    hold: int
    """How many answers are collected before any of them leaves."""

    delays: tuple[float, ...]
    """Seconds of silence before each piece, in turn."""

    cuts: tuple[int, ...]
    """After how many answers each of the first connections is cut, in the middle of one."""


class ScriptedPeer:
    """A server on a loopback port that follows a schedule."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._server = StreamServer(("127.0.0.1", 0), self._serve)
        self._connections = 0

    def __enter__(self) -> ScriptedPeer:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(timeout=1)

    @property
    def hosts(self) -> str:
        """The connect string."""
        return f"127.0.0.1:{self._server.server_port}"

    def _serve(self, sock: Any, _: object) -> None:
        with suppress(ConnectionError):
            _Conversation(sock, self._schedule, self._next_cut()).run()
        sock.close()

    def _next_cut(self) -> int | None:
        number, self._connections = self._connections, self._connections + 1
        cuts = self._schedule.cuts
        return cuts[number] if number < len(cuts) else None


class _Conversation:
    def __init__(self, sock: Any, schedule: Schedule, cut: int | None) -> None:
        self._sock = sock
        self._schedule = schedule
        self._cut = cut
        self._turn = 0

    def run(self) -> None:
        requests = self._requests()
        next(requests)  # the handshake
        self._sock.sendall(
            _framed(struct.pack("!iiqi", 0, 10_000, SESSION, 16) + b"p" * 16 + b"\0")
        )
        answered, held = 0, b""
        for request in requests:
            xid, kind = struct.unpack_from("!ii", request)
            held += _framed(_answer(xid, kind, request))
            answered += kind == _GET_DATA
            if self._cut is not None and answered > self._cut:
                self._deliver(held[: len(held) // 2 + 1])
                return
            if kind in (_PING, _CLOSE) or answered % self._schedule.hold == 0:
                self._deliver(held)
                held = b""
            if kind == _CLOSE:
                return

    def _deliver(self, data: bytes) -> None:
        schedule = self._schedule
        while data:
            size = schedule.pieces[self._turn % len(schedule.pieces)]
            gevent.sleep(schedule.delays[self._turn % len(schedule.delays)])
            self._sock.sendall(data[:size])
            data = data[size:]
            self._turn += 1

    def _requests(self) -> Iterator[bytes]:
        buffer = b""
        while received := self._sock.recv(65536):
            buffer += received
            while len(buffer) >= 4 and len(buffer) >= (end := 4 + _length(buffer)):
                yield buffer[4:end]
                buffer = buffer[end:]


def _answer(xid: int, kind: int, request: bytes) -> bytes:
    header = struct.pack("!iqi", xid, 1, 0)
    if kind != _GET_DATA:
        return header
    path = request[12 : 12 + struct.unpack_from("!i", request, 8)[0]]
    return header + struct.pack("!i", len(path)) + path + _STAT


def _framed(message: bytes) -> bytes:
    return struct.pack("!i", len(message)) + message


def _length(buffer: bytes) -> int:
    length: int = struct.unpack_from("!i", buffer)[0]
    return length

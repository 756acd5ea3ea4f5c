"""A peer that speaks just enough of ZooKeeper's protocol to misplace its bytes exactly.

It answers every read with the path that was asked for. What is scripted is when and in which
pieces the answers leave, where the connection is cut, and what a hostile peer makes of an
answer. Everything about the protocol itself is tested on a real server.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import gevent
from gevent.pool import Pool
from gevent.server import StreamServer

from tests.unit.wire.attacks import Attack, framed

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

    session_timeout: float = 10.0
    """Seconds that the peer tells the client at the handshake."""


AT_ONCE: Final = Schedule(pieces=(1 << 20,), hold=1, delays=(0,), cuts=())
"""Every answer by itself, whole and without delay."""


class ScriptedPeer:
    """A server on a loopback port that follows a schedule.

    The first connections each suffer one of the attacks; those that follow are honest.
    """

    def __init__(self, schedule: Schedule, attacks: Sequence[Attack] = ()) -> None:
        self.schedule = schedule
        self._attacks = attacks
        self._server = StreamServer(("127.0.0.1", 0), self._serve, spawn=Pool())
        self._connections = 0
        self.fell_silent = False
        """An attack has been carried out whose end is silence."""

    def __enter__(self) -> ScriptedPeer:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(timeout=1)

    def hang_up(self) -> None:
        """Close every connection, and take no more."""
        self._server.stop(timeout=0)

    @property
    def hosts(self) -> str:
        """The connect string."""
        return f"127.0.0.1:{self._server.server_port}"

    def _serve(self, sock: Any, _: object) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # pieces stay pieces
        number, self._connections = self._connections, self._connections + 1
        cuts, attacks = self.schedule.cuts, self._attacks
        cut = cuts[number] if number < len(cuts) else None
        attack = attacks[number] if number < len(attacks) else None
        try:
            with suppress(ConnectionError):
                _Conversation(self, sock, cut, attack).run()
        finally:
            sock.close()


class _Conversation:
    def __init__(
        self, peer: ScriptedPeer, sock: Any, cut: int | None, attack: Attack | None
    ) -> None:
        self._peer = peer
        self._sock = sock
        self._schedule = peer.schedule
        self._cut = cut
        self._attack = attack
        self._turn = 0
        self._frames = 0
        self._late = b""
        self._swallowed_perhaps = False

    def run(self) -> None:
        requests = self._requests()
        if next(requests, None) is None:  # the handshake
            return
        timeout = round(self._schedule.session_timeout * 1000)
        self._sock.sendall(
            self._attacked(struct.pack("!iiqi", 0, timeout, SESSION, 16) + b"p" * 16 + b"\0")
        )
        self._go_on_or_not(requests)
        answered, held = 0, b""
        for request in requests:
            xid, kind = struct.unpack_from("!ii", request)
            if kind == _PING and self._swallowed_perhaps:
                # To any client, a peer that answers heartbeats and never the request is just slow.
                continue
            held += self._attacked(_answer(xid, kind, request))
            answered += kind == _GET_DATA
            if self._cut is not None and answered > self._cut:
                self._deliver(held[: len(held) // 2 + 1])
                return
            if kind in (_PING, _CLOSE) or answered % self._schedule.hold == 0:
                self._deliver(held)
                held = b""
            self._go_on_or_not(requests)
            if kind == _CLOSE:
                return

    def _attacked(self, message: bytes) -> bytes:
        """Return the message in its frame, or what a hostile peer sends instead."""
        frame, self._frames = framed(message), self._frames + 1
        late, self._late = self._late, b""
        attack = self._attack
        self._swallowed_perhaps = attack is not None and attack.at == self._frames - 1
        if attack is None or not self._swallowed_perhaps:
            return frame + late
        if attack.kind == "late":
            self._late = frame
        return attack.mangled(frame)

    def _go_on_or_not(self, requests: Iterator[bytes]) -> None:
        attack = self._attack
        if attack is None or attack.at != self._frames - 1 or attack.then == "go on":
            return
        if attack.then == "silence":
            self._peer.fell_silent = True
            for _ in requests:  # until the client hangs up
                pass
        elif attack.then == "reset":
            # Closing with something unsent, or with no time to send it, resets the connection.
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            socket.close(self._sock.detach())  # at once; gevent's close() waits for the loop
        raise ConnectionAbortedError(attack.then)

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


def _length(buffer: bytes) -> int:
    length: int = struct.unpack_from("!i", buffer)[0]
    return length

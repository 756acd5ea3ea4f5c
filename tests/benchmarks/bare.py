"""A ZooKeeper client made of a blocking socket and nothing else: the yardstick."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Sequence
from typing import Final

_CREATE, _GET, _SET, _CLOSE = 1, 4, 5, -11
_ANY_VERSION: Final = b"\xff\xff\xff\xff"
_NO_WATCH: Final = b"\0"
_ALL_PERMISSIONS, _PERSISTENT = 31, 0
_CREATES_IN_FLIGHT: Final = 1_000

_CLOSED: Final = "the server closed the connection"

_REQUEST: Final = struct.Struct(">iii")  # length, xid, operation
_LENGTH: Final = struct.Struct(">i")
_REPLY: Final = struct.Struct(">iqi")  # xid, zxid, error
_STAT: Final = struct.Struct(">qqqqiiiqiiq")
_CONNECT: Final = struct.Struct(">iiqiqi16s?")

READ_SIZE: Final = 1 << 16
"""Bytes asked of the socket at a time; asking for more is no faster, even for 1 MiB."""

_SEND_EACH: Final = 1 << 16
"""Bytes of requests that are sent at a time, so that the server begins before all are made."""

SESSION_TIMEOUT: Final = 30.0
"""Seconds; the session is never left alone for so long."""

Stat = tuple[int, ...]


class BareClient:
    """One session, used by one thread: requests and answers, no pings, no reconnecting.

    ``timeout``, in seconds, is for each call of the socket; without one a call costs less.
    """

    def __init__(self, hosts: str, timeout: float | None = None) -> None:
        host, _, port = hosts.partition(",")[0].rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=SESSION_TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self._position = 0
        self._xid = 0
        milliseconds = int(SESSION_TIMEOUT * 1000)
        self._socket.sendall(
            _CONNECT.pack(_CONNECT.size - 4, 0, 0, milliseconds, 0, 16, b"\0" * 16, False)
        )
        self._answer()
        self._socket.settimeout(timeout)

    def __enter__(self) -> BareClient:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session."""
        try:
            self._send([self._begin(_CLOSE, 0)])
            self._answer()
        finally:
            self._socket.close()

    def get(self, path: str) -> tuple[bytes, Stat]:
        """Return a node's data and stat."""
        body = _buffer(path.encode()) + _NO_WATCH
        self._socket.sendall(self._begin(_GET, len(body)) + body)
        return self._data_and_stat(self._answer())

    def set(self, path: str, data: bytes) -> Stat:
        """Give a node new data and return its stat."""
        return self.set_many(path, data, 1)[0]

    def get_many(self, path: str, count: int) -> list[tuple[bytes, Stat]]:
        """Read a node as often as asked, with all requests in flight at once."""
        body = _buffer(path.encode()) + _NO_WATCH
        self._send(self._begin(_GET, len(body)) + body for _ in range(count))
        return [self._data_and_stat(self._answer()) for _ in range(count)]

    def set_many(self, path: str, data: bytes, count: int) -> list[Stat]:
        """Write a node as often as asked, with all requests in flight at once."""
        return self.set_each([path] * count, data)

    def set_each(self, paths: Sequence[str], data: bytes) -> list[Stat]:
        """Give several nodes the same data, with all requests in flight at once."""
        self._send(part for path in paths for part in self._parts_of_a_set(path, data))
        return [self._stat(self._answer()) for _ in paths]

    def create_many(self, paths: Sequence[str], data: bytes) -> None:
        """Create nodes with the same data, each parent before its children."""
        for first in range(0, len(paths), _CREATES_IN_FLIGHT):
            some = paths[first : first + _CREATES_IN_FLIGHT]
            bodies = (_buffer(path.encode()) + _buffer(data) + _OPEN_TO_ALL for path in some)
            self._send(self._begin(_CREATE, len(body)) + body for body in bodies)
            for _ in some:
                self._check(self._answer())

    def _parts_of_a_set(self, path: str, data: bytes) -> tuple[bytes, bytes, bytes]:
        head = _buffer(path.encode()) + _LENGTH.pack(len(data))
        length = len(head) + len(data) + len(_ANY_VERSION)
        return self._begin(_SET, length) + head, data, _ANY_VERSION

    def _begin(self, operation: int, length: int) -> bytes:
        self._xid += 1
        return _REQUEST.pack(length + 8, self._xid, operation)

    def _send(self, parts: Iterable[bytes]) -> None:
        """Send small parts together, and large ones without copying them."""
        waiting: list[bytes] = []
        size = 0
        for part in parts:
            if len(part) < _SEND_EACH:
                waiting.append(part)
                size += len(part)
            else:
                self._socket.sendall(b"".join(waiting), socket.MSG_MORE)
                self._socket.sendall(part, socket.MSG_MORE)
                waiting.clear()
                size = 0
            if size >= _SEND_EACH:
                self._socket.sendall(b"".join(waiting))
                waiting.clear()
                size = 0
        self._socket.sendall(b"".join(waiting))

    def _data_and_stat(self, answer: bytes) -> tuple[bytes, Stat]:
        self._check(answer)
        (length,) = _LENGTH.unpack_from(answer, _REPLY.size)
        end = _REPLY.size + 4 + length
        return answer[_REPLY.size + 4 : end], _STAT.unpack_from(answer, end)

    def _stat(self, answer: bytes) -> Stat:
        self._check(answer)
        return _STAT.unpack_from(answer, _REPLY.size)

    def _check(self, answer: bytes) -> None:
        error = _REPLY.unpack_from(answer)[2]
        if error:
            raise RuntimeError(f"the server answered with error {error}")

    def _answer(self) -> bytes:
        """Return the next answer without its length."""
        start = self._position + 4
        if start > len(self._received):
            self._receive(start)
            start = 4
        (length,) = _LENGTH.unpack_from(self._received, start - 4)
        end = start + length
        if end > len(self._received):
            self._receive(end)
            start, end = 4, 4 + length
        self._position = end
        return self._received[start:end]

    def _receive(self, end: int) -> None:
        """Receive until the bytes up to ``end`` are there; those before the position go."""
        parts = [self._received[self._position :]]
        missing = end - len(self._received)
        while missing > 0:
            part = self._socket.recv(READ_SIZE)
            if not part:
                raise ConnectionError(_CLOSED)
            parts.append(part)
            missing -= len(part)
        self._received = b"".join(parts)
        self._position = 0


def _buffer(data: bytes) -> bytes:
    return _LENGTH.pack(len(data)) + data


_OPEN_TO_ALL: Final = b"".join(
    (
        _LENGTH.pack(1),
        _LENGTH.pack(_ALL_PERMISSIONS),
        _buffer(b"world"),
        _buffer(b"anyone"),
        _LENGTH.pack(_PERSISTENT),
    )
)
"""The access list and the flags of a node that is created."""

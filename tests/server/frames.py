"""A proxy that reads along: every message that a client sends has to be whole, and in order."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

HOST: Final = "127.0.0.1"
LARGEST: Final = 1 << 21
"""No message that the tests send is longer."""
PING: Final = (-2, 11)
SPECIAL: Final = (PING, (-4, 100))
"""The xids, with the types, of messages that are not numbered: pings and authentication."""
TYPES: Final = frozenset((1, 2, 3, 4, 5, 7, 8, 9, 12, 14, -11))
"""The types of what the tests send. 0 is no message's that has an xid."""
PIECE: Final = 1 << 15
HELD_AFTER: Final = 1 << 18
"""Bytes of a large message that pass before the rest of it is held up."""


ENDED: Final = struct.pack("!iiiqi16s?", 37, 0, 0, 0, 16, b"", False)
"""What a server answers to a request for a session that it has not."""


@dataclass
class Reader:
    """Takes the bytes of one connection apart."""

    rest: bytearray = field(default_factory=bytearray)
    messages: int = 0
    pings: int = 0
    xid: int = 0
    """The last one."""

    def feed(self, data: bytes) -> None:
        """Read on; raise AssertionError at the first message that cannot be one."""
        self.rest += data
        while len(self.rest) >= 4:
            length = struct.unpack_from("!i", self.rest)[0]
            assert 8 <= length <= LARGEST, f"after {self}: a message of {length} bytes"
            if len(self.rest) < 4 + length:
                return
            self._take(struct.unpack_from("!ii", self.rest, 4), length)
            del self.rest[: 4 + length]

    def _take(self, head: tuple[int, int], length: int) -> None:
        self.messages += 1
        if self.messages == 1:
            assert head[0] == 0, "not a request for a session"
        elif head in SPECIAL:
            assert head != PING or length == 8
            self.pings += head == PING
        else:
            assert head[1] in TYPES, f"type {head[1]}"
            assert head[0] == self.xid + 1, f"xid {head[0]} after {self.xid}"
            self.xid = head[0]


class Proxy:
    """What has passed through a proxy so far."""

    def __init__(self, target: str, tls: ssl.SSLContext | None, held: str) -> None:
        self._target = target.split(":")
        self._tls = tls
        self._held = held
        self._go_on = asyncio.Event()
        self._writers: list[asyncio.StreamWriter] = []
        self._is_to_lie = False
        self.readers: list[Reader] = []
        self.errors: list[BaseException] = []
        self.hosts = ""
        """Its connect string."""

    def pings(self) -> int:
        """Return how many heartbeats there were on all connections."""
        return sum(reader.pings for reader in self.readers)

    def check(self) -> None:
        """Check that all messages were whole, to the last one."""
        assert self.errors == []
        assert self.readers
        assert [reader.rest for reader in self.readers] == [b""] * len(self.readers)

    def go_on(self) -> None:
        """Let pass what is held up. From any thread."""
        self._loop.call_soon_threadsafe(self._go_on.set)

    def lie(self) -> None:
        """Cut all connections, and tell the client that comes next that its session has ended.

        The server, which does not hear of that, has the session still. From any thread.
        """
        self._loop.call_soon_threadsafe(self._lie)

    def _lie(self) -> None:
        self._is_to_lie = True
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, opened: threading.Event, end: asyncio.Event) -> None:
        """Listen until the end."""
        self._loop = asyncio.get_running_loop()
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PIECE)
        listening.bind((HOST, 0))
        server = await asyncio.start_server(
            self._connect, sock=listening, ssl=self._tls, limit=PIECE
        )
        self.hosts = f"{HOST}:{server.sockets[0].getsockname()[1]}"
        opened.set()
        await end.wait()
        server.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_to_lie:
            self._is_to_lie = False
            await reader.read(PIECE)
            writer.write(ENDED)
            writer.close()
            return
        there = await asyncio.open_connection(*self._target, limit=PIECE)
        self._writers += (writer, there[1])
        frames = Reader()
        self.readers.append(frames)
        try:
            await asyncio.gather(
                self._pump("write", reader, there[1], frames), self._pump("reply", there[0], writer)
            )
        except AssertionError as error:
            self.errors.append(error)
        except OSError:
            pass
        finally:
            writer.close()
            there[1].close()

    async def _pump(
        self,
        direction: str,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        frames: Reader | None = None,
    ) -> None:
        passed = 0
        while data := await source.read(PIECE):
            if frames is not None:
                frames.feed(data)
            sink.write(data)
            await sink.drain()
            passed += len(data)
            if direction == self._held and passed > HELD_AFTER:
                await self._go_on.wait()
        with suppress(OSError, RuntimeError):
            sink.close()  # a TLS connection cannot be closed in one direction


@contextmanager
def proxy(target: str, tls: ssl.SSLContext | None = None, held: str = "") -> Iterator[Proxy]:
    """Have a proxy, in a thread of its own, in front of a server; check all when it ends.

    :param tls: what it speaks to clients, if that is TLS.
    :param held: ``write`` or ``reply``: in which direction a large message is held up.
    """
    own = Proxy(target, tls, held)
    opened, end = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(own.serve(opened, end),))
    thread.start()
    try:
        assert opened.wait(10)
        yield own
        own.check()
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(10)
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

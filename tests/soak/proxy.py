"""A proxy in front of each server, in a process of its own, that breaks connections on demand.

`python -m tests.soak.proxy SEED CONTROL_PORT LISTEN:TARGET...`. It obeys lines of JSON on the
control port, and answers each with an empty line when that is done.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

HOST: Final = "127.0.0.1"
DIRECTIONS: Final = ("to the server", "to the client")
_CHUNK: Final = 1 << 16
_QUEUED_CHUNKS: Final = 64
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER for no time: close sends RST
_CHUNKS_BEFORE_CUT: Final = 200
_LARGEST_LOSS: Final = 12
"""Bytes of a chunk that a cut keeps back: fewer than the last frame of the chunk has."""


@dataclass
class Rules:
    """What is done to the traffic of a server."""

    latency: float = 0.0
    """Seconds."""
    jitter: float = 0.0
    """Seconds that the latency is longer or shorter."""
    held: str = ""
    """The direction in which nothing arrives until it is set free, as TCP sees a black hole."""
    cut_share: float = 0.01
    """The share of new connections that are cut within a frame, sooner or later."""


class Front:
    """The proxy of one server."""

    def __init__(self, port: int, target: int, generator: random.Random) -> None:
        self.rules = Rules()
        self.generator = generator
        self.flowing = {direction: asyncio.Event() for direction in DIRECTIONS}
        self._port = port
        self._target = target
        self._links: set[Link] = set()

    async def open(self) -> None:
        """Listen."""
        self.change({})
        await asyncio.start_server(self._serve, HOST, self._port)

    def change(self, rules: dict[str, Any]) -> None:
        """Replace the rules."""
        self.rules = Rules(**rules)
        for direction, event in self.flowing.items():
            if direction == self.rules.held:
                event.clear()
            else:
                event.set()

    def reset(self) -> None:
        """Reset every connection, on both sides."""
        for link in self._links:
            link.reset()

    def orphan(self) -> None:
        """Reset every connection on the server's side, and leave the clients waiting."""
        for link in self._links:
            link.orphan()

    def doom(self, share: float) -> None:
        """Choose some of the open connections, which are to be cut within a frame."""
        for link in self._links:
            link.doom(share)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = reader, writer
        try:
            server = await asyncio.open_connection(HOST, self._target)
        except OSError:
            _reset(writer)
            return
        link = Link(self, client, server)
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.remove(link)


_Side = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Link:
    """One connection of a client, and the one to the server that was made for it."""

    def __init__(self, front: Front, client: _Side, server: _Side) -> None:
        self._front = front
        self._client = client
        self._server = server
        self._is_orphan = False
        self._chunks_left = -1
        self.doom(front.rules.cut_share)

    def doom(self, share: float) -> None:
        """Have the connection cut within a frame, with this probability."""
        if self._front.generator.random() < share:
            self._chunks_left = self._front.generator.randrange(_CHUNKS_BEFORE_CUT)

    def reset(self) -> None:
        """Reset both sides."""
        _reset(self._client[1])
        _reset(self._server[1])

    def orphan(self) -> None:
        """Reset the server's side only."""
        self._is_orphan = True
        _reset(self._server[1])

    async def run(self) -> None:
        """Forward until a side hangs up; then hang up on the other."""
        directions = (
            (self._client[0], self._server[1], DIRECTIONS[0]),
            (self._server[0], self._client[1], DIRECTIONS[1]),
        )
        pumps = [asyncio.ensure_future(self._pump(*direction)) for direction in directions]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        if self._is_orphan:
            with suppress(OSError):
                while await self._client[0].read(_CHUNK):
                    pass
        # No reset: what was forwarded last, such as the news of an expired session, still arrives.
        self._client[1].close()
        self._server[1].close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: str
    ) -> None:
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_QUEUED_CHUNKS)
        writing = asyncio.ensure_future(self._write(queue, writer, direction))
        try:
            with suppress(OSError):
                while chunk := await reader.read(_CHUNK):
                    rules = self._front.rules
                    delay = rules.latency + self._front.generator.uniform(-1, 1) * rules.jitter
                    await queue.put((_now() + delay, chunk))
                await queue.put((0.0, b""))
                await writing
        finally:
            writing.cancel()

    async def _write(
        self,
        queue: asyncio.Queue[tuple[float, bytes]],
        writer: asyncio.StreamWriter,
        direction: str,
    ) -> None:
        while True:
            due, chunk = await queue.get()
            if not chunk:
                return
            await asyncio.sleep(max(0.0, due - _now()))
            await self._front.flowing[direction].wait()
            if self._chunks_left == 0 and len(chunk) > 1:
                kept_back = self._front.generator.randint(1, min(_LARGEST_LOSS, len(chunk) - 1))
                writer.write(chunk[:-kept_back])
                await writer.drain()
                self.reset()
                return
            self._chunks_left -= 1
            writer.write(chunk)
            await writer.drain()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _reset(writer: asyncio.StreamWriter) -> None:
    if not writer.is_closing():
        plug = writer.get_extra_info("socket")
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()


class Control:
    """Obeys the process that started this one."""

    def __init__(self, fronts: list[Front]) -> None:
        self._fronts = fronts

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Do what each line says."""
        while line := await reader.readline():
            order = json.loads(line)
            number = order["server"]
            for front in self._fronts if number is None else [self._fronts[number]]:
                getattr(front, order["method"])(*order["arguments"])
            writer.write(b"\n")
            await writer.drain()
        writer.close()


async def _main(seed: str, control_port: str, *pairs: str) -> None:
    generator = random.Random(seed)
    ports = [[int(port) for port in pair.split(":")] for pair in pairs]
    fronts = [Front(listen, target, generator) for listen, target in ports]
    for front in fronts:
        await front.open()
    control = await asyncio.start_server(Control(fronts).serve, HOST, int(control_port))
    await control.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))

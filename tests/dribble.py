"""A proxy that passes on what a server sends one byte at a time."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import suppress

_LOOK_AROUND = 0.05


class DribblingProxy:
    """Listens on a loopback port in front of a server, and serves one connection at a time."""

    def __init__(self, server: tuple[str, int], interval: float) -> None:
        self._server = server
        self._interval = interval
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_LOOK_AROUND)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.dribbled = 0
        """The number of the server's bytes that went through."""

    def __enter__(self) -> DribblingProxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._listener.close()

    @property
    def address(self) -> tuple[str, int]:
        """The host and port to connect to."""
        host, port = self._listener.getsockname()
        return str(host), int(port)

    def _run(self) -> None:
        while not self._is_over.is_set():
            with suppress(OSError):  # no client yet, or either side hung up
                client, _ = self._listener.accept()
                with client, socket.create_connection(self._server) as server:
                    self._pass_on(client, server)

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        while not self._is_over.is_set():
            readable = select.select([client, server], [], [], _LOOK_AROUND)[0]
            if client in readable:
                said = client.recv(65536)
                if not said:
                    return
                server.sendall(said)
            if server in readable:
                byte = server.recv(1)
                if not byte:
                    return
                client.sendall(byte)
                self.dribbled += 1
                self._is_over.wait(self._interval)

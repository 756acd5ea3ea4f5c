"""The network between clients and servers, as the process that breaks it sees it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from tests import children
from tests.ports import free_block
from tests.soak.proxy import HOST
from tests.support import ROOT

_START_TIMEOUT: Final = 20.0
_POLL_INTERVAL: Final = 0.02
_ANSWER_TIMEOUT: Final = 20.0


class Network:
    """A proxy in front of each of the servers on some ports of this machine."""

    def __init__(self, targets: list[int], seed: int, log: Path) -> None:
        self._control_port = free_block(range(len(targets) + 1))
        self._ports = [self._control_port + 1 + number for number in range(len(targets))]
        self._process = self._spawn(targets, seed, log)
        try:
            # It begins to listen to orders last.
            self._control = self._connect(log)
        except BaseException:
            children.kill(self._process)
            raise

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._control.close()
        children.kill(self._process)

    @property
    def hosts(self) -> str:
        """The connect string: every proxy."""
        return ",".join(f"{HOST}:{port}" for port in self._ports)

    def change(self, server: int | None = None, **rules: float | str) -> None:
        """Set the rules of a server, or of all; those that are not named become harmless."""
        self._order("change", server, rules)

    def reset(self) -> None:
        """Reset every connection."""
        self._order("reset", None)

    def orphan(self) -> None:
        """Leave every client with a connection of which the server knows nothing."""
        self._order("orphan", None)

    def doom(self, share: float) -> None:
        """Cut a share of the open connections within a frame."""
        self._order("doom", None, share)

    def _order(self, method: str, server: int | None, *arguments: object) -> None:
        order = {"method": method, "server": server, "arguments": arguments}
        self._control.sendall(json.dumps(order).encode() + b"\n")
        if self._control.recv(1) != b"\n":
            raise RuntimeError("the proxy has ended")

    def _spawn(self, targets: list[int], seed: int, log: Path) -> subprocess.Popen[bytes]:
        pairs = [f"{port}:{target}" for port, target in zip(self._ports, targets, strict=True)]
        arguments = ["-m", f"{__package__}.proxy", str(seed), str(self._control_port), *pairs]
        with log.open("wb") as output:
            return children.spawn([sys.executable, *arguments], stdout=output, cwd=ROOT)

    def _connect(self, log: Path) -> socket.socket:
        deadline = time.monotonic() + _START_TIMEOUT
        while True:
            try:
                return socket.create_connection((HOST, self._control_port), _ANSWER_TIMEOUT)
            except ConnectionRefusedError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise RuntimeError(f"the proxy has not come up: {log.read_text()}") from None
                time.sleep(_POLL_INTERVAL)

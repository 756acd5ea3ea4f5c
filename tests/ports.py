"""Free TCP ports for servers."""

import random
import socket
from collections.abc import Sequence
from contextlib import ExitStack

# Below Linux's ephemeral range: while a server is down, nobody's outgoing connection takes its
# port, and a client that tries it over and over cannot connect to itself.
_FIRST, _LAST = 10_000, 32_767
_TRIES = 100


def free_block(offsets: Sequence[int], host: str = "127.0.0.1") -> int:
    """Return a port such that it is free at each of the offsets from it."""
    for _ in range(_TRIES):
        base = random.randint(_FIRST, _LAST - max(offsets))
        if _all_free(host, [base + offset for offset in offsets]):
            return base
    raise RuntimeError(f"no block of {len(offsets)} free ports on {host!r} in {_TRIES} tries")


def _all_free(host: str, ports: Sequence[int]) -> bool:
    with ExitStack() as bound:
        for port in ports:
            probe = bound.enter_context(socket.socket())
            # As Java's server sockets do: a port in TIME_WAIT counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True

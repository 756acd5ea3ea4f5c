"""Connections and name look-ups that do not stop the event loop, monkey patched or not.

kazoo's modules find the standard library's ``ssl`` and ``socket`` among their globals, and
these block. So kazoo's own functions run here with gevent's in their place: what is
verified, by which defaults, and what is refused stays the installed kazoo's.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType, SimpleNamespace
from typing import Any, Final

import gevent.socket
import gevent.ssl
from gevent import Timeout
from kazoo.handlers import utils


class _SSLSocket(gevent.ssl.SSLSocket):
    """A TLS connection whose handshake as a whole keeps to the time-out, as in ``ssl``.

    gevent begins anew with each wait, so a peer that sends a byte now and then would make
    the handshake last for ever.
    """

    def do_handshake(self, block: bool = False) -> None:
        with Timeout(self.gettimeout(), TimeoutError("The handshake operation timed out")):
            super().do_handshake()


class _SSLContext(gevent.ssl.SSLContext):
    """A context that takes host names outside ASCII, as the one of ``ssl`` does."""

    sslsocket_class = _SSLSocket

    # kazoo passes all but the socket by name.
    def wrap_socket(  # type: ignore[override]
        self, sock: Any, *, server_hostname: Any = None, **options: Any
    ) -> Any:
        if isinstance(server_hostname, str):
            server_hostname = server_hostname.encode("idna").decode("ascii")
        return super().wrap_socket(sock, server_hostname=server_hostname, **options)


_ssl: Final = SimpleNamespace(**{**vars(gevent.ssl), "SSLContext": _SSLContext})


def cooperative(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return one of kazoo's functions as it would be in a module that had imported gevent's.

    What somebody has put in its place is returned as it is, unless it is a plain function.
    """
    if type(function) is not FunctionType:
        return function
    twin = FunctionType(
        function.__code__,
        {**function.__globals__, "socket": gevent.socket, "ssl": _ssl},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    twin.__kwdefaults__ = function.__kwdefaults__
    return twin


def create_connection(*args: Any, **kwargs: Any) -> Any:
    """Connect to a server as kazoo's ``create_tcp_connection`` does, with its errors."""
    return cooperative(utils.create_tcp_connection)(gevent.socket, *args, **kwargs)

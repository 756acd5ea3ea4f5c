"""Connections and name look-ups that do not stop the event loop, monkey patched or not.

kazoo's modules find the standard library's ``ssl`` and ``socket`` among their globals, and
these block. So kazoo's own functions run here with gevent's in their place: what is
verified, by which defaults, and what is refused stays the installed kazoo's.
"""

from __future__ import annotations

import _socket as _socket_in_c
import socket
from collections.abc import Callable
from functools import cache
from types import FunctionType, SimpleNamespace
from typing import Any, Final

import gevent.socket
import gevent.ssl
from gevent.monkey import get_original
from kazoo.handlers import utils

from kazoo_gevent_patch.functions import is_own
from kazoo_gevent_patch.wire.contexts import contexts

_LIBRARIES: Final = ("socket", "gevent")
"""A function of ``socket`` that is of neither is the program's, such as a DNS cache's."""


@cache
def _for_addresses(_: Callable[..., Any]) -> Callable[..., Any]:
    """Return what to ask for an address while this function is ``socket.getaddrinfo``.

    gevent keeps the function that it has replaced.
    """
    first = get_original("socket", "getaddrinfo")
    # The standard library's calls the one in C, and then makes enumerations' members of numbers.
    return _socket_in_c.getaddrinfo if is_own(first, *_LIBRARIES) else first


def _getaddrinfo(
    host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
) -> Any:
    """Ask gevent's resolver, but not for an address: that needs no thread, which may be forked.

    One that the program has put in the place of the standard library's is asked instead; and first,
    if gevent has replaced it since.
    """
    own = socket.getaddrinfo
    if not is_own(own, *_LIBRARIES):
        return own(host, port, family, type, proto, flags)
    numeric = _for_addresses(own)
    try:
        return numeric(host, port, family, type, proto, flags | _socket_in_c.AI_NUMERICHOST)
    except gevent.socket.gaierror:
        pass
    try:
        return gevent.socket.getaddrinfo(host, port, family, type, proto, flags)
    except RuntimeError as error:
        # gevent's pool can start no thread. The default handler needs none, and tries again.
        raise gevent.socket.gaierror(gevent.socket.EAI_AGAIN, str(error)) from error


def _with_globals(function: Callable[..., Any], **names: Any) -> Callable[..., Any]:
    """Return the function as it would be in a module where these names mean something else.

    What is no plain function is returned as it is: somebody has put it there.
    """
    if type(function) is not FunctionType:
        return function
    twin = FunctionType(
        function.__code__,
        {**function.__globals__, **names},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    twin.__kwdefaults__ = function.__kwdefaults__
    return twin


_connect: Final = _with_globals(gevent.socket.create_connection, getaddrinfo=_getaddrinfo)


def _create_connection(*args: Any, **kwargs: Any) -> Any:
    """Connect as gevent does, or as the program does in the standard library's place."""
    own = socket.create_connection
    return (_connect if is_own(own, *_LIBRARIES) else own)(*args, **kwargs)


_socket: Final = SimpleNamespace(
    **{
        **vars(gevent.socket),
        "getaddrinfo": _getaddrinfo,
        "create_connection": _create_connection,
    }
)


def cooperative(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return one of kazoo's functions as it would be in a module that had imported gevent's."""
    return _with_globals(function, socket=_socket)


def create_connection(address: Any, *args: Any, **kwargs: Any) -> Any:
    """Connect to a server as kazoo's ``create_tcp_connection`` does, with its errors."""
    function = utils.create_tcp_connection
    connect = cooperative(function)
    if args or kwargs.get("use_ssl"):
        # kazoo passes all but the address by name.
        factory = contexts.factory(function, {} if args else kwargs)
        ssl = SimpleNamespace(**{**vars(gevent.ssl), "SSLContext": factory})
        connect = _with_globals(connect, ssl=ssl)
    return connect(_socket, address, *args, **kwargs)

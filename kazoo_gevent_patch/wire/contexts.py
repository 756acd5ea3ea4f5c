"""TLS contexts: each is made once, and kept for the attempts to connect that ask for the same.

kazoo makes a context for each attempt, and reads the system's authorities into it. That takes some
25 ms, in which the event loop stands still, and 0.9 MiB. Forty clients that connect again at once
would stop the loop for more than a second. A thread would not help: up to 3.11 CPython keeps its
lock meanwhile, and a fork in that time would copy locks of OpenSSL that nobody ever releases.

So kazoo's own code makes a context once. What it verifies and what it refuses comes from its
arguments, and from files. When the same arguments come again, and the files are as they were,
kazoo's code runs again, and finds the context that it has made (``_Finished``).
"""

from __future__ import annotations

import hashlib
import os
import re
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from time import monotonic, time_ns
from types import FunctionType, MethodDescriptorType
from typing import Any, Final

import gevent.ssl
from gevent import Timeout
from kazoo.handlers import utils

from kazoo_gevent_patch.loop.hubs import sleep

_Settings = Mapping[str, Any]
_Key = tuple[object, ...]
_State = dict[Any, tuple[int, ...]]

MOST: Final = 32
"""So many contexts are kept at most."""

SETTLED: Final = 2.0
"""A context is kept if its files have not changed for so many seconds. Else the next change might
leave the times of a file as they are: some file systems count in steps of this."""

SPACE: Final = 0.002
"""Seconds between two attempts that come at once. Each takes about half a millisecond."""

GLANCE: Final = 0.05
"""Seconds for which a look at the files in a directory of authorities is good. There are mostly
more than a hundred, and a look takes as long as all else that an attempt does."""

_NOT_OF_THE_CONTEXT: Final = frozenset({"address", "hostname", "timeout"})
_FILES: Final = ("ca", "certfile", "keyfile")
_PASSWORD: Final = "keyfile_password"
_SETTINGS: Final = frozenset(
    {"use_ssl", "verify_certs", "check_hostname", "options", "ciphers", _PASSWORD, *_FILES}
)
"""What a context is made from. If there is anything else, it is not kept."""

_LOADERS: Final = (
    *("load_default_certs", "set_default_verify_paths"),
    *("load_verify_locations", "load_cert_chain"),
)
_HASHED: Final = re.compile(r"[0-9a-f]{8}\.r?\d+")
"""The names by which OpenSSL finds an authority in a directory."""

_SALT: Final = os.urandom(16)
_seen: Final[dict[str, tuple[float, tuple[int, ...], _State]]] = {}


class _SSLSocket(gevent.ssl.SSLSocket):
    """A TLS connection whose handshake as a whole keeps to the time-out, as in ``ssl``.

    gevent begins anew with each wait, so a peer that sends a byte now and then would make
    the handshake last for ever.
    """

    def do_handshake(self, block: bool = False) -> None:
        with Timeout(self.gettimeout(), TimeoutError("The handshake operation timed out")):
            super().do_handshake()


class Context(gevent.ssl.SSLContext):
    """A context that takes host names outside ASCII, as the one of ``ssl`` does."""

    sslsocket_class = _SSLSocket
    on_use: Callable[[Context], None] | None = None
    """What is called when the first connection is about to use it."""

    def load_default_certs(self, purpose: ssl.Purpose = ssl.Purpose.SERVER_AUTH) -> None:
        """Read the system's authorities, and note how long that took."""
        began = monotonic()
        try:
            super().load_default_certs(purpose)
        finally:
            contexts.rest(monotonic() - began)

    # kazoo passes all but the socket by name.
    def wrap_socket(  # type: ignore[override]
        self, sock: Any, *, server_hostname: Any = None, **options: Any
    ) -> Any:
        """Return a TLS connection over the socket."""
        on_use, self.on_use = self.on_use, None
        if on_use is not None:
            on_use(self)
        if isinstance(server_hostname, str):
            server_hostname = server_hostname.encode("idna").decode("ascii")
        return super().wrap_socket(sock, server_hostname=server_hostname, **options)


class _Finished:
    """A context that is complete, for kazoo's code, which is about to set it up once more."""

    def __init__(self, context: Context) -> None:
        vars(self).update(made=context, wrap_socket=context.wrap_socket)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.made, name)
        return (lambda *_, **__: None) if callable(value) else value

    def __setattr__(self, name: str, value: object) -> None:
        pass


class Contexts:
    """The contexts of this process. Safe to use from any greenlet and any native thread.

    A forked child has copies of them, and uses those. Nothing is held while anybody waits.
    """

    def __init__(self) -> None:
        self._kept: dict[_Key, tuple[_State, Context]] = {}
        self._next_turn = 0.0
        self._resting_until = 0.0

    def rest(self, seconds: float) -> None:
        """Let so much time pass before the next context is made: others are to run as well."""
        self._resting_until = monotonic() + seconds

    def factory(self, function: object, settings: _Settings) -> Callable[..., Any]:
        """Return what stands in the place of ``ssl.SSLContext`` in an attempt to connect.

        Waits for its turn: the event loop runs between two attempts that come at once.

        :param function: the function of kazoo's that sets the context up.
        :param settings: what that is called with, by name; empty if that is not known.
        """
        now = monotonic()
        turn = max(now, self._next_turn)
        self._next_turn = turn + SPACE
        if turn > now:
            sleep(turn - now)
        key = _key(function, settings)
        rested = 0.0
        # An attempt makes a context only if nobody has made one since it last let the loop run: the
        # timers of several attempts may end in one turn of the loop.
        while (context := self._find(key, settings)) is None:
            until = self._resting_until
            left = until - monotonic()
            if until == rested and left <= 0:
                return Context if key is None else partial(self._make, key, settings)
            sleep(max(left, SPACE))
            rested = until
        finished = _Finished(context)
        return lambda *_: finished

    def _find(self, key: _Key | None, settings: _Settings) -> Context | None:
        state, context = self._kept.get(key or (), (None, None))
        return context if context is not None and state == _state(settings) else None

    def _make(self, key: _Key, settings: _Settings, *args: Any) -> Context:
        state = _state(settings)  # before the files are read: what changes meanwhile is noticed

        def keep(context: Context) -> None:
            changed = max((times[-1] for times in state.values() if times), default=0)
            if time_ns() - changed > SETTLED * 1e9:
                self._kept[key] = state, context
                for oldest in list(self._kept)[:-MOST]:
                    self._kept.pop(oldest, None)

        context = Context(*args)
        context.on_use = keep
        return context


contexts: Final = Contexts()


def _key(function: object, settings: _Settings) -> _Key | None:
    """Return what tells a context from others, apart from files; None if that is not known."""
    if not (settings and settings.keys() <= _SETTINGS | _NOT_OF_THE_CONTEXT and _is_plain()):
        return None
    if getattr(function, "__globals__", None) is not vars(utils):
        return None  # the program's own
    key: list[object] = [function]
    for name in sorted(settings.keys() - _NOT_OF_THE_CONTEXT):
        value = settings[name]
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        if type(value) not in (str, bytes, int, bool, type(None)):
            return None
        if name == _PASSWORD and type(value) in (str, bytes):
            secret = value.encode() if isinstance(value, str) else value
            value = hashlib.blake2b(secret, key=_SALT).digest()
        key += name, type(value), value
    return tuple(key)


def _is_plain() -> bool:
    """Return whether a context reads nothing but what is known here.

    A program may have put something of its own in the place of the methods, such as what reads
    further authorities.
    """
    methods = [getattr(Context.__base__, name) for name in _LOADERS]
    return all(
        isinstance(method, MethodDescriptorType)
        or (type(method) is FunctionType and method.__globals__ is vars(ssl))
        for method in methods
    )


def _state(settings: _Settings) -> _State:
    """Return by what each file that a context is made from is known to be the same."""
    places = ssl.get_default_verify_paths()
    own = [os.fspath(settings[name]) for name in _FILES if settings.get(name)]
    bundle = os.environ.get(places.openssl_cafile_env, places.openssl_cafile)
    directories = os.environ.get(places.openssl_capath_env, places.openssl_capath)
    state = {path: _identity(path) for path in (*own, bundle)}
    for directory in directories.split(os.pathsep):
        state.update(_authorities(directory))
    return state


def _authorities(directory: str) -> _State:
    """Return the same for what OpenSSL may find in a directory."""
    identity = _identity(directory)
    seen, before, state = _seen.get(directory, (0.0, (), {}))
    if identity != before or monotonic() - seen > GLANCE:
        state = {directory: identity}
        with suppress(OSError):
            for name in filter(_HASHED.fullmatch, os.listdir(directory or ".")):
                path = os.path.join(directory, name)
                state[path] = _identity(path)
        _seen[directory] = monotonic(), identity, state
    return state


def _identity(path: Any) -> tuple[int, ...]:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return ()
    numbers = found.st_dev, found.st_ino, found.st_size
    return (*numbers, found.st_mtime_ns, found.st_ctime_ns)

"""What a started client becomes in a forked child.

The child shares the parent's socket, session and epoll set. Whatever it did with them the
parent would feel, so the hook that Python runs in the child right after the fork does
nothing but mark, drop and close this process's copy of the descriptor. The rest waits until
the child's own event loop runs, or the client is used.
"""

from __future__ import annotations

import atexit
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NoReturn

import gevent
from gevent import GreenletExit, getcurrent
from kazoo.exceptions import ConnectionClosedError
from kazoo.protocol.states import KazooState, KeeperState

from kazoo_gevent_patch import inventory
from kazoo_gevent_patch.changes import adoption, recipes, sections
from kazoo_gevent_patch.handler.greenlets import HandlerGreenlet, disown_greenlets
from kazoo_gevent_patch.handler.locks import RLock
from kazoo_gevent_patch.handler.sequential import SequentialGeventHandler
from kazoo_gevent_patch.loop import forks
from kazoo_gevent_patch.settings import options
from kazoo_gevent_patch.wire.connection import Connection, close_copy

log = logging.getLogger("kazoo_gevent_patch")


class _Nobody:
    """Stands for the client towards a connection greenlet that is ended in the child."""

    @property
    def _stopped(self) -> NoReturn:
        """End the greenlet that called fork where kazoo 2.10 asks, before it asks the handler."""
        raise GreenletExit

    def _session_callback(self, state: str) -> None:
        """Ignore what the greenlet says last."""


class _Ended:
    """Stands for the handler towards the connection greenlet that itself called fork."""

    def __getattr__(self, name: str) -> NoReturn:
        raise GreenletExit


_THE_PARENTS: Final = partial(
    ConnectionClosedError,
    "The connection belongs to the parent process: this client was started before a fork, and is "
    "stopped here (fork='stop'); start() opens its own",
)


class Inherited:
    """A client between the fork and its first use in the child.

    Its bound methods stand in the client's instance dictionary over the methods of the
    class, so that a client that was not inherited pays nothing for this.
    """

    SHADOWED = ("_call", "command", "start_async", "stop")

    def __init__(
        self, client: Any, *, reconnects: bool, refusal: Callable[[], Exception] = _THE_PARENTS
    ) -> None:
        self._client = client
        self._reconnects = reconnects
        self._refusal = refusal
        self.guard: sections.Guard | None = None
        """What refuses the requests of greenlets that are in a critical section of the parent."""
        self._told = False
        self._telling: object = None
        self._lock = RLock()
        self._states = client.state, client._state
        if not reconnects:
            client._stopped.set()
        # What anybody may ask of the client before its listeners are told.
        client._live.clear()
        client.state = KazooState.LOST
        for name in self.SHADOWED:
            setattr(client, name, getattr(self, name.lstrip("_")))

    def tell(self) -> None:
        """Tell the listeners and fail the parent's pending requests, as on a lost session."""
        with self._lock:
            if self._told:
                return
            self._told = True
            self._telling = getcurrent()
            client = self._client
            client.state, client._state = self._states
            client._session_callback(KeeperState.CLOSED)
            self._telling = None

    def call(self, request: Any, async_object: Any) -> Any:
        """``KazooClient._call``: every request comes through here."""
        if self.guard is not None and self.guard.refuses(async_object):
            return False
        if self._reconnects:
            self.start_async()
            return self._client._call(request, async_object)
        self.tell()
        if async_object is not None:
            async_object.set_exception(self._refusal())
        return False

    def command(self, *args: Any, **kwargs: Any) -> Any:
        """``KazooClient.command``, which asks the server of the session for something."""
        if self._reconnects:
            self.start_async().wait(self._client._session_timeout / 1000)
        return type(self._client).command(self._client, *args, **kwargs)

    def start_async(self) -> Any:
        """``KazooClient.start_async``: begin a session of the child's own."""
        client = self._client
        if self._telling is getcurrent():
            raise self._refusal()  # a listener, in a thread that ends
        with self._lock:
            self.tell()
            if vars(client).get("start_async") == self.start_async:
                self._unshadow()
                client.start_async()
                if client._state == KeeperState.CLOSED:
                    # The connection greenlet says so when it runs; requests may come before.
                    client._session_callback(KeeperState.CONNECTING)
        return client._live

    def stop(self) -> None:
        """``KazooClient.stop``: there is no session of this process to close."""
        with self._lock:
            self.tell()
            self._unshadow()
            self._client._stopped.set()
        self._client.stop()  # a subclass may have more to do; kazoo's finds it stopped

    def _unshadow(self) -> None:
        for name in self.SHADOWED:
            vars(self._client).pop(name, None)
        if self.guard is not None:
            self.guard.put_on()


def inherit_all(called_fork: object) -> None:
    """Turn every started client into an inherited one; logs, and never raises."""
    try:
        if options.fork_choice() != "ignore":
            _inherit_started(called_fork)
    except Exception:
        log.exception("Clients inherited through a fork are left as they are")


def _inherit_started(called_fork: object) -> None:
    disown_greenlets(called_fork)
    ours = [client for client in inventory.live if is_ours(client)]
    had_a_loop = any(client.handler.hub is not None for client in ours)
    for client in ours:
        client.handler.abandon()
    if had_a_loop:
        # The child may never have heard of gevent (multiprocessing, without monkey
        # patching); its loop must not go on with the parent's epoll set. This only sets a
        # flag in the loop, and may be done again.
        gevent.reinit()
    patched = options.in_force() is not None
    for client in inventory.live:
        if _was_started(client) and (
            is_ours(client) or (patched and client not in inventory.explicit)
        ):
            try:
                inherit(client, called_fork)
            except Exception:
                name = inventory.describe(client)
                log.exception("%s, inherited through a fork, is left as it is", name)


def is_ours(client: Any) -> bool:
    """Return whether the client is on our handler."""
    # A stand-in for a client, as in tests of a program, may have none.
    return isinstance(getattr(client, "handler", None), SequentialGeventHandler)


def _was_started(client: Any) -> bool:
    connection = getattr(client, "_connection", None)
    return connection is not None and (
        inventory.is_running(client) or connection._connection_routine is not None
    )


def inherit(client: Any, called_fork: object = None) -> None:
    """Take a client's connection, which is the parent's, away from it in this process.

    It may have been on kazoo's threading handler; it is on ours afterwards.

    :param called_fork: the greenlet that called fork; None if that is not known.
    """
    stands_in = getattr(vars(client).get("stop"), "__self__", None)
    if not isinstance(stands_in, Inherited):
        stopping = not inventory.is_running(client)
        reconnects = options.fork_choice() == "reconnect" and not stopping
        replace_connection(client)
        if not is_ours(client):
            atexit.unregister(client.handler.stop)  # it would join the parent's threads
            adoption.move(client)
        owned = inventory.recipes_of(client)
        guard = sections.guard(client, owned, called_fork)
        for recipe in owned:
            recipes.disown(recipe)
        stands_in = Inherited(client, reconnects=reconnects)
        stands_in.guard = guard
    gevent.spawn(stands_in.tell)


def replace_connection(client: Any) -> None:
    """Take the connection and its greenlet away from the client, and tell nobody."""
    old = client._connection
    client._connection = type(old)(
        client, old.retry_sleeper, logger=old.logger, sasl_options=old.sasl_options
    )
    old.client = _Nobody()
    for sock in (old._socket, old._read_sock, old._write_sock):
        _abandon(sock)
    routine = old._connection_routine
    if routine is getcurrent():
        old.handler = _Ended()
    elif isinstance(routine, HandlerGreenlet) and not routine.dead:
        routine.end()


def _abandon(sock: Any) -> None:
    # Our wake channel has no descriptor; a client that is not connected has no socket.
    if isinstance(sock, Connection):
        sock.abandon()
    elif hasattr(sock, "detach"):
        close_copy(sock)


forks.hooks.append(inherit_all)

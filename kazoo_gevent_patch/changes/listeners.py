"""How a client's listeners hear of its states."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import filterfalse
from typing import Any, Final

import gevent
from gevent import getcurrent
from kazoo.protocol.states import KeeperState

from kazoo_gevent_patch.changes import ownership, succession
from kazoo_gevent_patch.changes.forking import is_ours
from kazoo_gevent_patch.handler.continuations import is_of_a_recipe
from kazoo_gevent_patch.loop.signals import runs_callbacks

_Args = tuple[Any, ...]
_Kwargs = dict[str, Any]

_ENDS: Final = frozenset({KeeperState.EXPIRED_SESSION, KeeperState.AUTH_FAILED, KeeperState.CLOSED})
"""The states in which a client has no session any more."""


def session_callback(
    wrapped: Callable[..., None], client: Any, args: _Args, kwargs: _Kwargs
) -> None:
    """``KazooClient._session_callback``: callers with a reply go on before they hear of a loss.

    And recipes hear of the end of a session before anybody else does.

    kazoo's ChildrenWatch notes that its watch is set when it has the reply, and that it no
    longer is when it hears of the loss. The other way round it would never set it again.
    """
    if not is_ours(client):
        return wrapped(*args, **kwargs)
    (state,) = (*args, *kwargs.values())
    if state == KeeperState.CLOSED and succession.is_cut_off(client._connection):
        return None  # kazoo's loop says so when it ends; another greenlet takes over
    if client.connected and getcurrent() is client._connection._connection_routine:
        # Greenlets that a reply woke are in the loop's queue already; this one goes behind.
        gevent.sleep(0)
    if state in _ENDS and state != client._state:
        ownership.lose_all(client)
    if state == KeeperState.EXPIRED_SESSION:
        client.handler.lost_sessions += 1
    wrapped(*args, **kwargs)
    if client._state == KeeperState.CLOSED:
        client.handler.listeners.end()
    return None


def make_state_change(
    wrapped: Callable[..., None], client: Any, args: _Args, kwargs: _Kwargs
) -> None:
    """``KazooClient._make_state_change``: a listener runs where it may wait for the client.

    The listeners of kazoo's recipes never wait. They are called first, by the connection itself,
    because the application's listeners may wait for a recipe.
    """
    thread = client.handler.thread if is_ours(client) else None
    if not is_ours(client) or (thread is not None and thread.ended):
        return wrapped(*args, **kwargs)  # in a thread that ends nothing waits
    (state,) = args
    if client.state == state:
        return None
    client.state = state
    for listener in filter(is_of_a_recipe, list(client.state_listeners)):
        _tell(client, listener, state)
    client.handler.listeners.run(partial(_calls_of_applications, client, state))
    return None


def _calls_of_applications(client: Any, state: str) -> list[Callable[[], None]]:
    applications = filterfalse(is_of_a_recipe, list(client.state_listeners))
    return [_telling(client, listener, state) for listener in applications]


def _telling(client: Any, listener: Callable[[str], object], state: str) -> Callable[[], None]:
    def tell() -> None:
        _tell(client, listener, state)

    vars(tell)["__wrapped__"] = listener  # so that the listener is named where it runs for long
    return tell


def _tell(client: Any, listener: Callable[[str], object], state: str) -> None:
    """Call the listener as kazoo does."""
    try:
        if listener(state) is True:
            client.remove_listener(listener)
    except Exception:
        client.logger.exception("Error in connection state listener")


runs_callbacks.add(_tell.__code__)

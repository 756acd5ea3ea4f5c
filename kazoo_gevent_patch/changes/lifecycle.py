"""``start()``, ``stop()``, ``restart()`` and ``close()`` from any place.

What they wait for lives in the event loop of the thread that started the client. In another
native thread they are carried out there. In the event loop itself (the handler of a signal
that comes while the process is idle runs there) and in the client's own connection greenlet
(which a signal may interrupt) nothing can wait: they are carried out later, in turn, by a greenlet
of the client, and before the interpreter exits (``kazoo_gevent_patch.handler.leaving``).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from gevent import getcurrent
from kazoo.exceptions import CancelledError
from kazoo.protocol.serialization import CloseInstance

from kazoo_gevent_patch import inventory
from kazoo_gevent_patch.changes.forking import is_ours
from kazoo_gevent_patch.errors import CannotWaitError, EventLoopBlockedError
from kazoo_gevent_patch.handler.result import AsyncResult
from kazoo_gevent_patch.handler.sequential import STOP_TIMEOUT
from kazoo_gevent_patch.loop.hubs import hub_of_this_thread, is_own_thread

log = logging.getLogger("kazoo_gevent_patch")

LOOP_TIMEOUT: Final = 10.0
"""Seconds within which the event loop of another thread has to begin what it is asked for."""

_Args = tuple[Any, ...]
_Kwargs = dict[str, Any]


def check_can_wait(client: Any, call: str) -> None:
    """Raise ``CannotWaitError`` where the call could only wait for itself."""
    if _cannot_wait(client):
        raise CannotWaitError(
            f"{call} waits for the connection, and was called in the event loop (a signal "
            f"handler, a gevent callback), where nothing can wait; "
            f"use client.handler.spawn(client.{call.rstrip('()')})"
        )


def start(wrapped: Callable[..., Any], client: Any, args: _Args, kwargs: _Kwargs) -> Any:
    """``KazooClient.start``: refuses at once, and whole, where it cannot wait."""
    if is_ours(client) and not client.connected:
        check_can_wait(client, "start()")
    return wrapped(*args, **kwargs)


def stop(wrapped: Callable[..., Any], client: Any, args: _Args, kwargs: _Kwargs) -> Any:
    """``KazooClient.stop``: in the event loop of the client, or later there; and whole."""
    return _in_turn(client, partial(_stop, wrapped, client))


def restart(wrapped: Callable[..., Any], client: Any, args: _Args, kwargs: _Kwargs) -> Any:
    """``KazooClient.restart``: in the event loop of the client, or later there."""
    return _in_turn(client, partial(wrapped, *args, **kwargs))


def _in_turn(client: Any, function: Callable[[], object]) -> Any:
    """Call the function where it may wait for the connection.

    One after the other: kazoo's own look at whether the client is stopped already is safe
    in one thread only. Two at once would leave a request to close for the next session.
    """
    if not is_ours(client) or not client._connection._connection_routine:
        return function()
    if sys.is_finalizing():
        return None  # a __del__ that runs so late: no greenlet runs any more, to send anything
    if _cannot_wait(client):
        client.handler.defer(function)
        return None
    if is_own_thread(client.handler.hub):
        return function()
    return _in_own_loop(client, function)


def _stop(wrapped: Callable[[], object], client: Any) -> None:
    """Stop the client, or wait until somebody else has.

    kazoo's returns at once when another greenlet is stopping the client, or was interrupted when
    it did, and the connection is still open; ``close()`` would then raise.
    """
    if not is_ours(client) or inventory.is_running(client):
        wrapped()
    else:
        waiting = [request for request, *_ in (*client._queue, *client._pending)]
        if client.connected and CloseInstance not in waiting:
            client._call(CloseInstance, None)  # the other was interrupted before it asked
        client._safe_close()
    # As on kazoo's default handler, listeners have heard of the end. One may wait for this caller.
    can_wait = is_ours(client) and not inventory.is_running(client) and not _cannot_wait(client)
    if can_wait and not client.handler.listeners.join(STOP_TIMEOUT):
        log.warning("A state listener has not returned within %g seconds of stop()", STOP_TIMEOUT)


def close(wrapped: Callable[..., Any], client: Any, args: _Args, kwargs: _Kwargs) -> Any:
    """``KazooClient.close``: after a ``stop()`` that could not wait, in turn behind it."""
    if is_ours(client) and sys.is_finalizing():
        return None
    if is_ours(client) and client.handler.has_deferred():
        client.handler.defer(partial(wrapped, *args, **kwargs))
        return None
    return wrapped(*args, **kwargs)


def _cannot_wait(client: Any) -> bool:
    return getcurrent() in (hub_of_this_thread(), client._connection._connection_routine)


def _in_own_loop(client: Any, function: Callable[[], object]) -> Any:
    """Call the function in a greenlet of the client's event loop, and wait for the outcome."""
    outcome = AsyncResult(client.handler)
    begun: list[bool] = []

    def run() -> None:
        begun.append(True)
        try:
            outcome.set(function())
        except Exception as error:
            outcome.set_exception(error)
        except BaseException:
            outcome.set_exception(
                CancelledError("The greenlet that carried the call out was killed; call it again")
            )
            raise

    outcomes = client.handler.outcomes
    outcomes.add(outcome)
    try:
        client.handler.spawn_in_loop(run)
        outcome.wait(LOOP_TIMEOUT)
        if not begun and not outcome.ready():
            raise EventLoopBlockedError(
                f"The event loop of {inventory.describe(client)} has not run for {LOOP_TIMEOUT:g} "
                "seconds: the thread that started the client blocks it, or sleeps or joins "
                "without monkey patching; the call is carried out when the loop runs again"
            )
        return outcome.get()
    finally:
        outcomes.discard(outcome)

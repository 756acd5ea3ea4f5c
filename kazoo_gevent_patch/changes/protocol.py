"""What kazoo's ``ConnectionHandler`` does differently for a client on our handler."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any, Final

from kazoo.protocol.states import KeeperState

from kazoo_gevent_patch.changes import replies, requests, succession
from kazoo_gevent_patch.handler.sequential import SequentialGeventHandler
from kazoo_gevent_patch.loop.waiting import SLICE
from kazoo_gevent_patch.settings import monkey
from kazoo_gevent_patch.wire.sockets import cooperative
from kazoo_gevent_patch.wire.wake_channel import WakeReader

log = logging.getLogger("kazoo_gevent_patch")

LONGEST_PATIENCE: Final = 10.0
"""Seconds that ``stop()`` waits for a reply at most, if the program has not named a longer session
time-out. The one that was negotiated may be of days."""

HANG_UPS: Final = 3
"""How often ``stop()`` looks whether to hang up: the client may have been connecting."""

SHORTEST_PAUSE: Final = 0.05
"""Seconds between two heartbeats at least."""

ATTEMPT: Final = 0.00025
"""Seconds between two attempts to connect when many clients of the process begin one at once. The
event loop has about so much to do for each."""

LONGEST_QUEUE: Final = 1.0
"""Seconds that an attempt waits for its turn at most. One that would wait for longer begins at
once. So it does when a test that had set the clock forward has ended."""

_next_attempt: Final = [0.0]
"""When the next attempt may begin, by the monotonic clock."""

_PINGED: Final = "_kazoo_gevent_patch_pinged"
"""Where it is kept when the last heartbeat was sent, by the monotonic clock."""

_TIMEOUT: Final = "_kazoo_gevent_patch_timeout"
"""Where the negotiated session time-out is kept, in seconds."""

_Args = tuple[Any, ...]
_Kwargs = dict[str, Any]


def start(wrapped: Callable[..., None], connection: Any, args: _Args, kwargs: _Kwargs) -> None:
    """``ConnectionHandler.start``: from here on the client takes requests, on a new session.

    The connection greenlet says so itself when it first runs, which is after the caller of
    ``start_async()`` has gone on; what it says then is no change.
    """
    if _is_on_ours(connection):
        monkey.warn_if_unpatched()
        if isinstance(connection.logger, logging.Logger):  # the caller's may be anything
            connection.logger.addFilter(replies.hide_request)
        # A greenlet that has ended is false; stop() only forgets one that it joined.
        if not connection._connection_routine:
            _take_requests(connection)
    wrapped(*args, **kwargs)
    if _is_on_ours(connection):
        succession.look_after(connection)
    if isinstance(connection._read_sock, WakeReader):
        connection._read_sock.client = connection.client


def _take_requests(connection: Any) -> None:
    client = connection.client
    # As kazoo does next: requests may come as soon as the client says that it takes them.
    if connection.connection_closed.is_set():
        connection._read_sock, connection._write_sock = connection.handler.create_socket_pair()
        connection.connection_closed.clear()
    # A closed client takes no requests. What is in its queue came too late, or is the Close of a
    # stop() that found the connection greenlet ended by an error: it would end the new session
    # at once.
    late, client._queue = client._queue, deque()
    requests.refuse(late, KeeperState.CLOSED)
    client._session_callback(KeeperState.CONNECTING)


def expand_client_hosts(
    wrapped: Callable[..., Any], connection: Any, args: _Args, kwargs: _Kwargs
) -> Any:
    """``ConnectionHandler._expand_client_hosts``, which begins an attempt to connect.

    On our handler gevent's resolver is asked, and attempts that come together are spread.
    """
    function = getattr(wrapped, "__func__", None)
    if not _is_on_ours(connection):
        return wrapped(*args, **kwargs)
    _wait_for_turn(connection)
    if function is None:
        return wrapped(*args, **kwargs)
    return cooperative(function)(connection, *args, **kwargs)


def _wait_for_turn(connection: Any) -> None:
    """Wait as long as the attempts take that came before. A few of them fit into a time slice."""
    now = monotonic()
    delay = max(_next_attempt[0] - now, 0.0)
    if delay > LONGEST_QUEUE:
        delay = 0.0
    _next_attempt[0] = now + delay + ATTEMPT
    if delay > SLICE:
        connection.client._stopped.wait(delay)


def connect(
    wrapped: Callable[..., tuple[float, float]], connection: Any, args: _Args, kwargs: _Kwargs
) -> tuple[float, float]:
    """``ConnectionHandler._connect``: from here on there is a session to lose."""
    timeouts = wrapped(*args, **kwargs)
    if _is_on_ours(connection):
        # kazoo keeps the negotiated time-out nowhere; the first is two thirds of it, in ms.
        timeout = round(timeouts[0] * 1.5) / 1000
        setattr(connection, _TIMEOUT, timeout)
        replies.look_out_for_large_ones(connection)
        connection.handler.watch_for_stalls(connection.client, connection._socket, timeout)
    return timeouts


def stop(wrapped: Callable[..., bool], connection: Any, args: _Args, kwargs: _Kwargs) -> bool:
    """``ConnectionHandler.stop``: hangs up if the server does not let the connection end.

    Such as one that sends a reply which has no end. As long as replies come, it waits.
    """
    client, waits = connection.client, _waiting(connection)
    negotiated = getattr(connection, _TIMEOUT, 0.0)
    patience = max(client._session_timeout / 1000, min(negotiated, LONGEST_PATIENCE))
    for _ in range(HANG_UPS if _is_on_ours(connection) else 0):
        if connection.connection_stopped.wait(patience):
            break
        before, waits = waits, _waiting(connection)
        if waits >= before and connection._socket is not None:
            log.warning(
                "The server has completed no reply within %g s of stop(): the connection is "
                "closed, and the session may last until its time-out",
                patience,
            )
            connection._socket.close()
    return wrapped(*args, **kwargs)


def send_ping(wrapped: Callable[..., None], connection: Any, args: _Args, kwargs: _Kwargs) -> None:
    """``ConnectionHandler._send_ping``: on our handler there is a pause between two of them.

    kazoo sends one with each answer to the last, if the session time-out is short enough. A
    request does not wait for the end of the pause: it does what a heartbeat does.
    """
    if _is_on_ours(connection):
        left = getattr(connection, _PINGED, 0.0) + SHORTEST_PAUSE - monotonic()
        if left > 0:
            channel = connection._read_sock
            if connection.client._pending or connection.handler.select([channel], [], [], left)[0]:
                return
        setattr(connection, _PINGED, monotonic())
    wrapped(*args, **kwargs)


def _waiting(connection: Any) -> int:
    return len(connection.client._pending) + len(connection.client._queue)


def _is_on_ours(connection: Any) -> bool:
    return isinstance(connection.handler, SequentialGeventHandler)

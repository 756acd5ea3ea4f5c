"""What a client becomes when the native thread in whose event loop it lives has ended.

Nothing of it ever goes on: code that waits for it would wait for ever, and the server ends the
session when it has heard nothing for the session's time-out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, Final

from kazoo.exceptions import ConnectionClosedError

from kazoo_gevent_patch import inventory
from kazoo_gevent_patch.changes.forking import Inherited, is_ours, replace_connection
from kazoo_gevent_patch.errors import KazooGeventPatchError
from kazoo_gevent_patch.loop.threads import NativeThread

log = logging.getLogger("kazoo_gevent_patch")


_ENDED: Final = (
    "The thread that started this client has ended, and with it the event loop that the client "
    "lived in; stop() it before its thread ends, or start() it again in a thread that stays"
)


class EventLoopEndedError(KazooGeventPatchError, ConnectionClosedError):  # type: ignore[misc]
    """The thread that started the client has ended, and its event loop with it."""

    def __init__(self, text: str = _ENDED) -> None:
        super().__init__(text)


def sever_all(thread: NativeThread) -> None:
    """Stop the clients that live in the thread, which ends; logs, and never raises."""
    for client in inventory.live:
        try:
            if is_ours(client) and client.handler.thread is thread and _has_a_session(client):
                _sever(client)
        except Exception:
            log.exception("%s, whose thread has ended, hangs", inventory.describe(client))


def _has_a_session(client: Any) -> bool:
    # A greenlet that has ended is false; it may still be there after stop().
    return inventory.is_running(client) or bool(client._connection._connection_routine)


def _sever(client: Any) -> None:
    """Stop the client, as after a lost session: what is pending fails, listeners are told."""
    waited_for = list(client.handler.outcomes)
    client.handler.unwatch()
    thread = client.handler.thread
    client.handler.abandon()
    client.handler.thread = thread  # which has ended, so that listeners do not wait in it
    stands_in = Inherited(client, reconnects=False, refusal=EventLoopEndedError)
    # What another thread queues from here on, kazoo refuses: there is nothing to wake.
    replace_connection(client)
    for result in (*waited_for, *_take_pending(client)):
        result.set_exception(EventLoopEndedError())
    stands_in.tell()


def _take_pending(client: Any) -> Iterator[Any]:
    for requests in (client._pending, client._queue):
        while requests:
            result = requests.popleft()[1]
            if result is not None:
                yield result

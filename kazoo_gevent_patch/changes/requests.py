"""How a request is queued: it is refused and never carried out, or queued and given an outcome.

kazoo's ``KazooClient._call`` puts the request into the client's queue, and refuses it afterwards
if it finds no wake channel, or cannot write to it. The request stays in the queue, and the next
session carries it out. Another native thread may get in between at any line: while it runs, the
client's own thread stops the client and starts it again.

Here a request that is refused is not in the queue any more, and the code that ends a queue fails
what is in it. No request is left over:

* Code that closes the client stores the state, then empties the queue, and then puts a new queue in
  its place (``KazooClient._session_callback``). The next session begins with yet another queue, and
  says that it takes requests when that is in place (``protocol.start``).
* The caller that queues a request stores it first, and then looks at the state and at the queue. If
  the client is closed by then, or the queue is not the client's any more, the request may have
  come too late for the other to see it, and so the caller empties that queue too.
* ``popleft`` gives each request to one of them only. The connection greenlet takes from no queue
  of a closed client, and never from an old one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from kazoo.exceptions import AuthFailedError, ConnectionClosedError, SessionExpiredError
from kazoo.protocol.states import KeeperState

from kazoo_gevent_patch.handler.sequential import SequentialGeventHandler

_Call = Callable[[Any, Any, Any], Any]

_REFUSALS: Final[dict[str, Callable[[], Exception]]] = {
    KeeperState.AUTH_FAILED: AuthFailedError,
    KeeperState.CLOSED: partial(ConnectionClosedError, "Connection has been closed"),
    KeeperState.EXPIRED_SESSION: SessionExpiredError,
}
"""kazoo's exceptions for requests, by the states of a client that takes none."""
_CLOSED: Final = frozenset(_REFUSALS)


def call(original: _Call, _: type) -> _Call:
    """Return what takes the place of ``KazooClient._call``. Every request goes through it."""

    def _call(self: Any, request: Any, async_object: Any) -> Any:
        if not isinstance(self.handler, SequentialGeventHandler):
            return original(self, request, async_object)
        if self._state in _CLOSED:
            async_object.set_exception(_refusal(self._state))
            return False  # create() raises the exception where it is told so
        queue, entry = self._queue, (request, async_object)
        queue.append(entry)
        if self._state in _CLOSED or self._queue is not queue:
            refuse(queue, self._state)
            return None
        writer = self._connection._write_sock
        try:
            writer.send(b"\0")
        except (OSError, AttributeError):  # it is closed, or there is none any more
            _take_back(queue, entry)
        return None

    return _call


def _take_back(queue: deque[Any], entry: tuple[Any, Any]) -> None:
    """Refuse a request whose connection was closed at the moment when it was queued.

    Nothing takes requests for such a connection, and the next one has a queue of its own. If the
    request is not there any more, what ended the queue has failed it.
    """
    while True:
        try:
            queue.remove(entry)
        except ValueError:
            return
        except IndexError:
            continue  # another thread changed the queue meanwhile
        entry[1].set_exception(_refusal(KeeperState.CLOSED))
        return


def refuse(queue: deque[tuple[Any, Any]], state: str) -> None:
    """Fail all requests in a queue that the connection takes nothing from any more."""
    with suppress(IndexError):
        while True:
            _, async_object = queue.popleft()
            if async_object is not None:  # as for the request to close
                async_object.set_exception(_refusal(state))


def _refusal(state: str) -> Exception:
    return _REFUSALS.get(state, _REFUSALS[KeeperState.CLOSED])()

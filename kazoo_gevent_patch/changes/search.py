"""How a read-only session looks for a server that can write.

kazoo asks another server after each heartbeat, in the session's own greenlet, and with no limit on
how long that takes. It asks in plain text, whatever the client uses. Here a greenlet of its own
asks, over TLS if the client uses that. Neither requests nor heartbeats wait for a server that says
nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from kazoo_gevent_patch.handler.greenlets import HandlerGreenlet
from kazoo_gevent_patch.handler.sequential import PING_TIMEOUT, SequentialGeventHandler

PATIENCE: Final = 0.1
"""Seconds that the session waits for the answer. One that comes later is found at the next
heartbeat."""

_OPTIONS: Final = (
    *("use_ssl", "ca", "certfile", "keyfile", "keyfile_password"),
    *("verify_certs", "check_hostname"),
)


def server_pinger(
    wrapped: Callable[..., Any], connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """``ConnectionHandler._server_pinger``: on our handler the search runs beside the session."""
    pinger = wrapped(*args, **kwargs)
    if not isinstance(connection.handler, SequentialGeventHandler):
        return pinger
    pinger.connection = ConnectAsClient(connection.client)
    return _Search(pinger, connection.handler)


class ConnectAsClient:
    """Connects to a server as the client does."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __call__(self, address: tuple[str, int]) -> Any:
        """Return a connection to the address; raises what the handler raises."""
        client = self._client
        options = {name: getattr(client, name) for name in _OPTIONS if hasattr(client, name)}
        if "check_hostname" in options:  # kazoo compares host names since 2.11
            options["hostname"] = address[0]
        return client.handler.create_connection(address, timeout=PING_TIMEOUT, **options)


class _Search:
    """Gives a server that can write, or else false, each time that kazoo asks."""

    def __init__(self, pinger: Any, handler: SequentialGeventHandler) -> None:
        self._answers = iter(pinger)
        self._handler = handler
        self._greenlet: HandlerGreenlet | None = None
        self._answer: Any = False

    def __iter__(self) -> _Search:
        return self

    def __next__(self) -> Any:
        if self._greenlet is None:
            self._greenlet = self._handler.spawn(self._ask)
            self._greenlet.join(PATIENCE)
        if self._greenlet.is_alive():
            return False
        self._greenlet = None
        answer, self._answer = self._answer, False
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _ask(self) -> None:
        try:
            self._answer = next(self._answers)
        except Exception as error:
            self._answer = error

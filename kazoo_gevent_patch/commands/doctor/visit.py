"""What the steps of the live check hand on to each other."""

from __future__ import annotations

import logging
import uuid
from contextlib import suppress
from time import monotonic
from typing import Any, Final, NamedTuple

import gevent
from kazoo.client import KazooClient
from kazoo.exceptions import NotEmptyError
from kazoo.loggingsupport import BLATHER

from kazoo_gevent_patch.commands.doctor.arguments import Target

_CLOSE_TIMEOUT: Final = 3.0
_GIVING_UP: Final = "Failed connecting"  # kazoo's last words, after those that tell why
_SESSION_TIMEOUT: Final = 4.0  # seconds; the least that a server grants by default
# Of the step's time, so that half of the session timeout again is less than the busy share.
_SESSION_SHARE: Final = 0.4


class Endpoint(NamedTuple):
    """A server at one of its addresses."""

    host: str
    port: int
    ip: str
    is_one_of_several: bool
    """Whether the name has other addresses that take connections."""

    def __str__(self) -> str:
        """Return what the server is called in a report."""
        name = address(self.host, self.port)
        return f"{name} ({self.ip})" if self.is_one_of_several else name

    @property
    def hosts(self) -> str:
        """The connect string for this one alone."""
        return address(self.ip if self.is_one_of_several else self.host, self.port)


def address(host: str, port: int) -> str:
    """Return host and port as a connect string has them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class ClientLog(logging.Logger):
    """The log of the doctor's client: shown to nobody, but it knows two things.

    kazoo tells why it cannot connect, and what session timeout the server granted, in its
    log alone.
    """

    def __init__(self) -> None:
        super().__init__("kazoo_gevent_patch.commands.doctor", BLATHER)
        self.last_warning = ""
        self.session_timeout = 0.0
        """Seconds; 0 while there is no session."""

    def handle(self, record: logging.LogRecord) -> None:
        """Take what is of use from a record."""
        if record.levelno >= logging.WARNING and not record.getMessage().startswith(_GIVING_UP):
            why = record.exc_info[1] if record.exc_info else None
            self.last_warning = record.getMessage() + (f": {why!r}" if why else "")
        _, found, rest = record.getMessage().partition("negotiated session timeout: ")
        if found:
            self.session_timeout = int(rest.split()[0]) / 1000


class Visit:
    """A visit to the servers; what a step could not get is empty, and so says the next."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.log = ClientLog()
        self.step_ends = 0.0
        """When the step that is being made is ended, by the monotonic clock."""
        self.resolved: dict[tuple[str, int], list[str]] = {}
        """The addresses of each server."""
        self.endpoints: list[Endpoint] = []
        """Where a connection was taken."""
        self.fit: list[Endpoint] = []
        """Those of them that may give a session, as far as is known."""
        self.cure = ""
        """What to do about those that may not."""
        self.secure = False
        """Whether a server can be talked to: by TLS where that is asked for."""
        self.client: Any = None
        """A started ``KazooClient``."""
        self.members: list[Any] = []
        """Clients that were given one server each."""
        self.session_id = 0
        """The session's, once there is one."""
        self.parent = ""
        """The node under which the temporary one is made, when it is known to be there."""
        self.node = ""
        """The temporary node."""
        self.to_remove = ""
        """The temporary node, as long as it may be there."""

    def new_node(self) -> str:
        """Choose the path of the temporary node."""
        name = f"kazoo-gevent-patch-doctor-{uuid.uuid4().hex}"
        self.to_remove = f"{self.parent.rstrip('/')}/{name}"
        return self.to_remove

    def new_client(self, hosts: str, log: ClientLog, **options: object) -> Any:
        """Return a ``KazooClient`` with the TLS and the credentials of the options."""
        # Short, so that the heartbeat step can outlast it; the server may grant a longer one.
        timeout = min(_SESSION_TIMEOUT, _SESSION_SHARE * self.target.timeout)
        options = {**self.target.client_options(), **options}
        return KazooClient(hosts, timeout=timeout, logger=log, **options)

    def time_left(self) -> float:
        """Return how many seconds the step may still take."""
        return max(0.0, self.step_ends - monotonic())

    def close(self) -> None:
        """Remove the temporary node if it is still there, and close the sessions."""
        client, self.client = self.client, None
        if client is not None:
            with suppress(Exception, gevent.Timeout), gevent.Timeout(_CLOSE_TIMEOUT):
                while self.to_remove:
                    # Ctrl-C may have cut off the connection, which comes back, or a contender
                    # for the lock, which may have made its node in the meantime.
                    with suppress(NotEmptyError):
                        client.retry(client.delete, self.to_remove, recursive=True)
                        self.to_remove = ""
        clients = [*self.members, *([client] if client else [])]
        ends = [gevent.spawn(_end, client) for client in clients]
        gevent.joinall(ends, timeout=2 * _CLOSE_TIMEOUT)


def _end(client: Any) -> None:
    with suppress(Exception, gevent.Timeout), gevent.Timeout(_CLOSE_TIMEOUT):
        client.stop()
        client.close()

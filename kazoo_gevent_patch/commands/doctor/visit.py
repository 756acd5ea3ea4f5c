"""What the steps of the live check hand on to each other."""

from __future__ import annotations

import logging
import uuid
from contextlib import suppress
from typing import Any, Final

import gevent
from kazoo.loggingsupport import BLATHER

from kazoo_gevent_patch.commands.doctor.arguments import Target

_CLOSE_TIMEOUT: Final = 3.0


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
        if record.levelno >= logging.WARNING:
            self.last_warning = record.getMessage()
        _, found, rest = record.getMessage().partition("negotiated session timeout: ")
        if found:
            self.session_timeout = int(rest.split()[0]) / 1000


class Visit:
    """A visit to the servers; what a step could not get is empty, and so says the next."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.log = ClientLog()
        self.resolved: dict[tuple[str, int], list[str]] = {}
        """The addresses of each server."""
        self.reachable: dict[tuple[str, int], str] = {}
        """The address at which each server took a connection."""
        self.secure = False
        """Whether a server can be talked to: by TLS where that is asked for."""
        self.client: Any = None
        """A started ``KazooClient``."""
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

    def close(self) -> None:
        """Remove the temporary node if it is still there, and close the session."""
        if self.client is None:
            return
        client, self.client = self.client, None
        with suppress(Exception, gevent.Timeout), gevent.Timeout(_CLOSE_TIMEOUT):
            if self.to_remove and client.connected:
                client.delete(self.to_remove, recursive=True)
        with suppress(Exception, gevent.Timeout), gevent.Timeout(_CLOSE_TIMEOUT):
            client.stop()
            client.close()

"""The members: this worker's node in ZooKeeper, and the live list of all nodes."""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from threading import Event, Lock
from typing import Any, Final

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException, NodeExistsError, NoNodeError
from kazoo.protocol.states import KazooState

MEMBERS: Final = "/example-registry/members"
LONGEST_NAME: Final = 255  # of a host, in the domain name system

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Member:
    """A worker that has a node, which is named after its session."""

    session: str
    host: str
    pid: int
    since: datetime
    order: int


@dataclass(frozen=True)
class View:
    """What this worker knew at one moment; ``outdated`` is set as soon as it knows more."""

    connected: bool = False
    members: tuple[Member, ...] = ()
    outdated: Event = field(default_factory=Event, compare=False, repr=False)

    @property
    def leader(self) -> Member | None:
        """The member that has been there longest: all workers agree on it without a word."""
        return self.members[0] if self.members else None


class Membership:
    """Keeps this process registered, and ``view`` up to date."""

    def __init__(self, hosts: str) -> None:
        self.view = View()
        self.has_left = False
        self._publishing = Lock()
        self._joining = Lock()
        self._watched = False
        self._client = KazooClient(
            hosts, timeout=4.0, connection_retry={"max_tries": -1, "delay": 0.1, "max_delay": 1.0}
        )

    def start(self) -> None:
        """Connect, now or when there is a server; there is no need to wait for it."""
        self._client.add_listener(self._session_changed)
        self._client.start_async()

    def leave(self) -> None:
        """Close the session, and with it the node, which all workers see at once."""
        self.has_left = True
        self._publish()
        self._client.stop()
        self._client.close()

    def session(self) -> str | None:
        """Return the name of this worker's own node."""
        identity = self._client.client_id
        return f"{identity[0]:x}" if identity else None

    def _session_changed(self, state: str) -> None:
        self._publish(connected=state == KazooState.CONNECTED)
        if state == KazooState.CONNECTED:
            # kazoo forbids requests in a listener: it would wait for itself.
            self._client.handler.spawn(self._join)

    def _join(self) -> None:
        # Also after a reconnection: an expired session has taken the node with it.
        try:
            with self._joining:
                self._client.retry(self._register)
                if not self._watched:
                    self._client.ChildrenWatch(MEMBERS, self._members_changed)
                    self._watched = True
        except KazooException as error:
            log.warning("not registered until the next connection: %r", error)

    def _register(self) -> None:
        identity = {"host": socket.gethostname(), "pid": os.getpid()}
        self._client.ensure_path(MEMBERS)
        # The name is the session's own, so that a repeat finds the node of the first attempt.
        with suppress(NodeExistsError):
            self._client.create(
                f"{MEMBERS}/{self.session()}", json.dumps(identity).encode(), ephemeral=True
            )

    def _members_changed(self, sessions: Sequence[str]) -> None:
        known = {member.session: member for member in self.view.members}
        found = (known.get(session) or self._look_up(session) for session in sessions)
        members = sorted(filter(None, found), key=lambda member: member.order)
        self._publish(members=tuple(members))

    def _look_up(self, session: str) -> Member | None:
        try:
            data, stat = self._client.retry(self._client.get, f"{MEMBERS}/{session}")
        except NoNodeError:
            return None  # gone again already: the watch will tell
        identity = _identity(data)
        if identity is None:
            log.warning("left out: %.80r does not say which worker it is", session)
            return None
        host, pid = identity
        since = datetime.fromtimestamp(int(stat.created), timezone.utc)
        return Member(session=session, host=host, pid=pid, since=since, order=stat.czxid)

    def _publish(self, **changes: Any) -> None:
        with self._publishing:
            old = self.view
            self.view = replace(old, outdated=Event(), **changes)
        old.outdated.set()


def _identity(data: bytes) -> tuple[str, int] | None:
    """Return the host and the process id in a node's data, which anybody may have written."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    match found:
        case {"host": str(host), "pid": int(pid)} if len(host) <= LONGEST_NAME:
            return host, pid
    return None

"""Everything that this package changes in kazoo: one row a change.

Reading this table is reading what ``patch_all()`` does. All rows apply when ``kazoo.client`` is
imported, or none does, and are undone by putting the identical originals back. What else of kazoo's
inside this package leans on is listed in ``patching.contract``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Patch:
    """One change of one attribute."""

    module: str
    """The module of kazoo that holds the target; importing it anew applies the change anew."""

    target: str
    """The dotted path of the attribute in the module."""

    how: str
    """``wrap``: the replacement is called around the original (``patching.around``).
    ``value``: the replacement is called once, with the original and its owner, and returns
    what takes the place of the original."""

    replacement: str
    """``module:function`` in the wing ``changes``, imported when the change is applied."""

    why: str

    @property
    def name(self) -> str:
        """Return the attribute's full name."""
        return f"{self.module}.{self.target}"


PATCHES: Final = (
    Patch(
        module="kazoo.retry",
        target="KazooRetry.__init__.__defaults__",
        how="value",
        replacement="retries:cooperative_defaults",
        why="A KazooRetry made without a sleep_func sleeps with the time.sleep of kazoo's "
        "import and stops the event loop (kazoo issues 126 and 150).",
    ),
    Patch(
        module="kazoo.protocol.connection",
        target="ConnectionHandler.start",
        how="wrap",
        replacement="protocol:start",
        why="Requests right after start_async() find the client closed until the connection "
        "greenlet has run; a thread mostly wins that race.",
    ),
    *(
        Patch(
            module=f"kazoo.protocol.{module}",
            target="EXCEPTIONS",
            how="value",
            replacement="server_errors:with_unknown",
            why="An error code that kazoo does not know, such as a newer server's, ends its "
            "connection loop, and the request never ends.",
        )
        for module in ("connection", "serialization")
    ),
    Patch(
        module="kazoo.protocol.connection",
        target="ConnectionHandler._socket_error_handling",
        how="value",
        replacement="socket_errors:handling",
        why="It makes a generator for each read and each write, just in case: a tenth of the "
        "work of a request.",
    ),
    Patch(
        module="kazoo.protocol.connection",
        target="ConnectionHandler._expand_client_hosts",
        how="wrap",
        replacement="protocol:expand_client_hosts",
        why="Looks the names of servers up with the socket.getaddrinfo of kazoo's import, and "
        "a slow answer stops the event loop.",
    ),
    Patch(
        module="kazoo.protocol.connection",
        target="ConnectionHandler._connect",
        how="wrap",
        replacement="protocol:connect",
        why="A program that stops the event loop loses its sessions, and nobody tells it why "
        "(kazoo issues 285 and 286). Tells the helper that keeps them the negotiated time-out.",
    ),
    Patch(
        module="kazoo.protocol.connection",
        target="ConnectionHandler._send_ping",
        how="wrap",
        replacement="protocol:send_ping",
        why="With a short session time-out it sends heartbeats without a pause.",
    ),
    Patch(
        module="kazoo.protocol.connection",
        target="ConnectionHandler.stop",
        how="wrap",
        replacement="protocol:stop",
        why="A server that sends a reply without an end keeps stop() waiting for ever.",
    ),
    *(
        Patch(
            module="kazoo.protocol.serialization",
            target=f"{request}.deserialize",
            how="value",
            replacement="replies:with_path",
            why="A reply without a path, where there has to be one, leaves the request without "
            "an outcome for ever.",
        )
        for request in ("Create", "Sync")
    ),
    Patch(
        module="kazoo.protocol.connection",
        target="ConnectionHandler._server_pinger",
        how="wrap",
        replacement="search:server_pinger",
        why="A read-only session asks in its own greenlet, without a limit and in plain text, "
        "whether another server can write; requests and heartbeats wait for the answer.",
    ),
    Patch(
        module="kazoo.client",
        target="KazooClient.__init__",
        how="wrap",
        replacement="client:init",
        why="Gives a client that was built without a handler ours, and aligns the sleep "
        "functions of its retry objects with its handler's.",
    ),
    Patch(
        module="kazoo.client",
        target="KazooClient._call",
        how="value",
        replacement="requests:call",
        why="Refuses a request that it has queued already, when another thread stops the client "
        "at that moment; the next session carries it out all the same.",
    ),
    Patch(
        module="kazoo.client",
        target="KazooClient.start_async",
        how="wrap",
        replacement="client:start_async",
        why="Moves a client that was built before patch_all() to our handler when it starts.",
    ),
    Patch(
        module="kazoo.client",
        target="KazooClient.start",
        how="wrap",
        replacement="lifecycle:start",
        why="In the event loop it would begin to connect, and then fail or wait for itself; it "
        "refuses at once.",
    ),
    Patch(
        module="kazoo.client",
        target="KazooClient._session_callback",
        how="wrap",
        replacement="listeners:session_callback",
        why="A ChildrenWatch whose reply is followed at once by the end of the connection may "
        "hear of the end first, and then never sets its watch again.",
    ),
    Patch(
        module="kazoo.client",
        target="KazooClient._make_state_change",
        how="wrap",
        replacement="listeners:make_state_change",
        why="A state listener that asks the client for something waits for the connection, which "
        "waits for the listener (kazoo issues 356, 381 and 405).",
    ),
    *(
        Patch(
            module="kazoo.client",
            target=f"KazooClient.{method}",
            how="wrap",
            replacement=f"lifecycle:{method}",
            why="It waits for greenlets of the client's own event loop, which another thread "
            "cannot do, nor the event loop (a signal handler: gevent issue 799).",
        )
        for method in ("stop", "restart")
    ),
    Patch(
        module="kazoo.client",
        target="KazooClient.close",
        how="wrap",
        replacement="lifecycle:close",
        why="After a stop() that could not wait it would find the connection still open.",
    ),
    Patch(
        module="kazoo.protocol.connection",
        target="ConnectionHandler.zk_loop",
        how="wrap",
        replacement="succession:zk_loop",
        why="A connection greenlet that is killed or times out would end the client for good.",
    ),
    *(
        Patch(
            module=f"kazoo.recipe.{module}",
            target=f"{recipe}.__init__",
            how="wrap",
            replacement="recipes:remember",
            why="In a forked child the recipe must forget what its parent owns; and it moves to "
            "our handler with its client.",
        )
        for module, recipe in (
            ("lock", "Lock"),
            ("lock", "Semaphore"),
            ("party", "BaseParty"),
            ("barrier", "DoubleBarrier"),
            ("queue", "LockingQueue"),
            ("partitioner", "SetPartitioner"),
            ("watchers", "DataWatch"),
            ("watchers", "ChildrenWatch"),
            ("watchers", "PatientChildrenWatch"),
        )
    ),
    *(
        Patch(
            module=f"kazoo.recipe.{module}",
            target=target,
            how="wrap",
            replacement=f"cancellation:{replacement}",
            why="A greenlet that is killed or times out here would leave a node on the server "
            "that locks everybody out, or counts as a member.",
        )
        for module, target, replacement in (
            ("lock", "Lock.__enter__", "acquire_on_entry"),
            ("lock", "Lock.__exit__", "release_on_exit"),
            ("lock", "Semaphore.__enter__", "acquire_on_entry"),
            ("lock", "Semaphore.__exit__", "release_on_exit"),
            ("lock", "Lock.acquire", "lock_acquire"),
            ("lock", "Lock.release", "lock_release"),
            ("lock", "Semaphore.acquire", "semaphore_acquire"),
            ("lock", "Semaphore.release", "semaphore_release"),
            ("queue", "LockingQueue._inner_get", "locking_queue_get"),
            ("party", "BaseParty.join", "enter"),
            ("party", "BaseParty.leave", "party_leave"),
            ("barrier", "DoubleBarrier.enter", "enter"),
            ("barrier", "DoubleBarrier.leave", "double_barrier_leave"),
        )
    ),
    *(
        Patch(
            module=f"kazoo.recipe.{module}",
            target=target,
            how="wrap",
            replacement=f"ownership:{replacement}",
            why="A session that the client has lost, and that the server still has, gives it a "
            "lock, a lease, an item or a membership that ends with that session, unnoticed.",
        )
        for module, target, replacement in (
            ("lock", "Lock._inner_acquire", "lock_attempt"),
            ("lock", "Lock._get_predecessor", "get_predecessor"),
            ("lock", "Lock._inner_release", "inner_release"),
            ("lock", "Semaphore._inner_acquire", "attempt"),
            ("lock", "Semaphore._inner_release", "inner_release"),
            ("queue", "LockingQueue._take", "take"),
            ("party", "BaseParty._inner_join", "attempt"),
            ("party", "BaseParty._inner_leave", "inner_leave"),
            ("barrier", "DoubleBarrier._inner_enter", "attempt"),
            ("barrier", "DoubleBarrier._inner_leave", "inner_leave"),
        )
    ),
    Patch(
        module="kazoo.recipe.partitioner",
        target="SetPartitioner._allocate_transition",
        how="wrap",
        replacement="ownership:allocate",
        why="One that fails while it acquires its locks keeps them, in the next session, for good.",
    ),
)

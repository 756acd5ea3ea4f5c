"""Everything that this package changes in kazoo: one row a change.

Reading this table is reading what ``patch_all()`` does: which attribute changes, how, what comes in
its place, and why. All rows apply when ``kazoo.client`` is imported, or none does, and are undone
by putting the identical originals back. What else of kazoo's inside this package leans on is listed
in ``patching.contract``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from kazoo_gevent_patch.patching.rows import rows


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


_TABLE: Final = """
kazoo.retry:KazooRetry.__init__.__defaults__ value retries:cooperative_defaults
    A KazooRetry made without a sleep_func sleeps with the time.sleep of kazoo's import and stops
    the event loop (kazoo issues 126 and 150).
kazoo.protocol.connection:ConnectionHandler.start wrap protocol:start
    Requests right after start_async() find the client closed until the connection greenlet has run;
    a thread mostly wins that race.
kazoo.protocol.connection:EXCEPTIONS value server_errors:with_unknown
kazoo.protocol.serialization:EXCEPTIONS value server_errors:with_unknown
    An error code that kazoo does not know, such as a newer server's, ends its connection loop, and
    the request never ends.
kazoo.protocol.connection:ConnectionHandler._socket_error_handling value socket_errors:handling
    It makes a generator for each read and each write, just in case: a tenth of the work of a
    request.
kazoo.protocol.connection:ConnectionHandler._expand_client_hosts wrap protocol:expand_client_hosts
    Looks the names of servers up with the socket.getaddrinfo of kazoo's import, and a slow answer
    stops the event loop.
kazoo.protocol.connection:ConnectionHandler._connect wrap protocol:connect
    A program that stops the event loop loses its sessions, and nobody tells it why (kazoo issues
    285 and 286). Tells the helper that keeps them the negotiated time-out.
kazoo.protocol.connection:ConnectionHandler._send_ping wrap protocol:send_ping
    With a short session time-out it sends heartbeats without a pause.
kazoo.protocol.connection:ConnectionHandler.stop wrap protocol:stop
    A server that sends a reply without an end keeps stop() waiting for ever.
kazoo.protocol.serialization:Create.deserialize value replies:with_path
kazoo.protocol.serialization:Sync.deserialize value replies:with_path
    A reply without a path, where there has to be one, leaves the request without an outcome for
    ever.
kazoo.protocol.connection:ConnectionHandler._server_pinger wrap search:server_pinger
    A read-only session asks in its own greenlet, without a limit and in plain text, whether another
    server can write; requests and heartbeats wait for the answer.
kazoo.client:KazooClient.__init__ wrap client:init
    Gives a client that was built without a handler ours, and aligns the sleep functions of its
    retry objects with its handler's.
kazoo.client:KazooClient._call value requests:call
    Refuses a request that it has queued already, when another thread stops the client at that
    moment; the next session carries it out all the same.
kazoo.client:KazooClient.start_async wrap client:start_async
    Moves a client that was built before patch_all() to our handler when it starts.
kazoo.client:KazooClient.start wrap lifecycle:start
    In the event loop it would begin to connect, and then fail or wait for itself; it refuses at
    once.
kazoo.client:KazooClient._session_callback wrap listeners:session_callback
    A ChildrenWatch whose reply is followed at once by the end of the connection may hear of the end
    first, and then never sets its watch again.
kazoo.client:KazooClient._make_state_change wrap listeners:make_state_change
    A state listener that asks the client for something waits for the connection, which waits for
    the listener (kazoo issues 356, 381 and 405).
kazoo.client:KazooClient.stop wrap lifecycle:stop
kazoo.client:KazooClient.restart wrap lifecycle:restart
    It waits for greenlets of the client's own event loop, which another thread cannot do, nor the
    event loop (a signal handler: gevent issue 799).
kazoo.client:KazooClient.close wrap lifecycle:close
    After a stop() that could not wait it would find the connection still open.
kazoo.protocol.connection:ConnectionHandler.zk_loop wrap succession:zk_loop
    A connection greenlet that is killed or times out would end the client for good.
kazoo.recipe.lock:Lock.__init__ wrap recipes:remember
kazoo.recipe.lock:Semaphore.__init__ wrap recipes:remember
kazoo.recipe.party:BaseParty.__init__ wrap recipes:remember
kazoo.recipe.barrier:DoubleBarrier.__init__ wrap recipes:remember
kazoo.recipe.queue:LockingQueue.__init__ wrap recipes:remember
kazoo.recipe.partitioner:SetPartitioner.__init__ wrap recipes:remember
kazoo.recipe.watchers:DataWatch.__init__ wrap recipes:remember
kazoo.recipe.watchers:ChildrenWatch.__init__ wrap recipes:remember
kazoo.recipe.watchers:PatientChildrenWatch.__init__ wrap recipes:remember
    In a forked child the recipe must forget what its parent owns; and it moves to our handler with
    its client.
kazoo.recipe.lock:Lock.__enter__ wrap cancellation:acquire_on_entry
kazoo.recipe.lock:Lock.__exit__ wrap cancellation:release_on_exit
kazoo.recipe.lock:Semaphore.__enter__ wrap cancellation:acquire_on_entry
kazoo.recipe.lock:Semaphore.__exit__ wrap cancellation:release_on_exit
kazoo.recipe.lock:Lock.acquire wrap cancellation:lock_acquire
kazoo.recipe.lock:Lock.release wrap cancellation:release
kazoo.recipe.lock:Semaphore.acquire wrap cancellation:semaphore_acquire
kazoo.recipe.lock:Semaphore.release wrap cancellation:release
kazoo.recipe.queue:LockingQueue._inner_get wrap cancellation:locking_queue_get
kazoo.recipe.party:BaseParty.join wrap cancellation:enter
kazoo.recipe.party:BaseParty.leave wrap cancellation:party_leave
kazoo.recipe.barrier:DoubleBarrier.enter wrap cancellation:enter
kazoo.recipe.barrier:DoubleBarrier.leave wrap cancellation:double_barrier_leave
    A greenlet that is killed or times out here would leave a node on the server that locks
    everybody out, or counts as a member.
kazoo.recipe.lock:Lock._inner_acquire wrap ownership:lock_attempt
kazoo.recipe.lock:Lock._get_predecessor wrap ownership:get_predecessor
kazoo.recipe.lock:Lock._inner_release wrap ownership:inner_release
kazoo.recipe.lock:Semaphore._inner_acquire wrap ownership:attempt
kazoo.recipe.lock:Semaphore._inner_release wrap ownership:inner_release
kazoo.recipe.queue:LockingQueue._take wrap ownership:take
kazoo.recipe.party:BaseParty._inner_join wrap ownership:attempt
kazoo.recipe.party:BaseParty._inner_leave wrap ownership:inner_leave
kazoo.recipe.barrier:DoubleBarrier._inner_enter wrap ownership:attempt
kazoo.recipe.barrier:DoubleBarrier._inner_leave wrap ownership:inner_leave
    A session that the client has lost, and that the server still has, gives it a lock, a lease, an
    item or a membership that ends with that session, unnoticed.
kazoo.recipe.partitioner:SetPartitioner._allocate_transition wrap ownership:allocate
    One that fails while it acquires its locks keeps them, in the next session, for good.
"""


def _patches() -> Iterator[Patch]:
    for owner, how, replacement, why in rows(_TABLE):
        module, _, target = owner.partition(":")
        yield Patch(module, target, how, replacement, why)


PATCHES: Final = tuple(_patches())

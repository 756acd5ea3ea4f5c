"""The names inside kazoo, gevent and wrapt that this package leans on, and why.

A row tells whose names they are, what must be true of them (``needs.Kind``), and the names. None of
them is a public promise, so a new release may rename any. The list is checked against what is
installed before anything is patched (``patching.check``), and a test fails where the package's
source touches a private name that is not in it. What the rows of the patch table name themselves
(``patching.table``) is not repeated here.
"""

from __future__ import annotations

from typing import Final

from kazoo_gevent_patch.patching.needs import Kind, Need
from kazoo_gevent_patch.patching.rows import rows

_TABLE: Final = """
kazoo.client:KazooClient keeps _connection _live _stopped _writer_stopped _conn_retry _retry
    What a handler made, or a retry object, is replaced when a client moves to ours.
kazoo.client:KazooClient keeps _state _session_timeout _session_id _queue _pending
    What a forked child, and the end of a client's thread, must clear, fail or wait for; and which
    session a warning, and status(), is about.
kazoo.client:KazooClient keeps _data_watchers _child_watchers
    status() tells how many watches there are.
kazoo.client:KazooClient keeps __dict__ __weakref__
    In a forked child methods stand in the instance's dictionary; clients are held weakly.
kazoo.client:KazooClient.__init__ begins self hosts timeout client_id handler default_acl \
  auth_data sasl_options read_only randomize_hosts connection_retry command_retry
    The handler and the retry objects are put among the constructor's arguments.
kazoo.client:KazooClient._call begins self request async_object
    Every request comes through here; in a forked child something stands before it.
kazoo.client:KazooClient has _safe_close
    A second stop() waits for the connection as the first one does.
kazoo.recipe.barrier:Barrier.wait uses wait_for_clear
kazoo.recipe.barrier:DoubleBarrier._inner_enter uses created
kazoo.recipe.barrier:DoubleBarrier._inner_leave uses deleted
kazoo.recipe.cache:TreeCache has _in_background
kazoo.recipe.cache:TreeNode has _process_watch
kazoo.recipe.lock:Lock has _watch_predecessor
kazoo.recipe.lock:Semaphore has _watch_lease_change
kazoo.recipe.partitioner:SetPartitioner._allocate_transition uses updated
kazoo.recipe.queue:LockingQueue._inner_get uses check_for_updates
kazoo.recipe.watchers:PatientChildrenWatch has _children_watcher
    A recipe's steps do not queue behind an application's callback that waits for them.
kazoo.client:KazooClient.create_async uses do_create retry_completion create_completion
kazoo.client:KazooClient.ensure_path_async uses create_completion prepare_completion \
  exists_completion
kazoo.client:KazooClient.sync_async uses _sync_completion
    The steps of a chain of requests are told from an application's callbacks by being local
    functions of this module.
kazoo.protocol.connection:ConnectionHandler keeps client handler retry_sleeper logger sasl_options
kazoo.protocol.connection:ConnectionHandler takes client retry_sleeper logger= sasl_options=
    A new connection is made from the old one's in a forked child.
kazoo.protocol.connection:ConnectionHandler keeps _connection_routine _read_sock _write_sock _socket
    The connection greenlet, and what a forked child must close.
kazoo.protocol.connection:ConnectionHandler keeps connection_closed connection_stopped \
  ping_outstanding
    Events that the handler made, replaced when a client moves to ours.
kazoo.protocol.connection:ConnectionHandler._expand_client_hosts uses socket
    Runs with gevent's module in the place of this global one.
kazoo.handlers.utils: has create_tcp_connection capture_exceptions wrap
    Connects with gevent's modules; the decorators stand round the steps of a chain.
kazoo.handlers.utils:create_tcp_connection uses ssl
    Runs with gevent's module in the place of this global one, and with a kept context.
kazoo.protocol.connection:ConnectionHandler has _read_response
    For a reply that is large, another one stands in the instance's dictionary.
kazoo.protocol.serialization: has int_struct
    The names of very many children are read in slices.
kazoo.protocol.connection:RWPinger sets connection
    The search for a server that can write connects as the client does.
kazoo.handlers.utils:capture_exceptions uses function
kazoo.handlers.utils:wrap uses function
    What the decorator stands round is read from its inner function's variable.
kazoo.handlers.gevent:SequentialGeventHandler sets _running
    The property ``running`` of this base class of our handler reads it.
kazoo.handlers.threading:SequentialThreadingHandler has sleep_func queue_impl lock_object \
  event_object
    By these one knows what the handler made for a client that moves to ours.
kazoo.retry:KazooRetry takes max_tries= max_delay= sleep_func=
    What clean-ups in the background retry with.
kazoo.retry:KazooRetry keeps sleep_func
    Is made to fit the handler of the client.
kazoo.recipe.lock:Lock keeps client path prefix create_path node create_tried is_acquired \
  cancelled wake_event
    What a cancelled acquire() cleans up, and what a forked child forgets.
kazoo.recipe.lock:Lock has _find_node _delete_node
    By these a lock finds, and removes, a lasting node of its own.
kazoo.recipe.lock:Lock._inner_acquire begins self blocking timeout ephemeral
    The last, which acquire() names, tells whether the lock ends with the session.
kazoo.recipe.lock:Lock.acquire uses _inner_acquire ephemeral
kazoo.recipe.lock:Lock._inner_acquire uses _get_predecessor
kazoo.recipe.lock:Lock.release uses _inner_release
kazoo.recipe.lock:Semaphore.acquire uses _inner_acquire
kazoo.recipe.lock:Semaphore.release uses _inner_release
kazoo.recipe.queue:LockingQueue._inner_get uses _take
kazoo.recipe.party:BaseParty.join uses _inner_join
kazoo.recipe.party:BaseParty.leave uses _inner_leave
kazoo.recipe.barrier:DoubleBarrier.enter uses _inner_enter
kazoo.recipe.barrier:DoubleBarrier.leave uses _inner_leave
    A recipe that repeats this after errors does not take the nodes of a lost session.
kazoo.recipe.lock:Lock keeps _acquire_method_lock|_lock
    Tells whose acquire() it is that was cancelled, or forked. Since 2.10.0 the first, before that
    the second.
kazoo.recipe.lock:Semaphore keeps client create_path is_acquired wake_event
    What a cancelled acquire() cleans up, and what a forked child forgets.
kazoo.recipe.party:Party keeps client create_path node participating
kazoo.recipe.party:ShallowParty keeps client create_path node participating
    What a cancelled join() cleans up, and what a forked child forgets.
kazoo.recipe.barrier:DoubleBarrier keeps client path create_path node_name participating
    What a cancelled enter() cleans up, and what a forked child forgets.
kazoo.recipe.queue:LockingQueue keeps client id processing_element _lock_path
    What a cancelled get() gives back, and what a forked child forgets.
kazoo.recipe.queue:LockingQueue._inner_get shares canceled lock value check_for_updates
    A cancelled get() tells its watch, through these, to take nothing any more.
kazoo.recipe.queue:LockingQueue._take uses id_
    The item that was being taken when get() was cancelled.
kazoo.recipe.partitioner:SetPartitioner sets _client _state_change _path _locks
    A forked child must not wait for the parent's lock; a warning names the path.
kazoo.recipe.partitioner:SetPartitioner has _set_state acquired failed
    It fails before an application hears that the session is lost, and keeps no locks then.
kazoo.recipe.watchers:DataWatch keeps _client _run_lock _func
kazoo.recipe.watchers:ChildrenWatch keeps _client _run_lock _func
    A forked child must not wait for the parent's lock; a warning of a stall names the function.
kazoo.recipe.watchers:PatientChildrenWatch keeps client children_changed
    An event that the handler made, replaced when a client moves to ours.
kazoo.recipe.cache:TreeCache keeps _client _task_queue _task_thread _state
kazoo.recipe.cache:TreeCache has _do_background STATE_STARTED
    In a forked child it goes on with a greenlet of its own.
gevent._hub_local: has get_hub_if_exists
    Nothing public asks for the hub without making one.
gevent.socket:create_connection uses getaddrinfo
    Runs with our look-up of names in the place of this global one.
"""

CONTRACT: Final = tuple(
    Need(owner, Kind[kind], names, why) for owner, kind, names, why in rows(_TABLE)
)
"""Everything that is leaned on and may move."""

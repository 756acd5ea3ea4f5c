"""The names inside kazoo, gevent and wrapt that this package leans on, and why.

None of them is a public promise, so a new release may rename any. The list is checked against
what is installed before anything is patched (``patching.check``), and a test fails where the
package's source touches a private name that is not in it. What the rows of the patch table name
themselves (``patching.table``) is not repeated here.
"""

from __future__ import annotations

from typing import Final

from kazoo_gevent_patch.patching.needs import Kind, Need
from kazoo_gevent_patch.patching.recipe_contract import RECIPES

CONTRACT: Final = (
    Need(
        "kazoo.client:KazooClient",
        Kind.keeps,
        "_connection _live _stopped _writer_stopped _conn_retry _retry",
        "What a handler made, or a retry object, is replaced when a client moves to ours.",
    ),
    Need(
        "kazoo.client:KazooClient",
        Kind.keeps,
        "_state _session_timeout _session_id _queue _pending",
        "What a forked child, and the end of a client's thread, must clear, fail or wait for; and "
        "which session a warning, and status(), is about.",
    ),
    Need(
        "kazoo.client:KazooClient",
        Kind.keeps,
        "_data_watchers _child_watchers",
        "status() tells how many watches there are.",
    ),
    Need(
        "kazoo.client:KazooClient",
        Kind.keeps,
        "__dict__ __weakref__",
        "In a forked child methods stand in the instance's dictionary; clients are held weakly.",
    ),
    Need(
        "kazoo.client:KazooClient.__init__",
        Kind.begins,
        "self hosts timeout client_id handler default_acl auth_data sasl_options read_only "
        "randomize_hosts connection_retry command_retry",
        "The handler and the retry objects are put among the constructor's arguments.",
    ),
    Need(
        "kazoo.client:KazooClient._call",
        Kind.begins,
        "self request async_object",
        "Every request comes through here; in a forked child something stands before it.",
    ),
    Need(
        "kazoo.client:KazooClient",
        Kind.has,
        "_safe_close",
        "A second stop() waits for the connection as the first one does.",
    ),
    *(
        Need(
            f"kazoo.recipe.{recipe}",
            kind,
            names,
            "A recipe's steps do not queue behind an application's callback that waits for them.",
        )
        for recipe, kind, names in (
            ("barrier:Barrier.wait", Kind.uses, "wait_for_clear"),
            ("barrier:DoubleBarrier._inner_enter", Kind.uses, "created"),
            ("barrier:DoubleBarrier._inner_leave", Kind.uses, "deleted"),
            ("cache:TreeCache", Kind.has, "_in_background"),
            ("cache:TreeNode", Kind.has, "_process_watch"),
            ("lock:Lock", Kind.has, "_watch_predecessor"),
            ("lock:Semaphore", Kind.has, "_watch_lease_change"),
            ("partitioner:SetPartitioner._allocate_transition", Kind.uses, "updated"),
            ("queue:LockingQueue._inner_get", Kind.uses, "check_for_updates"),
            ("watchers:PatientChildrenWatch", Kind.has, "_children_watcher"),
        )
    ),
    *(
        Need(
            f"kazoo.client:KazooClient.{method}",
            Kind.uses,
            steps,
            "The steps of a chain of requests are told from an application's callbacks by being "
            "local functions of this module.",
        )
        for method, steps in (
            ("create_async", "do_create retry_completion create_completion"),
            ("ensure_path_async", "create_completion prepare_completion exists_completion"),
            ("sync_async", "_sync_completion"),
        )
    ),
    Need(
        "kazoo.protocol.connection:ConnectionHandler",
        Kind.keeps,
        "client handler retry_sleeper logger sasl_options",
        "A new connection is made from the old one's in a forked child.",
    ),
    Need(
        "kazoo.protocol.connection:ConnectionHandler",
        Kind.takes,
        "client retry_sleeper logger= sasl_options=",
        "A new connection is made from the old one's in a forked child.",
    ),
    Need(
        "kazoo.protocol.connection:ConnectionHandler",
        Kind.keeps,
        "_connection_routine _read_sock _write_sock _socket",
        "The connection greenlet, and what a forked child must close.",
    ),
    Need(
        "kazoo.protocol.connection:ConnectionHandler",
        Kind.keeps,
        "connection_closed connection_stopped ping_outstanding",
        "Events that the handler made, replaced when a client moves to ours.",
    ),
    Need(
        "kazoo.protocol.connection:ConnectionHandler._expand_client_hosts",
        Kind.uses,
        "socket",
        "Runs with gevent's module in the place of this global one.",
    ),
    Need(
        "kazoo.handlers.utils:",
        Kind.has,
        "create_tcp_connection capture_exceptions wrap",
        "Connects with gevent's modules; the decorators stand round the steps of a chain.",
    ),
    Need(
        "kazoo.handlers.utils:create_tcp_connection",
        Kind.uses,
        "ssl",
        "Runs with gevent's module in the place of this global one, and with a kept context.",
    ),
    Need(
        "kazoo.protocol.connection:ConnectionHandler",
        Kind.has,
        "_read_response",
        "For a reply that is large, another one stands in the instance's dictionary.",
    ),
    Need(
        "kazoo.protocol.serialization:",
        Kind.has,
        "int_struct read_string",
        "The names of very many children are read in slices.",
    ),
    Need(
        "kazoo.protocol.connection:RWPinger",
        Kind.sets,
        "connection",
        "The search for a server that can write connects as the client does.",
    ),
    *(
        Need(
            f"kazoo.handlers.utils:{decorator}",
            Kind.uses,
            "function",
            "What the decorator stands round is read from its inner function's variable.",
        )
        for decorator in ("capture_exceptions", "wrap")
    ),
    Need(
        "kazoo.handlers.gevent:SequentialGeventHandler",
        Kind.sets,
        "_running",
        "The property ``running`` of this base class of our handler reads it.",
    ),
    Need(
        "kazoo.handlers.threading:SequentialThreadingHandler",
        Kind.has,
        "sleep_func queue_impl lock_object event_object",
        "By these one knows what the handler made for a client that moves to ours.",
    ),
    Need(
        "kazoo.retry:KazooRetry",
        Kind.takes,
        "max_tries= max_delay= sleep_func=",
        "What clean-ups in the background retry with.",
    ),
    Need(
        "kazoo.retry:KazooRetry",
        Kind.keeps,
        "sleep_func",
        "Is made to fit the handler of the client.",
    ),
    *RECIPES,
    Need(
        "gevent._hub_local:",
        Kind.has,
        "get_hub_if_exists",
        "Nothing public asks for the hub without making one.",
        since="23.9.1",
    ),
    Need(
        "gevent.socket:create_connection",
        Kind.uses,
        "getaddrinfo",
        "Runs with our look-up of names in the place of this global one.",
        since="23.9.1",
    ),
)
"""Everything that is leaned on and may move."""

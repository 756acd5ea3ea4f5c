"""The names inside kazoo's recipes that this package leans on, and why: a part of the contract."""

from __future__ import annotations

from typing import Final

from kazoo_gevent_patch.patching.needs import Kind, Need

RECIPES: Final = (
    Need(
        "kazoo.recipe.lock:Lock",
        Kind.keeps,
        "client path prefix create_path node create_tried is_acquired cancelled wake_event",
        "What a cancelled acquire() cleans up, and what a forked child forgets.",
    ),
    Need(
        "kazoo.recipe.lock:Lock",
        Kind.has,
        "_find_node _delete_node",
        "By these a lock finds, and removes, a lasting node of its own.",
    ),
    Need(
        "kazoo.recipe.lock:Lock._inner_acquire",
        Kind.begins,
        "self blocking timeout ephemeral",
        "The last, which acquire() names, tells whether the lock ends with the session.",
    ),
    *(
        Need(
            f"kazoo.recipe.{caller}",
            Kind.uses,
            inner,
            "A recipe that repeats this after errors does not take the nodes of a lost session.",
        )
        for caller, inner in (
            ("lock:Lock.acquire", "_inner_acquire ephemeral"),
            ("lock:Lock._inner_acquire", "_get_predecessor"),
            ("lock:Lock.release", "_inner_release"),
            ("lock:Semaphore.acquire", "_inner_acquire"),
            ("lock:Semaphore.release", "_inner_release"),
            ("queue:LockingQueue._inner_get", "_take"),
            ("party:BaseParty.join", "_inner_join"),
            ("party:BaseParty.leave", "_inner_leave"),
            ("barrier:DoubleBarrier.enter", "_inner_enter"),
            ("barrier:DoubleBarrier.leave", "_inner_leave"),
        )
    ),
    Need(
        "kazoo.recipe.lock:Lock",
        Kind.keeps,
        "_acquire_method_lock|_lock",
        "Tells whose acquire() it is that was cancelled, or forked. Since 2.10.0 the first, before "
        "that the second.",
    ),
    Need(
        "kazoo.recipe.lock:Semaphore",
        Kind.keeps,
        "client create_path is_acquired wake_event",
        "What a cancelled acquire() cleans up, and what a forked child forgets.",
    ),
    *(
        Need(
            f"kazoo.recipe.party:{party}",
            Kind.keeps,
            "client create_path node participating",
            "What a cancelled join() cleans up, and what a forked child forgets.",
        )
        for party in ("Party", "ShallowParty")
    ),
    Need(
        "kazoo.recipe.barrier:DoubleBarrier",
        Kind.keeps,
        "client path create_path node_name participating",
        "What a cancelled enter() cleans up, and what a forked child forgets.",
    ),
    Need(
        "kazoo.recipe.queue:LockingQueue",
        Kind.keeps,
        "client id processing_element _lock_path",
        "What a cancelled get() gives back, and what a forked child forgets.",
    ),
    Need(
        "kazoo.recipe.queue:LockingQueue._inner_get",
        Kind.shares,
        "canceled lock value check_for_updates",
        "A cancelled get() tells its watch, through these, to take nothing any more.",
    ),
    Need(
        "kazoo.recipe.queue:LockingQueue._take",
        Kind.uses,
        "id_",
        "The item that was being taken when get() was cancelled.",
    ),
    Need(
        "kazoo.recipe.partitioner:SetPartitioner",
        Kind.sets,
        "_client _state_change _path _locks",
        "A forked child must not wait for the parent's lock; a warning names the path.",
    ),
    Need(
        "kazoo.recipe.partitioner:SetPartitioner",
        Kind.has,
        "_set_state acquired failed",
        "It fails before an application hears that the session is lost, and keeps no locks then.",
    ),
    *(
        Need(
            f"kazoo.recipe.watchers:{watch}",
            Kind.keeps,
            "_client _run_lock _func",
            "A forked child must not wait for the parent's lock; a warning of a stall names the "
            "function.",
        )
        for watch in ("DataWatch", "ChildrenWatch")
    ),
    Need(
        "kazoo.recipe.watchers:PatientChildrenWatch",
        Kind.keeps,
        "client children_changed",
        "An event that the handler made, replaced when a client moves to ours.",
    ),
    Need(
        "kazoo.recipe.cache:TreeCache",
        Kind.keeps,
        "_client _task_queue _task_thread _state",
        "In a forked child it goes on with a greenlet of its own.",
    ),
    Need(
        "kazoo.recipe.cache:TreeCache",
        Kind.has,
        "_do_background STATE_STARTED",
        "In a forked child it goes on with a greenlet of its own.",
    ),
)
"""What a fork, a cancelled call and the end of a session must find in a recipe."""

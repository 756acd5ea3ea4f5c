"""Telling the steps of kazoo's own operations, and of gevent's, from an application's callbacks.

An application's callbacks run one at a time. If a step had to wait its turn behind one that itself
waits for the operation, neither would ever go on; so steps do not go through the queues.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from types import FunctionType, MethodType
from typing import Any, Final

import kazoo.handlers.utils
from gevent.hub import Waiter
from greenlet import greenlet

_RESUMES: Final = frozenset({"switch", "switch_args", "throw"})
"""The methods of greenlets and of gevent's waiters that resume a greenlet."""

_DECORATORS: Final = vars(kazoo.handlers.utils)

SIGNAL: Final = "signal"
"""A step of a recipe that tells somebody something, and never waits."""

JOB: Final = "job"
"""One that asks the server for something, and guards itself against running twice at once. It needs
a greenlet of its own."""

TURN: Final = "turn"
"""A step that a change starts once for each greenlet that waits. In turn, each sees what the one
before it has taken; at once, all would try the same item, and all but one would start anew. It
waits for its like, and for no other callback."""

_STEPS: Final = {
    # watches
    "kazoo.recipe.barrier.Barrier.wait.<locals>.wait_for_clear": SIGNAL,
    "kazoo.recipe.barrier.DoubleBarrier._inner_enter.<locals>.created": SIGNAL,
    "kazoo.recipe.barrier.DoubleBarrier._inner_leave.<locals>.deleted": SIGNAL,
    "kazoo.recipe.cache.TreeNode._process_watch": JOB,
    "kazoo.recipe.lock.Lock._watch_predecessor": SIGNAL,
    "kazoo.recipe.lock.Semaphore._watch_lease_change": SIGNAL,
    "kazoo.recipe.partitioner.SetPartitioner._allocate_transition": JOB,
    "kazoo.recipe.queue.LockingQueue._inner_get.<locals>.check_for_updates": TURN,
    "kazoo.recipe.watchers.PatientChildrenWatch._children_watcher": SIGNAL,
    # callbacks of results
    "kazoo.recipe.cache.TreeCache._in_background": SIGNAL,
    "kazoo.recipe.partitioner.SetPartitioner._allocate_transition.<locals>.updated": SIGNAL,
}
"""What the steps of kazoo's recipes (2.8 to 2.11) are, by their full name."""


def is_continuation(callback: Callable[..., object]) -> bool:
    """Return whether the callback is a step of one of kazoo's own operations that never waits.

    ``create(makepath=True)``, ``ensure_path`` and ``sync`` are chains of such steps, local
    functions in kazoo/client.py. A step queues the next request. Some recipes have steps too.
    """
    function = _unwrapped(callback)
    if function is not None and function.__globals__.get("__name__") == "kazoo.client":
        return "<locals>" in function.__qualname__
    if isinstance(callback, partial) and getattr(callback.func, "__name__", None) == "spawn":
        # A SetPartitioner's, with a wrapper of ours over it; spawning never waits.
        return any(step_of(getattr(job, "__wrapped__", job)) == JOB for job in callback.args[:1])
    return _STEPS.get(_name(function)) == SIGNAL


def step_of(callback: Callable[..., object]) -> str | None:
    """Return what step of a recipe a watch callback is; None if it is an application's."""
    return _STEPS.get(_name(_unwrapped(callback)))


def is_of_a_recipe(callback: Callable[..., object]) -> bool:
    """Return whether the callback is a function of one of kazoo's recipes."""
    return _name(_unwrapped(callback)).startswith("kazoo.recipe.")


def is_waiter(callback: Callable[..., object]) -> bool:
    """Return whether gevent itself links the callback, to resume a greenlet from the hub.

    Any other method of a greenlet, such as that of an actor derived from ``gevent.Greenlet``, is
    an application's.
    """
    owner = getattr(callback, "__self__", callback)
    return isinstance(owner, (greenlet, Waiter)) and (
        owner is callback or getattr(callback, "__name__", None) in _RESUMES
    )


def _name(function: FunctionType | None) -> str:
    """Return the full name of a function of kazoo's, and nothing for any other."""
    if function is None:
        return ""
    # Not its __module__, which other decorators copy.
    module = str(function.__globals__.get("__name__"))
    return f"{module}.{function.__qualname__}" if module.startswith("kazoo.") else ""


def _unwrapped(callback: Any) -> FunctionType | None:
    """Return the function under a method, a ``partial`` and kazoo's decorators."""
    while True:
        if type(callback) is FunctionType:
            if callback.__globals__ is not _DECORATORS:
                return callback
            closure = callback.__closure__
            if not closure:
                return None
            # wrap() and capture_exceptions(); the first leaves no __wrapped__.
            callback = closure[_CELL].cell_contents
        elif isinstance(callback, partial):
            callback = callback.func
        elif isinstance(callback, MethodType):
            callback = callback.__func__
        else:
            return None


def _cells() -> Iterator[int]:
    """Return in which cell of its closure each of kazoo's decorators keeps the function.

    A program may have put another decorator in the place of one of them.
    """
    function: Any = kazoo.handlers.utils.wrap(None)(_cells)  # it uses the other
    while getattr(function, "__globals__", None) is _DECORATORS:
        cell = function.__code__.co_freevars.index("function")
        yield cell
        function = function.__closure__[cell].cell_contents


# To look the name up for each request would take longer than the rest. If the two of a later kazoo
# differ, this fails, and nothing is guessed. If the program has replaced both, none is asked for.
(_CELL,) = set(_cells()) or {1}

"""Telling the steps of kazoo's own operations, and of gevent's, from an application's callbacks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import FunctionType
from typing import Final

import kazoo.handlers.utils
from greenlet import greenlet

from kazoo_gevent_patch.loop.hubs import Waiter

_RESUMES: Final = frozenset({"switch", "switch_args", "throw"})
"""The methods of greenlets and of gevent's waiters that resume a greenlet."""

_DECORATORS: Final = vars(kazoo.handlers.utils)


def is_continuation(callback: Callable[..., object]) -> bool:
    """Return whether the callback is a step of one of kazoo's own operations.

    ``create(makepath=True)``, ``ensure_path`` and ``sync`` are chains of such steps, local
    functions in kazoo/client.py. A step never blocks: it queues the next request. If it had
    to wait its turn behind a user's callback that itself waits for the operation, neither
    would ever go on; so steps do not go through the queue.
    """
    while True:
        if type(callback) is FunctionType:
            if callback.__globals__ is not _DECORATORS or not callback.__closure__:
                # Not its __module__, which other decorators copy.
                module = callback.__globals__.get("__name__")
                return module == "kazoo.client" and "<locals>" in callback.__qualname__
            # wrap() and capture_exceptions(); the first leaves no __wrapped__.
            names = callback.__code__.co_freevars
            callback = callback.__closure__[names.index("function")].cell_contents
        elif isinstance(callback, partial):
            callback = callback.func
        else:
            return False


def is_waiter(callback: Callable[..., object]) -> bool:
    """Return whether gevent itself links the callback, to resume a greenlet from the hub.

    Any other method of a greenlet, such as that of an actor derived from ``gevent.Greenlet``, is
    an application's.
    """
    owner = getattr(callback, "__self__", callback)
    return isinstance(owner, (greenlet, Waiter)) and (
        owner is callback or getattr(callback, "__name__", None) in _RESUMES
    )

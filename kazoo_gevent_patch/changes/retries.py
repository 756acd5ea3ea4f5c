"""The sleep functions of ``KazooRetry`` objects."""

from __future__ import annotations

import copy
import inspect
import time
from collections.abc import Callable
from types import FunctionType
from typing import Any, Final
from weakref import ref

import gevent
from gevent.monkey import get_original
from kazoo.handlers.threading import SequentialThreadingHandler
from kazoo.retry import KazooRetry

from kazoo_gevent_patch import inventory
from kazoo_gevent_patch.loop import hubs

_NATIVE: Final = (
    get_original("time", "sleep"),
    # The time.sleep of kazoo's import, whatever was patched or unpatched since.
    SequentialThreadingHandler.sleep_func,
)
"""The sleep functions that may stop the event loop."""

_aligned_earlier: Final[list[tuple[ref[Any], Callable[..., object]]]] = []
"""The retry objects that were made before kazoo was patched, and how they slept."""


def cooperative_defaults(defaults: tuple[Any, ...], function: FunctionType) -> tuple[Any, ...]:
    """Return the default arguments of ``KazooRetry.__init__`` with our sleep among them."""
    names = list(inspect.signature(function).parameters)[-len(defaults) :]
    by_name = dict(zip(names, defaults, strict=True))
    return tuple({**by_name, "sleep_func": hubs.sleep}.values())


def aligned(retry: Any, handler: Any) -> Any:
    """Return what kazoo may take for ``retry`` with a client on ``handler``.

    A retry object, or a dict of its options, whose sleep function is one of those that
    programs have to choose from, comes back as a copy that sleeps as the handler does; kazoo
    refuses any other combination (``ConfigurationError``). With a sleep function of the
    caller's own, and for anything else, ``retry`` itself comes back, for kazoo to judge.
    """
    sleep = getattr(handler, "sleep_func", None)
    if type(retry) is KazooRetry and _is_known(retry.sleep_func):
        # copy.copy, and not the retry object's own method, which forgets ignore_expire.
        twin = copy.copy(retry)
        twin.sleep_func = sleep
        return twin
    if type(retry) is dict and _is_known(retry.get("sleep_func", time.sleep)):
        return {**retry, "sleep_func": sleep}
    return retry


def align_earlier() -> None:
    """Have the retry objects from before kazoo was patched let the event loop run, too.

    A program may call them itself: ``retry(function)``.
    """
    for retry in inventory.instances(KazooRetry):
        sleep: Any = getattr(retry, "sleep_func", None)
        if sleep in _NATIVE:
            _aligned_earlier.append((ref(retry), sleep))
            retry.sleep_func = hubs.sleep


def put_back() -> None:
    """Undo ``align_earlier``: kazoo's default handler refuses any sleep function but its own."""
    while _aligned_earlier:
        remembered, sleep = _aligned_earlier.pop()
        retry = remembered()
        if retry is not None and retry.sleep_func is hubs.sleep:
            retry.sleep_func = sleep


def _is_known(sleep: Callable[..., object]) -> bool:
    return sleep in (hubs.sleep, gevent.sleep, time.sleep, *_NATIVE)

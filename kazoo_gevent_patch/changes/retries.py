"""The sleep functions of ``KazooRetry`` objects."""

from __future__ import annotations

import copy
import inspect
import time
from collections.abc import Callable
from types import FunctionType
from typing import Any

import gevent
from gevent.monkey import get_original
from kazoo.handlers.threading import SequentialThreadingHandler
from kazoo.retry import KazooRetry

from kazoo_gevent_patch.loop import hubs


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


def _is_known(sleep: Callable[..., object]) -> bool:
    return sleep in (
        hubs.sleep,
        gevent.sleep,
        time.sleep,
        get_original("time", "sleep"),
        # The time.sleep of kazoo's import, whoever has patched or unpatched what since.
        SequentialThreadingHandler.sleep_func,
    )

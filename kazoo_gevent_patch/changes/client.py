"""What ``KazooClient`` does differently while kazoo is patched."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable
from functools import lru_cache
from inspect import Parameter
from pathlib import Path
from typing import Any, Final

from kazoo.handlers.gevent import SequentialGeventHandler as StockGeventHandler
from kazoo.handlers.threading import SequentialThreadingHandler
from kazoo.protocol.states import KeeperState

from kazoo_gevent_patch import inventory
from kazoo_gevent_patch.changes import adoption, forking, lifecycle, orphans
from kazoo_gevent_patch.changes.retries import align_earlier, aligned
from kazoo_gevent_patch.handler.sequential import SequentialGeventHandler
from kazoo_gevent_patch.loop import threads
from kazoo_gevent_patch.loop.forks import notice_fork
from kazoo_gevent_patch.loop.signals import top_package
from kazoo_gevent_patch.settings.options import fork_choice, in_force

log = logging.getLogger("kazoo_gevent_patch")

threads.hooks.append(orphans.sever_all)

_Args = tuple[Any, ...]
_Kwargs = dict[str, Any]


_PARAMETERS: Final = [
    *("hosts", "timeout", "client_id", "handler", "default_acl", "auth_data", "sasl_options"),
    *("read_only", "randomize_hosts", "connection_retry", "command_retry"),
]
"""What kazoo's constructor takes by position, as far as it matters here."""


@lru_cache(maxsize=8)
def _positions(construct: Callable[..., None]) -> dict[str, int] | None:
    """Return which argument of the constructor stands where, not counting ``self``.

    Somebody may have put a wrapper over kazoo's: one with ``*args`` passes them on, and for one
    with parameters of its own those that it names count. None, if it takes no handler.
    """
    parameters = list(inspect.signature(construct).parameters.values())[1:]
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    kinds = {p.kind for p in parameters}
    if "handler" not in named and Parameter.VAR_KEYWORD not in kinds:
        return None
    if Parameter.VAR_POSITIONAL in kinds and named == _PARAMETERS[: len(named)]:
        named = _PARAMETERS
    return {name: position for position, name in enumerate(named)}


class _Arguments:
    """The arguments of a call of the constructor, by name, however they were passed."""

    def __init__(self, positions: dict[str, int], args: _Args, kwargs: _Kwargs) -> None:
        self._positions = positions
        self.args = list(args)
        self.kwargs = dict(kwargs)

    def get(self, name: str) -> Any:
        position = self._positions.get(name, len(self.args))
        return self.args[position] if position < len(self.args) else self.kwargs.get(name)

    def set(self, name: str, value: object) -> None:
        position = self._positions.get(name, len(self.args))
        if position < len(self.args):
            self.args[position] = value
        else:
            self.kwargs[name] = value


_BUILDERS: Final = ("kazoo", "kazoo_gevent_patch", "wrapt")


def init(wrapped: Callable[..., None], client: Any, args: _Args, kwargs: _Kwargs) -> None:
    """``KazooClient.__init__``: our handler by default, and retry objects that fit it."""
    vars(client)[inventory.BUILT] = _caller()
    positions = _positions(getattr(wrapped, "__func__", wrapped))
    if positions is None:
        wrapped(*args, **kwargs)
        inventory.live.add(client)  # it moves over when it starts
        return
    arguments = _Arguments(positions, args, kwargs)
    given = arguments.get("handler")
    handler = SequentialGeventHandler() if _is_ours_to_choose(given) else given
    if not inspect.isclass(handler):  # kazoo refuses a class, in its own words
        arguments.set("handler", handler)
        _align_retries(arguments, handler)
    wrapped(*arguments.args, **arguments.kwargs)
    inventory.live.add(client)
    if handler is given:
        inventory.explicit.add(client)


def _caller() -> str:
    """Return the file and the line that build a client: the first outside of kazoo and of this."""
    frame = sys._getframe(1)
    while frame.f_back is not None and top_package(frame) in _BUILDERS:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _align_retries(arguments: _Arguments, handler: Any) -> None:
    # One object for both stays one: kazoo sets the interrupt of the first on it, and the
    # second goes by that too.
    twins: dict[int, object] = {}
    for name in ("connection_retry", "command_retry"):
        retry = arguments.get(name)
        if retry is not None:
            twin = twins.setdefault(id(retry), aligned(retry, handler))
            arguments.set(name, twin)


def _is_ours_to_choose(given: object) -> bool:
    if not given:  # kazoo asks the same way
        return True
    stock = type(given) in (SequentialThreadingHandler, StockGeventHandler)
    options = in_force()
    return stock and options is not None and options.replace_explicit


def start_async(wrapped: Callable[..., Any], client: Any, args: _Args, kwargs: _Kwargs) -> Any:
    """``KazooClient.start_async``: a client from before ``patch_all()`` moves over first.

    One that is connecting goes on with that: kazoo would wait for its connection routine to
    end, for ever. So ``start()`` may follow one that was cancelled.
    """
    # Before anything begins here: in a child whose fork ran no hook it would count as inherited.
    notice_fork()
    if (
        client not in inventory.explicit
        and _is_on_threads(client)
        and not inventory.is_running(client)
    ):
        adoption.move(client)
    routine = client._connection._connection_routine
    if routine and isinstance(client.handler, SequentialGeventHandler):
        if inventory.is_running(client) and client._state not in (
            KeeperState.CLOSED,
            KeeperState.AUTH_FAILED,  # it has given up, and says so to its listeners now
        ):
            return client._live
        if not client.connected:
            lifecycle.check_can_wait(client, "start_async()")
    return wrapped(*args, **kwargs)


def find_earlier() -> None:
    """Look after the clients and retry objects that were made before ``patch_all()``.

    One whose thread is alive is left alone, with a warning. One whose thread is not was
    started in a process that this one was forked from.
    """
    align_earlier()
    for client in inventory.find():
        try:
            _look_after(client)
        except Exception:
            log.exception("A %s from before patch_all() is left as it is", type(client).__name__)


def _look_after(client: Any) -> None:
    if not _is_on_threads(client):
        return
    adoption.prepare(client)
    if not inventory.is_running(client):
        return
    thread = client._connection._connection_routine
    if thread is not None and not _lives_here(thread) and fork_choice() != "ignore":
        forking.inherit(client)
    else:
        log.warning(
            "%s was started before patch_all() and stays on kazoo's threading handler "
            "until it is stopped; call patch_all() earlier",
            inventory.describe(client),
        )


def _lives_here(thread: Any) -> bool:
    # In a child whose fork ran none of Python's hooks, the parent's threads count as alive.
    tasks = Path("/proc/self/task")
    in_parent = tasks.is_dir() and not Path(tasks, str(thread.native_id)).exists()
    return bool(thread.is_alive()) and not in_parent


def _is_on_threads(client: Any) -> bool:
    return type(getattr(client, "handler", None)) is SequentialThreadingHandler

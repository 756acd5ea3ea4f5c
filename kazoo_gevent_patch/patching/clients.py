"""What the clients of this process are doing now, and where their greenlets are.

All of it is read from instance dictionaries, in any native thread: a property of a derived class
could wait, or raise. Nothing of a client is changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import Any, Final

from kazoo_gevent_patch.inspection.greenlets import Named, look_at
from kazoo_gevent_patch.inspection.records import ClientStatus, GreenletStatus, HandlerStatus
from kazoo_gevent_patch.inventory import BUILT, client_of, is_running

WAITERS: Final = 20
"""Greenlets that wait for a request or a lock, of each client, that are told at most."""

SPAWNED: Final = 200
"""Greenlets of ``handler.spawn()`` that are told at most."""

_UNKNOWN: Final = HandlerStatus(callbacks={}, timeout=None, stalls=0, lost_sessions=0)


def clients() -> tuple[ClientStatus, ...]:
    """Return what each client does, in no order."""
    return tuple(_status_of(client, recipes) for client, recipes in _with_recipes())


def _with_recipes() -> list[tuple[Any, list[Any]]]:
    """Return each client, and the recipes built on it."""
    # Not at the top: the two sets come anew when the program imports kazoo anew.
    from kazoo_gevent_patch.inventory import live, recipes

    by_client: dict[int, list[Any]] = defaultdict(list)
    for recipe in recipes:
        by_client[id(client_of(recipe))].append(recipe)
    return [(client, by_client[id(client)]) for client in live]


def _status_of(client: Any, recipes: list[Any]) -> ClientStatus:
    name, built = type(client).__name__, vars(client).get(BUILT, "")
    try:
        return replace(_found_in(client, recipes), name=name, built=built)
    except Exception as error:  # a property of the program's own, say
        return ClientStatus(name, built, f"an unknown handler ({error!r})")


def _found_in(client: Any, recipes: list[Any]) -> ClientStatus:
    state = vars(client)
    handler = client.handler if state.get("handler") is None else state["handler"]
    kind, known = type(handler), _known(handler)
    session = state["_session_id"]
    held, awaited = _locks(recipes)
    watchers = (state["_data_watchers"], state["_child_watchers"])
    return ClientStatus(
        name="",
        built="",
        handler=f"{kind.__module__}.{kind.__qualname__}",
        hosts=",".join(f"{host}:{port}" for host, port in state.get("hosts") or ()),
        running=is_running(client),
        state=str(state["state"]),
        session="" if session is None else f"0x{session & (1 << 64) - 1:x}",
        server=_server(state["_connection"]) if state["_live"].is_set() else "",
        timeout=known.timeout or state["_session_timeout"] / 1000,
        in_flight=len(state["_pending"]),
        waiting=len(state["_queue"]),
        watches=sum(len(watches) for paths in watchers for watches in list(paths.values())),
        locks_held=held,
        locks_awaited=awaited,
        callbacks=known.callbacks,
        stalls=known.stalls,
        lost_sessions=known.lost_sessions,
    )


def _known(handler: Any) -> HandlerStatus:
    """Return what the handler knows, if it is one of ours."""
    from kazoo_gevent_patch.handler.looking import Watched
    from kazoo_gevent_patch.handler.sequential import SequentialGeventHandler

    # Derived classes may have the name.
    is_ours = isinstance(handler, SequentialGeventHandler)
    return Watched.status(handler) if is_ours else _UNKNOWN


def _server(connection: Any) -> str:
    try:
        host, port, *_ = connection._socket.getpeername()
    except (OSError, AttributeError, TypeError, ValueError):
        return ""  # it has just been closed
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _locks(recipes: list[Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the paths of the locks that are held, and of those that somebody waits for."""
    from kazoo_gevent_patch.changes.recipes import method_lock

    held, awaited = [], []
    for recipe in recipes:
        state = vars(recipe)
        if state.get("is_acquired"):
            held.append(str(state.get("path")))
        entrance = state.get(method_lock(recipe) or "")
        if entrance is not None and entrance.locked():
            awaited.append(str(state.get("path")))
    return tuple(sorted(held)), tuple(sorted(awaited))


def greenlets() -> Generator[float, None, tuple[GreenletStatus, ...]]:
    """Tell where the greenlets of the clients are, and those that wait for one, as ``look_at``."""
    return (yield from look_at(*_named_and_hubs()))


def _named_and_hubs() -> tuple[list[Named], list[Any]]:
    found = _with_recipes()
    if not found:
        return [], []  # and kazoo may not be imported
    from kazoo_gevent_patch.handler.greenlets import living
    from kazoo_gevent_patch.handler.sequential import SequentialGeventHandler

    named: list[Named] = []
    hubs: list[Any] = []
    for client, recipes in found:
        handler = vars(client).get("handler")
        if isinstance(handler, SequentialGeventHandler) and handler.hub is not None:
            hubs.append(handler.hub)
            with suppress(Exception):  # it has something of the program's own in a known place
                named += _named(client, handler, recipes)
    spawned = islice(living, SPAWNED)
    named += [Named("a greenlet of handler.spawn()", one, one.hub) for one in spawned]
    return named, hubs


def _named(client: Any, handler: Any, recipes: list[Any]) -> Iterator[Named]:
    from kazoo_gevent_patch.handler.looking import Watched

    state = vars(client)
    name = f"{type(client).__name__} ({state.get(BUILT, '')})"
    yield Named(f"{name}, connection", state["_connection"]._connection_routine, handler.hub)
    for what, greenlet in Watched.greenlets(handler):  # derived classes may have the name
        yield Named(f"{name}, {what}", greenlet, greenlet.hub)
    yield from islice(_waiting(state, recipes, name), WAITERS)


def _waiting(state: dict[str, Any], recipes: list[Any], client: str) -> Iterator[Named]:
    """Return the greenlets that wait for a request, and those that wait for a lock."""
    for request, result, *_ in (*tuple(state["_pending"]), *tuple(state["_queue"])):
        path = getattr(request, "path", "")  # of the rest nothing: it may be credentials
        yield from _at(result, f"{client}, waits for {type(request).__name__} {path}".rstrip())
    for recipe in recipes:
        lock = vars(recipe)
        yield from _at(lock.get("wake_event"), f"{client}, waits for the lock {lock.get('path')}")


def _at(awaited: object, name: str) -> Iterator[Named]:
    # A result or an event of ours; those of kazoo's own handlers do not tell.
    waiters = getattr(type(awaited), "waiters", lambda _: ())
    yield from (Named(name, place.greenlet, place.hub) for place in waiters(awaited))

"""The clients of this process, held weakly."""

from __future__ import annotations

import gc
import sys
from typing import Any
from weakref import WeakValueDictionary


class Clients:
    """A set of clients that keeps none alive, and compares them by identity only."""

    def __init__(self) -> None:
        self._by_id: WeakValueDictionary[int, Any] = WeakValueDictionary()

    def add(self, client: object) -> None:
        """Remember a client for as long as it lives."""
        self._by_id[id(client)] = client

    def __contains__(self, client: object) -> bool:
        return self._by_id.get(id(client)) is client

    def __iter__(self) -> Any:
        return iter(list(self._by_id.values()))


live = Clients()
"""Every client that was built while kazoo was patched, or found when it was."""

explicit = Clients()
"""Those of them whose handler the caller passed and we left in place."""


def find() -> list[Any]:
    """Return, and add to ``live``, the clients that were built before kazoo was patched.

    This asks the garbage collector for all objects, and looks at nothing but their types:
    asking a stranger's proxy for its ``__class__`` may have consequences.
    """
    client_class = sys.modules["kazoo.client"].KazooClient
    found = [
        thing
        for thing in gc.get_objects()
        if issubclass(type(thing), client_class) and thing not in live
    ]
    for client in found:
        live.add(client)
    return found


def describe(client: Any) -> str:
    """Return the client's class and hosts, for messages."""
    hosts = ",".join(f"{host}:{port}" for host, port in getattr(client, "hosts", None) or ())
    return f"{type(client).__name__}({hosts!r})"

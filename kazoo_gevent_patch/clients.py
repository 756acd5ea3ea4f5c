"""The clients of this process, and the recipes built on them."""

from __future__ import annotations

import gc
import sys
from typing import Any

from kazoo_gevent_patch.weak import IdentitySet

live = IdentitySet()
"""Every client that was built while kazoo was patched, or found when it was."""

explicit = IdentitySet()
"""Those of them whose handler the caller passed and we left in place."""

recipes = IdentitySet()
"""The recipes that keep something of their own in the session, or hold a lock."""


def find() -> list[Any]:
    """Return, and remember, the clients that were built before kazoo was patched.

    Their recipes are remembered too. This asks the garbage collector for all objects, and
    looks at nothing but their types: asking a stranger's proxy for its ``__class__`` may
    have consequences.
    """
    client_class = sys.modules["kazoo.client"].KazooClient
    found = []
    for thing in gc.get_objects():
        if issubclass(type(thing), client_class) and thing not in live:
            live.add(thing)
            found.append(thing)
        elif is_recipe(thing):
            recipes.add(thing)
    return found


def recipes_of(client: object) -> list[Any]:
    """Return the remembered recipes that were built on the client."""
    return [recipe for recipe in recipes if is_built_on(recipe, client)]


def is_built_on(recipe: object, client: object) -> bool:
    """Return whether the recipe uses the client; kazoo's recipes have two names for it."""
    state = vars(recipe)
    return state.get("client") is client or state.get("_client") is client


def is_recipe(thing: object) -> bool:
    """Return whether an object is one of kazoo's recipes, or derived from one."""
    if not any(
        str(vars(base).get("__module__")).startswith("kazoo.recipe.")
        for base in type(thing).__mro__
    ):
        return False
    # Their modules hold other things too: exceptions, events, the nodes of a tree cache.
    state = getattr(thing, "__dict__", {})
    return "client" in state or "_client" in state


def is_running(client: Any) -> bool:
    """Return whether the client was started and not stopped."""
    stopped = getattr(client, "_stopped", None)
    return stopped is not None and not stopped.is_set()


def describe(client: Any) -> str:
    """Return the client's class and hosts, for messages."""
    hosts = ",".join(f"{host}:{port}" for host, port in getattr(client, "hosts", None) or ())
    return f"{type(client).__name__}({hosts!r})"

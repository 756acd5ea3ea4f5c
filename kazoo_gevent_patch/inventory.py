"""The clients of this process, and the recipes built on them."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
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

    Their recipes are remembered too.
    """
    client_class = sys.modules["kazoo.client"].KazooClient
    found = [
        client
        for client in _instances(lambda kind: issubclass(kind, client_class))
        if client not in live
    ]
    for client in found:
        live.add(client)
    for recipe in _instances(_is_recipe) if found else ():
        if _client_of(recipe) in live:
            recipes.add(recipe)
    return found


def find_recipes(client: object) -> list[Any]:
    """Return all recipes that were built on the client, remembered or not."""
    return [recipe for recipe in _instances(_is_recipe) if _client_of(recipe) is client]


def recipes_of(client: Any) -> list[Any]:
    """Return the remembered recipes that were built on the client, and those that listen to it.

    A started ``TreeCache`` is found so: kazoo's client does not import its module.
    """
    listening = (getattr(listener, "__self__", None) for listener in list(client.state_listeners))
    candidates = (*recipes, *(owner for owner in listening if _is_recipe(type(owner))))
    found = {id(recipe): recipe for recipe in candidates if _client_of(recipe) is client}
    return list(found.values())


def _client_of(recipe: object) -> object:
    # kazoo's recipes have two names for it. Other things in their modules have no client,
    # and some of them no dictionary, such as the nodes of a tree cache.
    state = getattr(recipe, "__dict__", {})
    return state.get("client", state.get("_client"))


def _is_recipe(kind: type) -> bool:
    return any(
        str(vars(base).get("__module__")).startswith("kazoo.recipe.") for base in kind.__mro__
    )


def _instances(wanted: Callable[[type], bool]) -> Iterator[Any]:
    """Return the living instances of the wanted types.

    This asks the garbage collector for all objects, and looks at nothing but their types,
    each type once: asking a stranger's proxy for its ``__class__`` may have consequences.
    """
    judged: dict[type, bool] = {}
    for thing in gc.get_objects():
        kind = type(thing)
        judgement = judged.get(kind)
        if judgement is None:
            judgement = judged[kind] = wanted(kind)
        if judgement:
            yield thing


def is_running(client: Any) -> bool:
    """Return whether the client was started and not stopped."""
    stopped = getattr(client, "_stopped", None)
    return stopped is not None and not stopped.is_set()


def describe(client: Any) -> str:
    """Return the client's class and hosts, for messages."""
    hosts = ",".join(f"{host}:{port}" for host, port in getattr(client, "hosts", None) or ())
    return f"{type(client).__name__}({hosts!r})"

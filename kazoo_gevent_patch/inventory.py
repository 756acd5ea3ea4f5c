"""The clients of this process, and the recipes built on them."""

from __future__ import annotations

import gc
import sys
from functools import partial
from itertools import chain, compress
from typing import Any, Final

from kazoo_gevent_patch.loop.atomic import atomically
from kazoo_gevent_patch.weak import IdentitySet

live = IdentitySet()
"""Every client that was built while kazoo was patched, or found when it was."""

explicit = IdentitySet()
"""Those of them whose handler the caller passed and we left in place."""

recipes = IdentitySet()
"""The recipes that keep something of their own in the session, or hold a lock."""


BUILT: Final = "_kazoo_gevent_patch_built"
"""The attribute of a client that tells the file and the line that built it."""


def find() -> list[Any]:
    """Return, and remember, the clients that were built before kazoo was patched.

    All recipes are remembered too. This looks at all objects of the process, once.
    """
    client_class = sys.modules["kazoo.client"].KazooClient
    kinds = [client_class]
    for name, module in list(sys.modules.items()):
        if _is_of_recipes(name):
            things = list(vars(module).values())
            kinds += (thing for thing in things if type(thing) is type and _is_recipe(thing))
    found = []
    for thing in instances(*kinds):
        if not isinstance(thing, client_class):
            if client_of(thing) is not None:
                recipes.add(thing)
        elif thing not in live:
            live.add(thing)
            found.append(thing)
    return found


def recipes_of(client: Any) -> list[Any]:
    """Return the remembered recipes that were built on the client, and those that listen to it.

    A started ``TreeCache`` is found so: kazoo's client does not import its module.
    """
    listening = (getattr(listener, "__self__", None) for listener in list(client.state_listeners))
    candidates = (*recipes, *(owner for owner in listening if _is_recipe(type(owner))))
    found = {id(recipe): recipe for recipe in candidates if client_of(recipe) is client}
    return list(found.values())


def client_of(recipe: object) -> object:
    """Return the client that a recipe was built on; None for what is no recipe."""
    # kazoo's recipes have two names for it. Other things in their modules have no client,
    # and some of them no dictionary, such as the nodes of a tree cache.
    state = getattr(recipe, "__dict__", {})
    return state.get("client", state.get("_client"))


def _is_recipe(kind: type) -> bool:
    return any(_is_of_recipes(str(vars(base).get("__module__"))) for base in kind.__mro__)


def _is_of_recipes(module: str) -> bool:
    return module.startswith("kazoo.recipe.")


def instances(*classes: type) -> list[Any]:
    """Return the living instances of the classes and of those that are derived from them.

    This asks the garbage collector for all objects, and looks at nothing but their types:
    asking a stranger's proxy for its ``__class__`` may have consequences. No Python code runs
    for each object, of which a program may have millions.
    """
    kinds: dict[int, type] = {}
    derived = list(classes)
    while derived:
        kind = derived.pop()
        if id(kind) not in kinds:
            kinds[id(kind)] = kind  # by its id: a metaclass may have taken its hash away
            derived += type.__subclasses__(kind)
    # In one step. Some of the objects are tuples that other threads are making, and CPython makes
    # such a thread fail (SystemError) that goes on while somebody else refers to its tuple.
    things: list[Any] = []
    found: list[Any] = []
    are_instances = map(kinds.__contains__, map(id, map(type, things)))
    atomically(
        partial(things.extend, chain.from_iterable(map(gc.get_objects, (None,)))),
        partial(found.extend, compress(things, are_instances)),
        things.clear,
    )
    return found


def is_running(client: Any) -> bool:
    """Return whether the client was started and not stopped."""
    stopped = getattr(client, "_stopped", None)
    return stopped is not None and not stopped.is_set()


def describe(client: Any) -> str:
    """Return the client's class and hosts, for messages."""
    hosts = ",".join(f"{host}:{port}" for host, port in getattr(client, "hosts", None) or ())
    return f"{type(client).__name__}({hosts!r})"

"""The rooms with what is put into kazoo: imported when it is needed, and anew for a new kazoo."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any, Final

_PACKAGE: Final = __name__.partition(".")[0]

_STAY: Final = (
    *("", "__main__", "commands", "gunicorn", "plugin", "patching"),
    *("inspection", "loop", "settings", "weak", "errors"),
)
"""The wings that hold no names of kazoo, and what calls them."""


def function(path: str) -> Callable[..., Any]:
    """Return the function that a row names, importing its room."""
    room, _, name = path.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(f"{_PACKAGE}.changes.{room}"), name)
    return found


def forget_outdated() -> None:
    """Have the rooms imported anew if they hold classes of a kazoo that was imported before.

    The rooms of that kazoo stay with its clients.
    """
    names = [
        name
        for name in tuple(sys.modules)  # which another thread may add to
        if name.partition(".")[0] == _PACKAGE and _wing(name) not in _STAY
    ]
    held = (value for name in names for value in tuple(vars(sys.modules[name]).values()))
    if not any(map(_is_outdated, held)):
        return
    for name in names:
        del sys.modules[name]
        # An import from the package would find it there.
        vars(sys.modules[_PACKAGE]).pop(name.rpartition(".")[2], None)


def _wing(module: str) -> str:
    return f"{module}.".split(".")[1]


def _is_outdated(value: object) -> bool:
    if not isinstance(value, type) or not str(value.__module__).startswith("kazoo."):
        return False
    module = sys.modules.get(value.__module__)
    return getattr(module, value.__qualname__, value) is not value

"""One line puts every kazoo client of a program on gevent.

>>> from kazoo_gevent_patch import patch_all
>>> patch_all().patched
True

From then on ``KazooClient()`` runs on ``SequentialGeventHandler``, and code written for
kazoo's default handler keeps working unedited. Importing this package, and calling
``patch_all()``, imports no part of kazoo.
"""

# Names that are not public begin with an underscore: editors offer all others.
import importlib as _importlib
import typing as _typing

if _typing.TYPE_CHECKING:
    from kazoo_gevent_patch.handler.result import AsyncResult
    from kazoo_gevent_patch.handler.sequential import SequentialGeventHandler
    from kazoo_gevent_patch.patching.switch import (
        is_patched,
        patch_all,
        patched,
        status,
        unpatch_all,
    )

__all__ = [
    "AsyncResult",
    "SequentialGeventHandler",
    "is_patched",
    "patch_all",
    "patched",
    "status",
    "unpatch_all",
]

_CLASSES = {"AsyncResult": "handler.result", "SequentialGeventHandler": "handler.sequential"}
_MODULES = ("errors", "gunicorn")
"""The modules from which a program may import something."""


def __getattr__(name: str) -> object:
    """Import what is asked for, and not before: the entry point for gevent imports this package.

    The classes each time, because they come anew when the program imports kazoo anew.
    """
    if name in _MODULES:
        return _importlib.import_module(f"{__name__}.{name}")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _CLASSES.get(name, "patching.switch")
    value: object = getattr(_importlib.import_module(f"{__name__}.{module}"), name)
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES])

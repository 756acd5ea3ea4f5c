"""The contenders that are measured: each has a way to prepare its process, and a module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True)
class Contender:
    """One client, and one way to use it."""

    name: str
    module: str
    """The module of this package that does the workloads."""
    prepare: Callable[[], None]
    """What a program does at its top to use the client in this way."""
    about: str


def _nothing() -> None:
    pass


def _by_default(handler: Callable[[], object]) -> None:
    from kazoo.client import KazooClient

    original_init = KazooClient.__init__

    def init(self: KazooClient, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("handler", handler())
        original_init(self, *args, **kwargs)

    KazooClient.__init__ = init


def _stock_handler() -> None:
    import gevent.monkey

    gevent.monkey.patch_all()

    from kazoo.handlers.gevent import SequentialGeventHandler

    _by_default(SequentialGeventHandler)


def _free_primitives() -> None:
    from tests.benchmarks.floor import Handler

    _by_default(Handler)


def _ours() -> None:
    import gevent.monkey

    gevent.monkey.patch_all()

    from kazoo_gevent_patch import patch_all

    patch_all()


def _ours_unpatched() -> None:
    from kazoo_gevent_patch import patch_all

    patch_all()


CONTENDERS: Final = (
    Contender("threads", "on_kazoo", _nothing, "kazoo's default handler, no gevent"),
    Contender(
        "stock gevent", "on_kazoo", _stock_handler, "monkey.patch_all(), kazoo's gevent handler"
    ),
    Contender("ours", "on_kazoo", _ours, "monkey.patch_all(), our patch_all()"),
    Contender(
        "ours, no monkey", "on_kazoo", _ours_unpatched, "our patch_all(), no monkey patching"
    ),
    Contender(
        "floor", "on_kazoo", _free_primitives, "kazoo's own code on primitives that cost nothing"
    ),
    Contender("bare socket", "on_bare", _nothing, "a blocking Python socket, no library"),
    Contender("aiozk", "on_aiozk", _nothing, "asyncio"),
)


def by_name(name: str) -> Contender:
    """Return the contender of that name."""
    return next(contender for contender in CONTENDERS if contender.name == name)

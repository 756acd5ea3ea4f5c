"""Runs app.py as people do by hand: with kazoo's own gevent handler for every client."""

import gevent.monkey

gevent.monkey.patch_all()

import runpy
from typing import Any

from kazoo.client import KazooClient
from kazoo.handlers.gevent import SequentialGeventHandler

original_init = KazooClient.__init__


def init(self: KazooClient, *args: Any, **kwargs: Any) -> None:
    kwargs.setdefault("handler", SequentialGeventHandler())
    original_init(self, *args, **kwargs)


KazooClient.__init__ = init

runpy.run_module("examples.demo.app", run_name="__main__")

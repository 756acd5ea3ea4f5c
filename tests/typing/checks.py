"""A user's program, whose every line a type checker accepts."""

from __future__ import annotations

from gevent import Greenlet
from kazoo.client import KazooClient

import kazoo_gevent_patch
from kazoo_gevent_patch import (
    AsyncResult,
    SequentialGeventHandler,
    is_patched,
    patch_all,
    patched,
    status,
    unpatch_all,
)
from kazoo_gevent_patch.gunicorn import post_fork

state = patch_all(replace_explicit=True, fork="stop", keep_sessions=2.5)
applied: tuple[str, ...] = state.applied
versions: dict[str, str] = state.versions
choice: str = state.options.fork
is_on: bool = status().patched and is_patched()
locks: list[str] = [path for one in status(verbose=True).clients for path in one.locks_held]
plain: object = status().as_dict()["clients"]

handler = SequentialGeventHandler()
client = KazooClient("127.0.0.1:2181", handler=handler)
result: AsyncResult = handler.async_result()
result.rawlink(lambda finished: print(finished.get(timeout=0.5)))
alone: AsyncResult = kazoo_gevent_patch.AsyncResult()
greenlet: Greenlet[..., object] = handler.spawn(print, "hello", flush=True)
is_running: bool = handler.running
lock = handler.lock_object()
acquired: bool = lock.acquire(timeout=1.5)

with patched(fork="ignore") as inside:
    print(inside.clients)

unpatch_all()
post_fork(server=None, worker=None)

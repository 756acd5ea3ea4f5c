"""Two threads import two modules of kazoo for the first time at once, over and over.

Each pair has a child process of its own, which imports kazoo anew in each round. A child that
does not end in time hangs, and is reported with its stacks.
"""

from __future__ import annotations

import faulthandler
import importlib
import itertools
import json
import os
import sys
import threading
import time
from importlib.machinery import SourceFileLoader
from types import ModuleType
from typing import Any

import gevent.socket
import gevent.ssl  # noqa: F401 - what our rooms need, imported once for all children

import kazoo_gevent_patch
from kazoo_gevent_patch.patching.table import PATCHES

LIMIT = 60.0
# Without kazoo.version, which kazoo/__init__.py imports: while another thread imports the package,
# CPython finds a deadlock between the two, with kazoo alone as well.
NAMES = {
    "kazoo": "client exceptions hosts interfaces loggingsupport retry security",
    "kazoo.handlers": "gevent threading utils",
    "kazoo.protocol": "connection paths serialization states",
    "kazoo.recipe": "barrier cache counter election lease lock partitioner party queue watchers",
}
MODULES = [f"{package}.{name}" for package, names in NAMES.items() for name in names.split()]
PAIRS = list(itertools.combinations_with_replacement(MODULES, 2))


def import_both(pair: tuple[str, str], forks: bool) -> None:
    """Import the two at once; with ``forks``, the thread that executes the first forks in it."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "kazoo"]:
        del sys.modules[name]
    kazoo_gevent_patch.unpatch_all()
    kazoo_gevent_patch.patch_all()
    barrier = threading.Barrier(2)
    in_the_middle = {pair[0]} if forks else set()
    execute = SourceFileLoader.exec_module

    def execute_and_fork(loader: Any, module: ModuleType) -> None:
        execute(loader, module)
        if module.__name__ in in_the_middle:
            fork()

    def load(name: str) -> None:
        barrier.wait()
        importlib.import_module(name)

    setattr(SourceFileLoader, "exec_module", execute_and_fork)  # noqa: B010
    threads = [threading.Thread(target=load, args=(name,)) for name in pair]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    setattr(SourceFileLoader, "exec_module", execute)  # noqa: B010
    now = kazoo_gevent_patch.status()
    done = now.applied if "kazoo.client" in pair else now.armed
    assert len(done) == len(PATCHES), str(now)


def fork() -> None:
    """Fork, and have the child use what we would have locked."""
    child = os.fork()
    if not child:
        kazoo_gevent_patch.status()
        kazoo_gevent_patch.unpatch_all()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def begin(pair: tuple[str, str], rounds: int, forks: bool) -> int:
    """Start a child that does the rounds, and return its process id."""
    child = os.fork()
    if not child:
        sys.setswitchinterval(1e-5)
        faulthandler.dump_traceback_later(LIMIT, exit=True)
        status = 1
        try:
            for _ in range(rounds):
                import_both(pair, forks)
            status = 0
        finally:
            os._exit(status)
    return child


def walk(pairs: list[tuple[str, str]], rounds: int, forks: bool, workers: int = 2) -> list[Any]:
    """Do the rounds of each pair, and return those that did not end well."""
    wrong: list[Any] = []
    running: dict[int, tuple[str, str]] = {}
    waiting = iter(pairs)
    while True:
        while len(running) < workers and (pair := next(waiting, None)) is not None:
            running[begin(pair, rounds, forks)] = pair
        if not running:
            return wrong
        child, status = os.wait()
        pair = running.pop(child)
        if status:
            wrong.append(pair)


if __name__ == "__main__":
    chosen, rounds, forks = json.loads(sys.argv[1])
    start = time.monotonic()
    wrong = walk([tuple(pair) for pair in chosen] or PAIRS, rounds, forks)
    took = time.monotonic() - start
    print(json.dumps({"wrong": wrong, "pairs": len(chosen or PAIRS), "seconds": round(took)}))

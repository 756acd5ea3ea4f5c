"""Noticing that this process was forked, also when Python's hooks were not run.

A C program that embeds Python may fork without telling it: uWSGI does, unless it is run with
``--py-call-osafterfork``. So the process id is looked at where a client is used, and where
an inherited greenlet would go on. That costs less than a tenth of a microsecond each time.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

hooks: list[Callable[[], None]] = []
"""What is called in a child, once; they must not raise."""


class _Process:
    pid = os.getpid()


def was_forked() -> bool:
    """Return whether this is a child in which the hooks have not been called yet."""
    return os.getpid() != _Process.pid


def after_fork_in_child() -> None:
    """Call the hooks, once in each child."""
    if was_forked():
        _Process.pid = os.getpid()
        for hook in hooks:
            hook()


os.register_at_fork(after_in_child=after_fork_in_child)


class ForkSafeLock:
    """A re-entrant lock that nobody else holds at a fork, so that it is free in the child."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        os.register_at_fork(
            before=self.__enter__, after_in_parent=self._release, after_in_child=self._release
        )

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def _release(self) -> None:
        try:
            self._lock.release()
        except RuntimeError:
            # The hook for before the fork was not run (uWSGI with --py-call-osafterfork);
            # the holder, if there is one, is not in this process.
            self._lock = threading.RLock()

"""Noticing that this process was forked, also when Python's hooks were not run.

A C program that embeds Python may fork without telling it: uWSGI does, unless it is run with
``--py-call-osafterfork``. So there is a look where a client is used, and where an inherited
greenlet would go on. It is a look at a page of memory that the kernel wipes in a child, and
costs no system call; where the kernel cannot do that, it is one at the process id.
"""

from __future__ import annotations

import logging
import mmap
import os
from collections.abc import Callable
from typing import Any, Final

from gevent.monkey import get_original
from greenlet import GreenletExit, getcurrent

_native_rlock = get_original("_thread", "RLock")

hooks: list[Callable[[object], None]] = []
"""What is called in a child, once, with the greenlet that called fork; None where that is not
known. What one of them raises is logged."""

log = logging.getLogger("kazoo_gevent_patch")

_MADV_WIPEONFORK: Final = 18  # <linux/mman.h>; Python has no name for it


class _WipedPage(mmap.mmap):
    """Knows of a fork because the kernel wipes this page of memory in the child."""

    def __new__(cls) -> _WipedPage:
        page = super().__new__(cls, -1, mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        page.madvise(_MADV_WIPEONFORK)
        page.renew()
        return page

    def renew(self) -> None:
        self[0] = 1


class _ProcessId:
    """Knows of a fork because the process has another id than it had."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        self._pid = os.getpid()

    def __getitem__(self, _: int) -> bool:
        return os.getpid() == self._pid


mark: _WipedPage | _ProcessId
"""``mark[0]`` is false in a child in which the hooks have not been called yet. It is for code that
asks at each request; for all other code there is ``was_forked``."""

try:
    mark = _WipedPage()
except (OSError, AttributeError, ValueError):
    mark = _ProcessId()  # not Linux, or a kernel before 4.14


def was_forked() -> bool:
    """Return whether this is a child in which the hooks have not been called yet."""
    return not mark[0]


def notice_fork() -> None:
    """Call the hooks in a child whose fork ran none of Python's; do nothing anywhere else.

    A greenlet that lives in one process only ends here, with ``GreenletExit``: it is the parent's.
    """
    if was_forked():
        _call_hooks(None)
        if getattr(getcurrent(), "is_inherited", False):
            raise GreenletExit


def _after_fork_in_child() -> None:
    if was_forked():
        _call_hooks(getcurrent())


def _call_hooks(called_fork: object) -> None:
    mark.renew()
    for hook in hooks:
        try:
            hook(called_fork)
        except Exception:
            log.exception("A part of the parent's state stays in this forked process")


_register_at_fork: Final[Callable[..., None]] = getattr(
    os, "register_at_fork", lambda **_: None
)  # where nothing forks, such as on Windows, there is no such function

_register_at_fork(after_in_child=_after_fork_in_child)


class ForkSafeLock:
    """A re-entrant lock that nobody else holds at a fork, so that it is free in the child.

    A fork waits for the lock. So the thread that holds it must not wait for anything: no import,
    no other lock, no code of anybody else's. It is a native one, and so no greenlet may be
    switched to while it is held.
    """

    def __init__(self) -> None:
        self._lock: Any = _native_rlock()
        _register_at_fork(
            before=self.__enter__, after_in_parent=self.__exit__, after_in_child=self.__exit__
        )

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        try:
            self._lock.release()
        except RuntimeError:
            # The hook for before the fork was not run (uWSGI with --py-call-osafterfork);
            # the holder, if there is one, is not in this process.
            self._lock = _native_rlock()

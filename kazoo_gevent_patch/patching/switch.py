"""``patch_all()`` and what goes with it: switching the changes on and off."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import kazoo_gevent_patch.loop.daemons  # noqa: F401 - its exit handler shall run late
from kazoo_gevent_patch.loop.forks import ForkSafeLock
from kazoo_gevent_patch.patching.registry import Registry
from kazoo_gevent_patch.patching.status import Status, take_status
from kazoo_gevent_patch.patching.table import PATCHES
from kazoo_gevent_patch.patching.versions import check_kazoo
from kazoo_gevent_patch.settings import options as settings
from kazoo_gevent_patch.settings.options import ForkChoice, Options

log = logging.getLogger("kazoo_gevent_patch")

_registry = Registry(PATCHES)
_lock = ForkSafeLock()


def patch_all(*, replace_explicit: bool = False, fork: ForkChoice = "reconnect") -> Status:
    """Have every ``KazooClient`` that is built from now on run on our handler.

    Works before or after kazoo is imported, and before, after or without
    ``gevent.monkey.patch_all()``; imports no part of kazoo. Clients built before, and not
    running, move over when they start. Calling it again does nothing; with other options,
    those apply from then on, and one warning is logged. May be called from several threads at
    once.

    :param replace_explicit: also replace an instance of one of kazoo's own two handlers
        (threading, gevent; not of a subclass) that the caller passed to ``KazooClient``.
    :param fork: what a started client becomes in a child process: ``"reconnect"``,
        ``"stop"`` or ``"ignore"``.
    :returns: the same as ``status()``.
    :raises ValueError: an option has a value that is not allowed.
    :raises kazoo_gevent_patch.errors.UnsupportedKazooError: kazoo is too old, or not what
        we know; nothing is patched then.
    """
    options = Options(replace_explicit, fork)
    check_kazoo()
    with _lock:
        before = settings.in_force()
        if before is not None and options != before:
            log.warning("patch_all() was called again: %s", options.changes_from(before))
        _switch_on(options)
    return status()


def _switch_on(options: Options) -> None:
    previous = settings.put_in_force(options)
    try:
        newly_applied = _registry.apply()
    except BaseException:
        settings.put_in_force(previous)
        raise
    if newly_applied and "kazoo.client" in sys.modules:
        from kazoo_gevent_patch.changes import client

        client.find_earlier()


def unpatch_all() -> None:
    """Undo ``patch_all()``: every changed attribute gets its identical original back.

    What somebody else has wrapped since stays, does nothing, and is named in a warning.
    Clients that were built meanwhile keep their handler and keep working.
    """
    with _lock:
        _registry.undo()
        settings.put_in_force(None)


def is_patched() -> bool:
    """Return whether ``patch_all()`` is in force, be it applied or waiting for kazoo."""
    return _registry.wanted


@contextmanager
def patched(*, replace_explicit: bool = False, fork: ForkChoice = "reconnect") -> Iterator[Status]:
    """Patch kazoo for the length of a ``with`` block, then go back to how it was before.

    Takes the parameters, returns the status and raises the errors of ``patch_all()``. It
    holds for the whole process, not only for the thread or greenlet in the block.
    """
    with _lock:
        before = settings.in_force()
        now = patch_all(replace_explicit=replace_explicit, fork=fork)
    try:
        yield now
    finally:
        with _lock:
            if before is None:
                unpatch_all()
            else:
                _switch_on(before)


def status() -> Status:
    """Return what is applied, what is armed and what is left alone, with the versions."""
    return take_status(_registry)

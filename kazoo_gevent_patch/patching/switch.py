"""``patch_all()`` and what goes with it: switching the changes on and off."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Final

from kazoo_gevent_patch.inspection import visits
from kazoo_gevent_patch.patching import rooms
from kazoo_gevent_patch.patching.registry import Registry
from kazoo_gevent_patch.patching.status import Status, report, take_status
from kazoo_gevent_patch.patching.table import PATCHES
from kazoo_gevent_patch.patching.versions import check_kazoo, check_platform
from kazoo_gevent_patch.settings import options as settings
from kazoo_gevent_patch.settings.environment import PATCH
from kazoo_gevent_patch.settings.options import ForkChoice, KeepChoice, Options

log = logging.getLogger("kazoo_gevent_patch")

_registry = Registry(PATCHES)
_PATCH_ALL: Final = "patch_all()"
"""The key of its request; each ``patched()`` block has one of its own."""


def patch_all(
    *,
    replace_explicit: bool = False,
    fork: ForkChoice = "reconnect",
    keep_sessions: KeepChoice = True,
) -> Status:
    """Have every ``KazooClient`` that is built from now on run on our handler.

    Works before or after kazoo is imported, and before, after or without
    ``gevent.monkey.patch_all()``; imports no part of kazoo. Clients built before, and not
    running, move over when they start. Calling it again does nothing; with other options,
    those apply from then on, and one warning is logged. May be called from several threads at
    once. Does nothing, and logs one line, with ``KAZOO_GEVENT_PATCH=0`` in the environment.

    :param replace_explicit: also replace an instance of one of kazoo's own two handlers
        (threading, gevent; not of a subclass) that the caller passed to ``KazooClient``.
    :param fork: what a started client becomes in a child process: ``"reconnect"``,
        ``"stop"`` or ``"ignore"``.
    :param keep_sessions: whether a session is kept while the program does not let the event
        loop run: ``True``, ``False``, or for at most so many seconds of one stall. What
        ``KAZOO_GEVENT_PATCH_KEEP_SESSIONS`` in the environment says comes first.
    :returns: the same as ``status()``.
    :raises ValueError: an option has a value that is not allowed.
    :raises kazoo_gevent_patch.errors.UnsupportedKazooError: kazoo is missing, too old, or not
        what we know. Nothing is patched then. Where kazoo is imported later, that is logged
        instead, and ``status()`` has it.
    :raises kazoo_gevent_patch.errors.UnsupportedPlatformError: this is not CPython, or the system
        lacks what is needed.
    """
    return _switch_on(_PATCH_ALL, Options(replace_explicit, fork, keep_sessions))


def _switch_on(key: object, options: Options) -> Status:
    if PATCH.forbids():
        _say_forbidden(os.getpid())
        return status()
    check_platform()
    check_kazoo()
    in_force, before = settings.in_force(), _registry.requested(key)
    try:
        newly_applied = _registry.request(key, options)
        if in_force is not None and (changes := options.changes_from(in_force)):
            log.warning("patch_all() was called again: %s", changes)
        if newly_applied:
            rooms.function("client:find_earlier")()
        return status()
    except BaseException:
        _registry.withdraw(key, before)
        raise


@cache
def _say_forbidden(process: int) -> None:
    log.warning("%s=0 in the environment: patch_all() changes nothing", PATCH.variable)


def unpatch_all() -> None:
    """Undo ``patch_all()``: every changed attribute gets its identical original back.

    What somebody else has wrapped since stays, does nothing, and is named in a warning.
    Clients that were built meanwhile keep their handler and keep working. Ends what every
    ``patched()`` block asked for, too.
    """
    _registry.withdraw_all()
    _put_back()


def is_patched() -> bool:
    """Return whether ``patch_all()`` is in force, be it applied or waiting for kazoo."""
    return _registry.wanted


@contextmanager
def patched(
    *,
    replace_explicit: bool = False,
    fork: ForkChoice = "reconnect",
    keep_sessions: KeepChoice = True,
) -> Iterator[Status]:
    """Patch kazoo for the length of a ``with`` block, then go back to how it was before.

    Takes the parameters, returns the status and raises the errors of ``patch_all()``. It
    holds for the whole process, not only for the thread or greenlet in the block. Blocks may
    overlap: kazoo stays patched until the last one ends, and after it if ``patch_all()`` was
    called; the options are those of the block, or the call, that began last.
    """
    key = object()
    now = _switch_on(key, Options(replace_explicit, fork, keep_sessions))
    try:
        yield now
    finally:
        _registry.withdraw(key)
        _put_back()


def _put_back() -> None:
    if not _registry.wanted and "kazoo.client" in sys.modules:
        rooms.function("retries:put_back")()


def status(verbose: bool = False) -> Status:
    """Return whether the patch is on, and what the clients of this process do now.

    Safe in any greenlet and any native thread; it waits for nothing, and changes nothing.

    :param verbose: have ``str()`` of it name every change to kazoo, and every client.
    """
    return take_status(_registry, verbose=verbose)


visits.reports.append(lambda: report(status()))

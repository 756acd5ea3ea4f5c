"""The checks of this process and of what is installed; they talk to nobody."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Final

import gevent.monkey

from kazoo_gevent_patch import is_patched, patch_all, status
from kazoo_gevent_patch.commands.doctor.findings import Finding, Level
from kazoo_gevent_patch.patching.table import PATCHES
from kazoo_gevent_patch.patching.versions import (
    NOT_FOUND,
    TESTED,
    beyond_tested,
    installed,
    is_free_threaded,
    versions,
)
from kazoo_gevent_patch.settings.environment import PATCH, VARIABLES, keeping, quoted

_ALSO_SHOWN: Final = ("greenlet", "gunicorn")
_OUR_PREFIX: Final = "KAZOO_GEVENT"


def examine(begin: Callable[[str], None]) -> Iterator[Finding]:
    """Make the checks in order; ``begin`` is told the name of each.

    The order matters: what was imported and patched when the doctor began comes before the
    doctor patches.
    """
    for name, check in CHECKS:
        begin(name)
        for level, text, advice in check():
            yield Finding(level, name, text, advice)


_Line = tuple[Level, str, str]


def _versions() -> Iterator[_Line]:
    found = versions() | {name: installed(name) or "" for name in _ALSO_SHOWN}
    for name, version in found.items():
        if not version:
            continue
        if version == NOT_FOUND and name in TESTED:
            yield Level.problem, f"{name} is not installed", f"install {name}"
            continue
        beyond = beyond_tested(name, version)
        tested = " to ".join(TESTED[name]) if name in TESTED else ""
        text = f"{name} {version}" + (f" (tested: {tested})" if tested else "")
        if beyond == "older":
            yield Level.problem, f"{text} is older", f"upgrade {name}"
        elif beyond:
            yield Level.ok, f"{text} is newer than tested, no trouble known", ""
        else:
            yield Level.ok, text, ""
    if is_free_threaded():
        yield (
            Level.problem,
            "this Python is a free-threaded build, which gevent does not support",
            "use the ordinary build of the same version",
        )


def _environment() -> Iterator[_Line]:
    ours = {name: value for name, value in os.environ.items() if name.startswith(_OUR_PREFIX)}
    for name, value in sorted(ours.items()):
        variable = VARIABLES.get(name)
        if variable is None:
            known = ", ".join(VARIABLES)
            yield Level.warning, f"{name} is set", f"no variable is called so: {known} are"
        elif not variable.understands(value):
            yield (
                Level.warning,
                f"{name}={quoted(value)} is not understood",
                f"set it to {variable.allowed}",
            )
        else:
            yield Level.ok, f"{name}={quoted(value)}: {variable.says()}", ""
    if not ours:
        yield Level.ok, f"{PATCH.variable} is not set", ""


def _imported_early() -> Iterator[_Line]:
    names = sorted({patch.module for patch in PATCHES} & sys.modules.keys())
    if names:
        outcome = "left as it is" if PATCH.forbids() else "changed in place"
        yield Level.ok, f"imported before the doctor began: {', '.join(names)}; {outcome}", ""
    else:
        yield Level.ok, "nothing of kazoo was imported before the doctor began", ""


def _gevent() -> Iterator[_Line]:
    before = status().monkey_patched
    if all(before.values()):
        yield Level.ok, "the standard library was patched before the doctor began", ""
        return
    if any(before.values()):
        missing = ", ".join(name for name, patched in before.items() if not patched)
        yield (
            Level.warning,
            f"the standard library was patched in part; not patched: {missing}",
            "call gevent.monkey.patch_all() once, without arguments, and first",
        )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", gevent.monkey.MonkeyPatchWarning)
        gevent.monkey.patch_all()
    names = ", ".join(name for name, patched in status().monkey_patched.items() if patched)
    yield Level.ok, f"not patched when the doctor began; patches now: {names}", ""
    for warning in caught:
        yield (
            Level.warning,
            f"imported too early: {warning.message}",
            "let no .pth file and no sitecustomize import it before gevent patches",
        )


def _patch() -> Iterator[_Line]:
    if refused := status().refused:
        yield Level.ok, refused, ""  # it was switched off on purpose
        return
    began = "was on when the doctor began" if is_patched() else "is switched on by the doctor"
    try:
        patch_all()
        for name in dict.fromkeys(patch.module for patch in PATCHES):
            importlib.import_module(name)
    except Exception as error:
        yield Level.problem, f"{type(error).__name__}: {error}", "install a kazoo that is tested"
        return
    now = status()
    if now.refused:
        yield Level.problem, now.refused, "install a kazoo that is tested"
        return
    yield Level.ok, f"patch_all() {began}; {len(now.applied)} of {len(PATCHES)} changes applied", ""
    for name in now.armed:
        yield Level.warning, f"armed, not applied: {name}", "report this: its module is imported"
    for name, why in now.left_alone.items():
        yield Level.problem, f"shadowed: {name}: {why}", "load what replaces it after patch_all()"


def _sessions() -> Iterator[_Line]:
    text = keeping(status().keep_sessions)
    yield Level.ok, f"{text} while the event loop stands still", ""


CHECKS: Final = (
    ("version", _versions),
    ("environment", _environment),
    ("kazoo", _imported_early),
    ("gevent", _gevent),
    ("patch", _patch),
    ("sessions", _sessions),
)
"""Every check, by the name that its lines have."""

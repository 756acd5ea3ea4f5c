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
        for level, text, advice, values in check():
            yield Finding(level, name, text, advice, values)


_Line = tuple[Level, str, str, dict[str, object]]


def _versions() -> Iterator[_Line]:
    found = versions() | {name: installed(name) or "" for name in _ALSO_SHOWN}
    for name, version in found.items():
        if not version:
            continue
        values: dict[str, object] = {"name": name, "version": version}
        if version == NOT_FOUND and name in TESTED:
            values["version"] = None
            yield Level.problem, f"{name} is not installed", f"install {name}", values
            continue
        beyond = beyond_tested(name, version)
        values["tested"] = TESTED.get(name)
        tested = " to ".join(TESTED[name]) if name in TESTED else ""
        text = f"{name} {version}" + (f" (tested: {tested})" if tested else "")
        if beyond == "older":
            yield Level.problem, f"{text} is older", f"upgrade {name}", values
        elif beyond:
            yield Level.ok, f"{text} is newer than tested, no trouble known", "", values
        else:
            yield Level.ok, text, "", values
    if is_free_threaded():
        yield (
            Level.problem,
            "this Python is a free-threaded build, which gevent does not support",
            "use the ordinary build of the same version",
            {"name": "Python", "free_threaded": True},
        )


def _environment() -> Iterator[_Line]:
    ours = {name: value for name, value in os.environ.items() if name.startswith(_OUR_PREFIX)}
    for name, value in sorted(ours.items()):
        variable = VARIABLES.get(name)
        if variable is None:
            known = ", ".join(VARIABLES)
            advice = f"no variable is called so: {known} are"
            yield Level.warning, f"{name} is set", advice, {"variable": name}
            continue
        values: dict[str, object] = {"variable": name, "value": value}
        if variable.understands(value):
            yield Level.ok, f"{name}={quoted(value)}: {variable.says()}", "", values
        else:
            text = f"{name}={quoted(value)} is not understood"
            yield Level.warning, text, f"set it to {variable.allowed}", values
    if not ours:
        values = {"variable": PATCH.variable, "value": None}
        yield Level.ok, f"{PATCH.variable} is not set", "", values


def _imported_early() -> Iterator[_Line]:
    names = sorted({patch.module for patch in PATCHES} & sys.modules.keys())
    values: dict[str, object] = {"imported": names}
    if names:
        outcome = "left as it is" if PATCH.forbids() else "changed in place"
        text = f"imported before the doctor began: {', '.join(names)}; {outcome}"
        yield Level.ok, text, "", values
    else:
        yield Level.ok, "nothing of kazoo was imported before the doctor began", "", values


def _gevent() -> Iterator[_Line]:
    before = status().monkey_patched
    if all(before.values()):
        text = "the standard library was patched before the doctor began"
        yield Level.ok, text, "", {"before": before, "now": before}
        return
    if any(before.values()):
        missing = ", ".join(name for name, patched in before.items() if not patched)
        yield (
            Level.warning,
            f"the standard library was patched in part; not patched: {missing}",
            "call gevent.monkey.patch_all() once, without arguments, and first",
            {"before": before},
        )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", gevent.monkey.MonkeyPatchWarning)
        gevent.monkey.patch_all()
    now = status().monkey_patched
    names = ", ".join(name for name, patched in now.items() if patched)
    text = f"not patched when the doctor began; patches now: {names}"
    yield Level.ok, text, "", {"before": before, "now": now}
    for warning in caught:
        yield (
            Level.warning,
            f"imported too early: {warning.message}",
            "let no .pth file and no sitecustomize import it before gevent patches",
            {"warning": str(warning.message)},
        )


def _patch() -> Iterator[_Line]:
    if refused := status().refused:
        yield Level.ok, refused, "", {"applied": 0, "refused": refused}  # switched off on purpose
        return
    was_on = is_patched()
    began = "was on when the doctor began" if was_on else "is switched on by the doctor"
    try:
        patch_all()
        for name in dict.fromkeys(patch.module for patch in PATCHES):
            importlib.import_module(name)
    except Exception as error:
        kind = type(error).__name__
        advice = "install a kazoo that is tested"
        yield Level.problem, f"{kind}: {error}", advice, {"applied": 0, "error": kind}
        return
    now = status()
    if now.refused:
        values: dict[str, object] = {"applied": 0, "refused": now.refused}
        yield Level.problem, now.refused, "install a kazoo that is tested", values
        return
    applied, known = len(now.applied), len(PATCHES)
    text = f"patch_all() {began}; {applied} of {known} changes applied"
    yield Level.ok, text, "", {"applied": applied, "of": known, "was_on": was_on}
    for name in now.armed:
        advice = "report this: its module is imported"
        yield Level.warning, f"armed, not applied: {name}", advice, {"armed": name}
    for name, why in now.left_alone.items():
        advice = "load what replaces it after patch_all()"
        yield Level.problem, f"shadowed: {name}: {why}", advice, {"shadowed": name, "why": why}


def _sessions() -> Iterator[_Line]:
    choice = status().keep_sessions
    text = f"{keeping(choice)} while the event loop stands still"
    yield Level.ok, text, "", {"keep_sessions": choice}


CHECKS: Final = (
    ("version", _versions),
    ("environment", _environment),
    ("kazoo", _imported_early),
    ("gevent", _gevent),
    ("patch", _patch),
    ("sessions", _sessions),
)
"""Every check, by the name that its lines have."""

"""``Status``: what ``patch_all()`` has done so far; and the report of a process."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from kazoo_gevent_patch.inspection.records import ClientStatus
from kazoo_gevent_patch.inspection.visits import Report
from kazoo_gevent_patch.patching.clients import clients, greenlets
from kazoo_gevent_patch.patching.imports import is_whole
from kazoo_gevent_patch.patching.registry import TRIGGER, Registry
from kazoo_gevent_patch.patching.table import Patch
from kazoo_gevent_patch.patching.versions import versions
from kazoo_gevent_patch.settings import monkey
from kazoo_gevent_patch.settings.environment import PATCH, keeping
from kazoo_gevent_patch.settings.options import KeepChoice, Options, in_force, keep_choice

SHOWN: Final = 5
"""Clients that ``str()`` shows at most, unless it is verbose: there is one screen."""


@dataclass(frozen=True)
class Status:
    """A snapshot; ``str()`` of it is meant for a terminal. It holds no secret."""

    patched: bool
    """``patch_all()`` is in force."""

    since: float | None
    """When that became so, in seconds since the epoch; None while it has always been off."""

    options: Options
    """The options in force; the defaults while kazoo is not patched."""

    applied: tuple[str, ...]
    """The attributes of kazoo that are changed now."""

    armed: tuple[str, ...]
    """Those that will be when kazoo is imported."""

    left_alone: dict[str, str]
    """Those that are not, or could not be put back, and why."""

    versions: dict[str, str]
    """The versions of Python, kazoo, gevent, wrapt and this package."""

    monkey_patched: dict[str, bool]
    """The standard modules that matter here, and whether gevent has patched them."""

    keep_sessions: KeepChoice
    """Whether sessions are kept while the event loop stands still, or for how many seconds: the
    option, or what the environment says in its place."""

    handlers: dict[str, int]
    """How many live clients we know of, by the class of their handler."""

    clients: tuple[ClientStatus, ...]
    """What each of them does."""

    refused: str = ""
    """Why kazoo is not patched although it was asked for; empty where it is not so."""

    verbose: bool = False
    """Whether ``str()`` names every change to kazoo, and every client."""

    def as_dict(self) -> dict[str, Any]:
        """Return the same as dictionaries, tuples, numbers and texts, such as JSON takes."""
        data = asdict(self)
        del data["verbose"]
        return data

    def __str__(self) -> str:
        state = "on" if self.patched else "off"
        if self.since is not None:
            state += time.strftime(" since %Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return "\n".join([f"kazoo_gevent_patch is {state}", *self._lines()])

    def _lines(self) -> Iterator[str]:
        if self.refused:
            yield f"  refused     {self.refused}"
        options = asdict(self.options).items()
        yield "  options     " + ", ".join(f"{name}={value}" for name, value in options)
        yield from self._changes()
        yield "  versions    " + ", ".join(f"{k} {v}" for k, v in self.versions.items())
        monkey = [name for name, patched in self.monkey_patched.items() if patched]
        yield "  monkey      " + (", ".join(monkey) or "nothing is patched by gevent")
        sessions = keeping(self.keep_sessions)
        yield f"  sessions    {sessions} while the event loop stands still"
        for name, count in self.handlers.items():
            yield f"  clients     {count} on {name}"
        shown = self.clients if self.verbose else sorted(self.clients, key=_by_trouble)[:SHOWN]
        yield from (f"  {client}" for client in shown)
        if left := len(self.clients) - len(shown):
            yield f"  {left} more clients are in status(verbose=True), and in inspect --json"

    def _changes(self) -> Iterator[str]:
        if self.verbose:
            yield from (f"  applied     {name}" for name in self.applied)
            yield from (f"  armed       {name} (until kazoo is imported)" for name in self.armed)
        elif self.armed:
            yield f"  armed       {len(self.armed)} changes, until kazoo is imported"
        else:
            yield f"  applied     {len(self.applied)} changes"
        for name, why in self.left_alone.items():
            if why != self.refused:
                yield f"  left alone  {name}: {why}"


def _by_trouble(client: ClientStatus) -> tuple[float, ...]:
    """Return a key that sorts those clients first that may be in trouble."""
    is_away = client.running and client.state != "CONNECTED"
    longest = max((callbacks.seconds for callbacks in client.callbacks.values()), default=0.0)
    return -is_away, -client.running, -longest, -client.lost_sessions, -client.stalls


def take_status(registry: Registry, *, verbose: bool = False) -> Status:
    """Return the status of a registry and of the process."""
    applied = registry.in_effect() if registry.wanted else {}
    left_alone, armed = _others(registry, applied)
    unpatched = monkey.unpatched()
    found = clients()
    return Status(
        patched=registry.wanted,
        since=registry.since,
        options=in_force() or Options(),
        applied=tuple(patch.name for patch in applied),
        armed=tuple(patch.name for patch in armed),
        left_alone={patch.name: why for patch, why in left_alone.items()},
        versions=versions(),
        monkey_patched={name: name not in unpatched for name in monkey.MODULES},
        keep_sessions=keep_choice(),
        handlers=dict(Counter(client.handler for client in found)),
        clients=found,
        refused=_refusal(registry),
        verbose=verbose,
    )


def _others(
    registry: Registry, applied: Collection[Patch]
) -> tuple[dict[Patch, str], Collection[Patch]]:
    """Return the rows that are left alone, with the reasons, and those that are armed."""
    rest = [patch for patch in registry.patches if patch not in applied]
    if registry.refusal:
        return dict.fromkeys(rest, registry.refusal), ()
    if not registry.wanted:
        why = "something else has been put over it since"
        return dict.fromkeys(registry.covered(), why), ()
    if TRIGGER not in sys.modules or TRIGGER in registry.watch.executing:
        return {}, rest
    why = (
        "it came without an import; call patch_all() again"
        if is_whole(TRIGGER)
        else "its module is being imported by the code that called patch_all(); "
        "call patch_all() again afterwards"
    )
    return dict.fromkeys(rest, why), ()


def _refusal(registry: Registry) -> str:
    if not registry.wanted and PATCH.forbids():
        return f"{PATCH.variable}=0 in the environment: patch_all() changes nothing"
    return registry.refusal


def report(status: Status) -> Report:
    """Make what ``kazoo-gevent-patch inspect`` prints: a line of JSON, with a text and plain data.

    The text is made here, and not by the command: that may be of another version.
    """
    found = yield from greenlets()
    title = f"process {os.getpid()} at {time.strftime('%Y-%m-%d %H:%M:%S %z')}"
    text = "\n\n".join([title, str(status), *map(str, found)])
    data = {"pid": os.getpid(), "status": status.as_dict(), "greenlets": list(map(asdict, found))}
    return json.dumps({"text": text, "data": data}).encode() + b"\n"

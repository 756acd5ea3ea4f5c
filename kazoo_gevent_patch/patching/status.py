"""``Status``: what ``patch_all()`` has done so far."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from kazoo_gevent_patch.patching.imports import is_whole
from kazoo_gevent_patch.patching.registry import TRIGGER, Registry
from kazoo_gevent_patch.patching.table import Patch
from kazoo_gevent_patch.patching.versions import versions
from kazoo_gevent_patch.settings import monkey
from kazoo_gevent_patch.settings.environment import PATCH, keeping
from kazoo_gevent_patch.settings.options import KeepChoice, Options, in_force, keep_choice


@dataclass(frozen=True)
class Status:
    """A snapshot; ``str()`` of it is meant for a terminal."""

    patched: bool
    """``patch_all()`` is in force."""

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

    clients: dict[str, int]
    """The live clients that we know of, counted by the class of their handler."""

    refused: str = ""
    """Why kazoo is not patched although it was asked for; empty where it is not so."""

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> list[str]:
        state = "on" if self.patched else "off"
        options = (
            f"replace_explicit={self.options.replace_explicit}, fork={self.options.fork}, "
            f"keep_sessions={self.options.keep_sessions}"
        )
        monkey = [name for name, patched in self.monkey_patched.items() if patched]
        lines = [f"kazoo_gevent_patch is {state} ({options})"]
        lines += [f"  refused     {self.refused}"] if self.refused else []
        lines += [f"  applied     {name}" for name in self.applied]
        lines += [f"  armed       {name} (until kazoo is imported)" for name in self.armed]
        left_alone = {name: why for name, why in self.left_alone.items() if why != self.refused}
        lines += [f"  left alone  {name}: {why}" for name, why in left_alone.items()]
        lines.append("  versions    " + ", ".join(f"{k} {v}" for k, v in self.versions.items()))
        lines.append("  monkey      " + (", ".join(monkey) or "nothing is patched by gevent"))
        sessions = keeping(self.keep_sessions)
        lines.append(f"  sessions    {sessions} while the event loop stands still")
        lines += [f"  clients     {count} on {name}" for name, count in self.clients.items()]
        return lines


def take_status(registry: Registry) -> Status:
    """Return the status of a registry and of the process."""
    # Not at the top: it comes anew when the program imports kazoo anew.
    from kazoo_gevent_patch import inventory

    applied = registry.in_effect() if registry.wanted else {}
    left_alone, armed = _others(registry, applied)
    unpatched = monkey.unpatched()
    return Status(
        patched=registry.wanted,
        options=in_force() or Options(),
        applied=tuple(patch.name for patch in applied),
        armed=tuple(patch.name for patch in armed),
        left_alone={patch.name: why for patch, why in left_alone.items()},
        versions=versions(),
        monkey_patched={name: name not in unpatched for name in monkey.MODULES},
        keep_sessions=keep_choice(),
        clients=dict(Counter(_handler_name(client) for client in inventory.live)),
        refused=_refusal(registry),
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


def _handler_name(client: object) -> str:
    try:
        kind = type(getattr(client, "handler", None))
    except Exception as error:  # a property of the program's own, say
        return f"an unknown handler ({error!r})"
    return f"{kind.__module__}.{kind.__qualname__}"

"""The variables of the environment that choose something."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from functools import cache
from math import inf
from reprlib import Repr
from typing import Final

log = logging.getLogger("kazoo_gevent_patch")

_short = Repr()
_short.maxstring = _short.maxother = 200  # enough for a path


def quoted(value: object) -> str:
    """Return how a message quotes a value from outside: its middle is cut out if it is long."""
    return _short.repr(value)


@dataclass(frozen=True)
class Variable:
    """A variable, what it is for, and the values that it may have."""

    variable: str
    what: str
    """What it is about, for people."""

    allowed: str
    """What may be set, for people."""

    def understands(self, value: str) -> bool:
        """Return whether the value means something."""
        return value in ("", "0", "1")

    def text(self) -> str:
        """Return what the environment says; warn, once, of a value that is not understood.

        Without a value, and with one that is not understood, that is nothing.
        """
        value = os.environ.get(self.variable, "")
        # Mostly there is no value, and to ask costs a fiftieth of a client's start and stop.
        if not value or self.understands(value):
            return value
        _warn_once(self, value)
        return ""


@dataclass(frozen=True)
class Switch(Variable):
    """A variable that is 1 or 0."""

    default: bool = False
    """What it is without a value that is understood."""

    def forbids(self) -> bool:
        """Return whether the environment says 0, which may win over what a program says."""
        return os.environ.get(self.variable) == "0"

    def is_on(self) -> bool:
        """Return what the environment says, or the default."""
        text = self.text()
        return text == "1" if text else self.default

    def says(self) -> str:
        """Return, for people, what it comes to."""
        return f"{self.what} is {'on' if self.is_on() else 'off'}"


@dataclass(frozen=True)
class Duration(Variable):
    """A variable that is 1, 0, or a number of seconds."""

    def understands(self, value: str) -> bool:
        """Return whether the value means something."""
        return super().understands(value) or _seconds(value) is not None

    def value(self) -> bool | float | None:
        """Return what the environment says; None if that is nothing."""
        text = self.text()
        if not text:
            return None
        return text == "1" if text in ("0", "1") else _seconds(text)

    def says(self) -> str:
        """Return, for people, what it comes to."""
        value = self.value()
        if value is None:
            return f"{self.what}: as patch_all() is told"
        return f"{self.what}: " + keeping(value)


def keeping(choice: bool | float) -> str:
    """Return, for people, for how long sessions are kept while the event loop stands still."""
    if isinstance(choice, bool):
        return "kept as long as the process lives" if choice else "not kept"
    return f"kept for {choice:g} s at most"


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0 < seconds < inf else None


@cache
def _warn_once(variable: Variable, value: str) -> None:
    log.warning(
        "%s=%s is not understood and ignored; for %s set %s",
        variable.variable,
        quoted(value),
        variable.what,
        variable.allowed,
    )


_ON_OR_OFF: Final = "1, or 0"

PATCH: Final = Switch("KAZOO_GEVENT_PATCH", "the patch", _ON_OR_OFF)
STALLS: Final = Switch(
    "KAZOO_GEVENT_PATCH_STALLS", "the warning of stalls", _ON_OR_OFF, default=True
)
INSPECT: Final = Switch(
    "KAZOO_GEVENT_PATCH_INSPECT", "the command inspect", _ON_OR_OFF, default=True
)
KEEP_SESSIONS: Final = Duration(
    "KAZOO_GEVENT_PATCH_KEEP_SESSIONS",
    "sessions while the event loop stands still",
    "1 (always), 0 (not at all) or a number of seconds, such as 30 or 1.0",
)
VARIABLES: Final = {
    variable.variable: variable for variable in (PATCH, STALLS, KEEP_SESSIONS, INSPECT)
}

"""The variables of the environment that switch something on or off."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from functools import cache
from typing import Final

log = logging.getLogger("kazoo_gevent_patch")


@dataclass(frozen=True)
class Switch:
    """A variable that is 1 or 0."""

    variable: str
    what: str
    """What it switches, for people."""

    default: bool
    """What it is without the variable, and with a value that is neither."""

    def understands(self, value: str) -> bool:
        """Return whether the value means something."""
        return value in ("", "0", "1")

    def forbids(self) -> bool:
        """Return whether the environment says 0, which may win over what a program says."""
        return os.environ.get(self.variable) == "0"

    def is_on(self) -> bool:
        """Return what the environment says; warn, once, of a value that is not understood."""
        value = os.environ.get(self.variable, "")
        if not self.understands(value):
            _warn_once(self, value)
        return {"0": False, "1": True}.get(value, self.default)


@cache
def _warn_once(switch: Switch, value: str) -> None:
    log.warning(
        "%s=%r is not understood: 1 switches %s on, 0 off; nothing leaves it %s",
        switch.variable,
        value,
        switch.what,
        "on" if switch.default else "off",
    )


PATCH: Final = Switch("KAZOO_GEVENT_PATCH", "the patch", default=False)
STALLS: Final = Switch("KAZOO_GEVENT_PATCH_STALLS", "the warning of stalls", default=True)
SWITCHES: Final = {switch.variable: switch for switch in (PATCH, STALLS)}

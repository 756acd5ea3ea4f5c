"""The options of ``patch_all()``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import inf
from typing import Final, Literal, TypeAlias, get_args

from kazoo_gevent_patch.settings.environment import KEEP_SESSIONS, quoted

ForkChoice = Literal["reconnect", "stop", "ignore"]
FORK_CHOICES: Final[tuple[ForkChoice, ...]] = get_args(ForkChoice)

KeepChoice: TypeAlias = "bool | float"
"""Whether sessions are kept while the event loop stands still: always, never, or for at most so
many seconds."""


@dataclass(frozen=True)
class Options:
    """The options of ``patch_all()``, checked: a wrong value raises ``ValueError``."""

    replace_explicit: bool = False
    fork: ForkChoice = "reconnect"
    keep_sessions: KeepChoice = True

    def __post_init__(self) -> None:
        if not isinstance(self.replace_explicit, bool):
            raise ValueError(
                f"replace_explicit={quoted(self.replace_explicit)}: allowed are True and False"
            )
        if self.fork not in FORK_CHOICES:
            allowed = ", ".join(map(repr, FORK_CHOICES))
            raise ValueError(f"fork={quoted(self.fork)}: allowed are {allowed}")
        keep: object = self.keep_sessions
        if not isinstance(keep, bool) and not (isinstance(keep, (int, float)) and 0 < keep < inf):
            raise ValueError(
                f"keep_sessions={quoted(keep)}: allowed are True, False and seconds above zero"
            )

    def changes_from(self, other: Options) -> str:
        """Return, for a message, which options differ from those of ``other``, and how."""
        # By how they are written: True is equal to the number 1, and here it is not the same.
        old = {name: repr(value) for name, value in asdict(other).items()}
        new = {name: repr(value) for name, value in asdict(self).items()}
        return ", ".join(
            f"{name} from {old[name]} to {new[name]}" for name in new if old[name] != new[name]
        )


_in_force: list[Options] = []
_last = [Options()]


def in_force() -> Options | None:
    """Return the options that ``patch_all()`` put in force; None while kazoo is not patched."""
    return _in_force[0] if _in_force else None


def put_in_force(options: Options | None) -> Options | None:
    """Put options in force, or none, and return those that were."""
    previous = in_force()
    _in_force[:] = [] if options is None else [options]
    _last.extend(_in_force)
    del _last[:-1]
    return previous


def fork_choice() -> ForkChoice:
    """Return the last choice for forks: clients keep it when kazoo is unpatched."""
    return _last[0].fork


def keep_choice() -> KeepChoice:
    """Return what is chosen for sessions while the event loop stands still.

    What the environment says comes first: operators may not own the code.
    """
    chosen = KEEP_SESSIONS.value()
    return _last[0].keep_sessions if chosen is None else chosen

"""The options of ``patch_all()``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final, Literal, get_args

ForkChoice = Literal["reconnect", "stop", "ignore"]
FORK_CHOICES: Final[tuple[ForkChoice, ...]] = get_args(ForkChoice)


@dataclass(frozen=True)
class Options:
    """The options of ``patch_all()``, checked: a wrong value raises ``ValueError``."""

    replace_explicit: bool = False
    fork: ForkChoice = "reconnect"

    def __post_init__(self) -> None:
        if not isinstance(self.replace_explicit, bool):
            raise ValueError(
                f"replace_explicit={self.replace_explicit!r}: allowed are True and False"
            )
        if self.fork not in FORK_CHOICES:
            allowed = ", ".join(map(repr, FORK_CHOICES))
            raise ValueError(f"fork={self.fork!r}: allowed are {allowed}")

    def changes_from(self, other: Options) -> str:
        """Return, for a message, which options differ from those of ``other``, and how."""
        old, new = asdict(other), asdict(self)
        return ", ".join(
            f"{name} from {old[name]!r} to {new[name]!r}" for name in new if old[name] != new[name]
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

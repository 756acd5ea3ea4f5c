"""What the doctor says: findings, each with its level."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum


class Level(IntEnum):
    """How bad a finding is; the value is the exit code that it makes."""

    ok = 0
    warning = 1
    problem = 2


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report."""

    level: Level
    check: str
    text: str
    advice: str = ""
    """What to do about it; empty where it is ok."""

    values: dict[str, object] = field(default_factory=dict)
    """The numbers and names in the text, for programs; seconds, where they are times.

    Never empty, nor is a password in it.
    """


def ms(seconds: float) -> str:
    """Return a time as reports show it."""
    return f"{seconds * 1000:.1f} ms"

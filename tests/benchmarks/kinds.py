"""What a workload is: what it measures, how much of it, with which contenders, and how often."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

KAZOO: Final = ("threads", "stock gevent", "ours")
FLOOR: Final = "floor"
"""kazoo's own code on primitives that cost next to nothing: no handler can cost much less."""


class Metric(NamedTuple):
    """A number that a measurement yields."""

    name: str
    unit: str
    decimals: int = 0

    def text(self, value: float) -> str:
        """Return a value as it is shown, without the unit."""
        return f"{value:,.{self.decimals}f}"


class Effort(NamedTuple):
    """How much of a workload one measurement does."""

    amount: int
    seconds: float = 0.0
    rounds: int = 1000
    """At most so many rounds measure it."""


@dataclass(frozen=True)
class Workload:
    """Something that contenders do."""

    name: str
    title: str
    contenders: tuple[str, ...]
    metrics: tuple[Metric, ...]
    full: Effort
    quick: Effort | None
    """None leaves it out of a quick run."""
    fresh: bool = False
    """It needs workers that have done nothing yet."""
    server: str = "any"
    """``own``: only one that was started with our options will do; ``tls``: the one with TLS;
    ``none``: no worker is asked, either."""
    breaks: tuple[str, ...] = ()
    """The contenders that are known to hang here, or to fail."""
    paced: bool = False
    """It takes as long as it is told to, with any handler."""
    grows: str = ""
    """What there is more of at each size; empty, if there is one size only."""

"""The targets of this package, by itself or against another contender."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from tests.benchmarks.growing.rows import GROWING

BETTER: Final = "the better of kazoo's two"
"""Stands for whichever of kazoo's own handlers has the lower figure."""


class Target(NamedTuple):
    """A bound on a number of ours, or on its ratio to another contender's."""

    workload: str
    metric: str
    sense: str
    bound: float
    versus: str | None = None

    def holds(self, value: float) -> bool:
        """Return whether a value is within the bound."""
        return value >= self.bound if self.sense == "≥" else value <= self.bound


def _of_growing() -> Iterator[Target]:
    """Ask of each workload that grows: as fast as the better, for much less of the CPU."""
    for workload in GROWING:
        measured = {metric.name for metric in workload.metrics}
        if "wall" in measured:
            if not workload.paced:
                yield Target(workload.name, "wall", "≤", 1.0, BETTER)
            yield Target(workload.name, "cpu", "≤", 0.6, "threads")
        if "late" in measured:
            yield Target(workload.name, "late", "≤", 5.0)
            yield Target(workload.name, "own", "≤", 5.0)


TARGETS: Final = (
    Target("get", "rate", "≥", 1.5, "stock gevent"),
    Target("get", "rate", "≥", 1.5, "threads"),
    Target("get", "rate", "≥", 0.70, "bare socket"),
    Target("set", "rate", "≥", 1.4, "stock gevent"),
    Target("set", "rate", "≥", 1.4, "threads"),
    Target("getters", "rate", "≥", 5.5, "stock gevent"),
    Target("getters", "rate", "≥", 7.5, "threads"),
    Target("flight", "rate", "≥", 6.0, "stock gevent"),
    Target("flight", "rate", "≥", 4.5, "threads"),
    Target("flight", "rate", "≥", 0.95, "bare socket"),
    Target("create", "done", "≥", 1.0),
    Target("create", "rate", "≥", 3.0, "threads"),
    Target("get", "cpu", "≤", 0.5, "stock gevent"),
    Target("set", "cpu", "≤", 0.5, "stock gevent"),
    Target("getters", "cpu", "≤", 0.2, "stock gevent"),
    Target("flight", "cpu", "≤", 0.2, "stock gevent"),
    Target("growth", "growth", "≤", 1.15),
    Target("read large", "rate", "≥", 0.8, "bare socket"),
    Target("write large", "rate", "≥", 0.8, "bare socket"),
    Target("draining", "p99", "≤", 5.0),
    Target("draining", "own p99", "≤", 5.0),
    Target("draining", "worst", "≤", 15.0),
    Target("flooding", "p99", "≤", 5.0),
    Target("flooding", "own p99", "≤", 5.0),
    Target("flooding", "worst", "≤", 15.0),
    Target("watches", "p99", "≤", 5.0),
    Target("watches", "own p99", "≤", 5.0),
    Target("watches", "worst", "≤", 15.0),
    Target("draining tls", "p99", "≤", 5.0),
    Target("draining tls", "own p99", "≤", 5.0),
    Target("draining tls", "worst", "≤", 15.0),
    Target("fleet", "threads", "≤", 12.0),
    Target("fleet", "memory", "≤", 0.5, "threads"),
    Target("fleet", "idle", "≤", 0.5, "threads"),
    Target("hold", "kept", "≥", 1.0),
    Target("start-up", "import", "≤", 40.0),
    Target("build", "cpu", "≤", 1.25, "threads"),
    Target("sharing", "unfair", "≤", 10.0),
    Target("idle", "kept", "≥", 1.0),
    *_of_growing(),
)

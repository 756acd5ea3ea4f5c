"""The measurements, and whether they meet the targets."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import Final, NamedTuple

from tests.benchmarks.kinds import FLOOR
from tests.benchmarks.measuring import Metrics
from tests.benchmarks.targets import BETTER, TARGETS, Target
from tests.benchmarks.workloads import WORKLOADS

OURS: Final = "ours"
KAZOOS_OWN: Final = ("threads", "stock gevent")

FLOORS_HANDLER: Final = 0.27
"""The part of the floor's cost that is its handler's, at most: of the bytecode of a ``get``. A
handler that costs nothing would save that too."""


class Summary(NamedTuple):
    """The middle, and the ends, of several measurements of one thing."""

    median: float
    least: float
    most: float
    samples: tuple[float, ...]

    @classmethod
    def of(cls, samples: list[float]) -> Summary:
        """Summarise at least one measurement."""
        return cls(median(samples), min(samples), max(samples), tuple(samples))


class Verdict(NamedTuple):
    """A target and what was measured, if anything was."""

    target: Target
    value: Summary | None
    floor: Summary | None = None
    """The same of kazoo's own code on primitives that cost nothing, against another contender."""

    @property
    def holds(self) -> bool | None:
        """Whether the target holds; None when nothing tells."""
        return None if self.value is None else self.target.holds(self.value.median)

    @property
    def is_out_of_reach(self) -> bool:
        """Whether no handler can meet the target: one that costs nothing would in no round.

        Where ours is better than the floor, as noise may have it, that says nothing. Nor does the
        wall clock of a single round.
        """
        if self.floor is None or self.value is None or self.holds:
            return False
        if self.target.metric != "cpu" and len(self.floor.samples) == 1:
            return False
        more_is_better = self.target.sense == "≥"
        left = 1 - FLOORS_HANDLER
        best = self.floor.most / left if more_is_better else self.floor.least * left
        is_below_ours = (self.floor.median >= self.value.median) is more_is_better
        return is_below_ours and not self.target.holds(best)


@dataclass
class Results:
    """Measurements by workload and contender, then by round."""

    samples: dict[tuple[str, str], dict[int, Metrics]] = field(default_factory=dict)
    hung: set[tuple[str, str]] = field(default_factory=set)
    failed: dict[tuple[str, str], str] = field(default_factory=dict)
    """The failures, by workload and contender."""

    def add(self, workload: str, contender: str, round_number: int, metrics: Metrics) -> None:
        """Keep what one measurement yielded."""
        self.samples.setdefault((workload, contender), {})[round_number] = metrics

    def summary(self, workload: str, contender: str, metric: str) -> Summary | None:
        """Summarise all rounds, if there are any."""
        values = self._values(workload, contender, metric)
        return Summary.of(list(values.values())) if values else None

    def series(self, workload: str, contender: str, metric: str) -> dict[int, float]:
        """Return the median of a metric at each size; empty if the workload does not grow."""
        rounds = self.samples.get((workload, contender), {})
        names = next(iter(rounds.values()), {})
        start = f"{metric} at "
        return {
            int(name.removeprefix(start)): median(self._values(workload, contender, name).values())
            for name in names
            if name.startswith(start)
        }

    def unexpected(self) -> set[tuple[str, str]]:
        """Return the cases in which a contender hung or failed and is not known to."""
        known = {(workload.name, name) for workload in WORKLOADS for name in workload.breaks}
        return (self.hung | self.failed.keys()) - known

    def verdicts(self) -> list[Verdict]:
        """Judge each target."""
        return [
            Verdict(
                target,
                self._judged(target, OURS),
                None if target.versus is None else self._judged(target, FLOOR),
            )
            for target in TARGETS
        ]

    def _judged(self, target: Target, contender: str) -> Summary | None:
        if target.metric == "done":
            return self._done(target.workload)
        mine = self.summary(target.workload, contender, target.metric)
        if mine is None or target.versus is None:
            return mine
        versus = KAZOOS_OWN if target.versus == BETTER else (target.versus,)
        ratios = [
            self._ratio(target, contender, name, mine.median / theirs.median)
            for name in versus
            if (theirs := self.summary(target.workload, name, target.metric))
        ]
        return max(ratios, key=lambda ratio: ratio.median, default=None)

    def _ratio(self, target: Target, contender: str, versus: str, of_medians: float) -> Summary:
        """Spread the ratio of the medians by the ratios within each round."""
        mine = self._values(target.workload, contender, target.metric)
        theirs = self._values(target.workload, versus, target.metric)
        ratios = tuple(mine[number] / theirs[number] for number in mine if number in theirs)
        ends = ratios or (of_medians,)
        return Summary(of_medians, min(ends), max(ends), ratios)

    def _done(self, workload: str) -> Summary | None:
        key = (workload, OURS)
        if key in self.hung or key in self.failed:
            return Summary.of([0.0])
        return Summary.of([1.0] * len(self.samples[key])) if key in self.samples else None

    def _values(self, workload: str, contender: str, metric: str) -> dict[int, float]:
        rounds = self.samples.get((workload, contender), {})
        return {number: metrics[metric] for number, metrics in rounds.items()}

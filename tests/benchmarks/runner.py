"""Makes the measurements."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Final

from tests.benchmarks import servers, startup
from tests.benchmarks.jobs import Job
from tests.benchmarks.measuring import Metrics
from tests.benchmarks.progress import Progress
from tests.benchmarks.results import Results
from tests.benchmarks.schedule import Limits, Step
from tests.benchmarks.workers import Crew, FailureError, HangError

_LEAST_TIME: Final = 1.0


class TimeIsUpError(RuntimeError):
    """The run has taken as long as it may."""


class Runner:
    """Makes measurements one after the other, and keeps the results."""

    def __init__(
        self, known_servers: Mapping[str, servers.Server], limits: Limits, ends: float
    ) -> None:
        self._servers = known_servers
        self._limits = limits
        self._ends = ends
        self.results = Results()

    def run(self, steps: Sequence[Step]) -> None:
        """Make all measurements for which there is time before the end."""
        progress = Progress(len(steps))
        try:
            for number, in_round in groupby(steps, lambda step: step.round_number):
                with Crew() as crew:
                    for _, group in groupby(in_round, lambda step: step.workload):
                        progress.line(f"round {number + 1}, {self._row(group, crew, progress)}")
        except TimeIsUpError:
            progress.line("the time is up")

    def _row(self, steps: Iterable[Step], crew: Crew, progress: Progress) -> str:
        outcomes = []
        for step in steps:
            workload = step.workload
            progress.begin(f"{workload.title}: {step.contender}")
            outcomes.append(f"{step.contender} {self._outcome(step, crew)}")
        return f"{workload.title}: {', '.join(outcomes)} ({workload.metrics[0].unit})"

    def _outcome(self, step: Step, crew: Crew) -> str:
        key = (step.workload.name, step.contender)
        if key in self.results.hung:
            return "hangs"
        if key in self.results.failed:
            return "fails"
        try:
            metrics = self._measure(step, crew)
        except (HangError, FailureError) as error:
            return self._note(key, error)
        self.results.add(*key, step.round_number, metrics)
        first = step.workload.metrics[0]
        return first.text(metrics[first.name])

    def _note(self, key: tuple[str, str], error: HangError | FailureError) -> str:
        for server in self._servers.values():
            servers.check(server)
        if isinstance(error, HangError):
            self.results.hung.add(key)
            return "hangs"
        self.results.failed[key] = str(error)
        return "fails"

    def _measure(self, step: Step, crew: Crew) -> Metrics:
        workload, effort = step.workload, step.effort
        left = self._ends - time.monotonic()
        if left < _LEAST_TIME:
            raise TimeIsUpError
        if workload.server == "none":
            return startup.start_up(effort.amount)
        server = self._servers[workload.server]
        if workload.server == "own":
            servers.forget_writes(server)
        job = Job(workload.name, server.hosts, server.root, effort.amount, effort.seconds)
        limit = self._limits.answer + effort.seconds
        if step.contender in workload.breaks:
            limit = self._limits.known_hang
        try:
            return crew.do(step.contender, job, min(limit, left), workload.fresh)
        except HangError:
            if left < limit:
                raise TimeIsUpError from None
            raise

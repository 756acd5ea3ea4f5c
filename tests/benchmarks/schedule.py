"""In which order everything is measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from tests.benchmarks.kinds import Effort, Workload
from tests.benchmarks.workloads import WORKLOADS

_LEFT_OUT_OF_QUICK: Final = frozenset({"ours, no monkey"})


class Step(NamedTuple):
    """One measurement."""

    round_number: int
    workload: Workload
    effort: Effort
    contender: str


@dataclass(frozen=True)
class Limits:
    """Seconds that things may take."""

    answer: float
    """Until a contender counts as hanging."""
    known_hang: float
    """The same where it is known that it hangs."""
    run: float
    """Until no more measurements begin."""
    warm_up: float
    """How long a server is warmed up."""


FULL: Final = Limits(answer=120.0, known_hang=20.0, run=1_700.0, warm_up=8.0)
QUICK: Final = Limits(answer=20.0, known_hang=3.0, run=75.0, warm_up=1.0)


def steps(*, quick: bool, rounds: int, only: Sequence[str], own_server: bool) -> list[Step]:
    """List the measurements: in each round every workload, of one contender after the other.

    The contender that begins is another one in each round. What needs a server of our own is
    left out where there is none.
    """
    return [
        Step(number, workload, effort, contender)
        for number in range(rounds)
        for workload, effort in _chosen(quick, only, own_server)
        if number < effort.rounds
        for contender in _turn(workload, number, quick)
    ]


def _chosen(
    quick: bool, only: Sequence[str], own_server: bool
) -> Iterator[tuple[Workload, Effort]]:
    for workload in WORKLOADS:
        effort = workload.quick if quick else workload.full
        wanted = workload.name in only if only else effort is not None
        if wanted and (own_server or workload.server in ("any", "none")):
            yield workload, effort or workload.full


def _turn(workload: Workload, number: int, quick: bool) -> list[str]:
    names = [name for name in workload.contenders if not (quick and name in _LEFT_OUT_OF_QUICK)]
    first = number % len(names)
    return names[first:] + names[:first]

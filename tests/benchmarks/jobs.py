"""The jobs that the parent gives to a worker. It imports nothing that would cost memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

SESSION_TIMEOUT: Final = 10.0
"""The session time-out of every client, in seconds: the default of kazoo and aiozk."""

DATA: Final = b"x" * 128
LARGE_DATA: Final = b"x" * (1 << 20)

GETTERS: Final = 100
"""Greenlets, threads or tasks that share a client."""

IN_FLIGHT: Final = 10_000
FEW_IN_FLIGHT: Final = 1_000
MANY_IN_FLIGHT: Final = 50_000
READS_WHILE_TICKING: Final = 20_000


class Job(NamedTuple):
    """One measurement: a workload and how much of it."""

    workload: str
    hosts: str
    root: str
    """The node under which all others are."""
    amount: int
    """Operations, nodes or clients, whatever the workload counts."""
    seconds: float = 0.0
    """How long to watch clients that do nothing."""

    @property
    def node(self) -> str:
        """The node of 128 bytes that most workloads read or write."""
        return f"{self.root}/node"

    @property
    def large_node(self) -> str:
        """The node of 1 MiB."""
        return f"{self.root}/large"

    @property
    def warm_up(self) -> int:
        """How many operations to do before those that are measured."""
        return max(1, self.amount // 10)


def batches(amount: int, size: int) -> Iterator[int]:
    """Split an amount into parts of at most that size."""
    for start in range(0, amount, size):
        yield min(size, amount - start)

"""What a worker measures about itself."""

from __future__ import annotations

import gc
import time
from pathlib import Path

Metrics = dict[str, float]
"""Measurements by name: ``rate`` is operations a second, ``cpu`` microseconds an operation."""


class Stopwatch:
    """Wall clock and CPU time (user and system, of all threads) of a ``with`` block."""

    def __enter__(self) -> Stopwatch:
        gc.collect()
        self._cpu = time.process_time()
        self._clock = time.perf_counter()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.seconds = time.perf_counter() - self._clock
        self.cpu_seconds = time.process_time() - self._cpu

    def metrics(self, operations: int) -> Metrics:
        """Return the speed and the CPU time of one of the operations in the block."""
        return {
            "rate": operations / self.seconds,
            "cpu": self.cpu_seconds / operations * 1e6,
        }


def resident_kib() -> float:
    """Return the resident memory of this process."""
    return _status("VmRSS")


def peak_kib() -> float:
    """Return the most resident memory that the kernel has noted of this process."""
    return _status("VmHWM")


def native_threads() -> float:
    """Return how many native threads this process has."""
    return _status("Threads")


def _status(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return float(value.split()[0])
    raise LookupError(field)


def quantile(values: list[float], fraction: float) -> float:
    """Return the smallest value that at least that fraction of all values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))]

"""What ``patch_all()`` adds to the start of a program."""

from __future__ import annotations

from statistics import median
from typing import Final

from tests.benchmarks.measuring import Metrics
from tests.benchmarks.workers import FailureError
from tests.support import run_python

_CODE: Final = """
from time import perf_counter
start = perf_counter()
import gevent, wrapt
base = perf_counter()
import kazoo_gevent_patch
kazoo_gevent_patch.patch_all()
print((base - start) * 1e3, (perf_counter() - base) * 1e3)
"""


def start_up(interpreters: int) -> Metrics:
    """Time the imports in fresh interpreters; give the medians."""
    try:
        times = [run_python(_CODE).stdout.split() for _ in range(interpreters)]
    except AssertionError as error:
        raise FailureError(str(error)) from None
    return {
        "base": median(float(base) for base, _ in times),
        "import": median(float(added) for _, added in times),
    }

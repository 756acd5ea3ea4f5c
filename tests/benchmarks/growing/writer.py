"""A process that writes to nodes at a steady pace, and tells when it wrote to each."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import perf_counter, sleep
from typing import Final

from tests.benchmarks.bare import BareClient
from tests.benchmarks.jobs import DATA
from tests.support import wait_until

READY: Final = "ready"
GO: Final = "go"
WRITTEN: Final = "written"
"""Files: the writer is connected; it is to begin; when it wrote, by ``perf_counter``, which is
the same in all processes."""

_AT_ONCE: Final = 8


def main(hosts: str, parent: str, nodes: int, rate: float, home: Path) -> None:
    """Write to so many numbered nodes, so many a second, some at once."""
    written: list[float] = []
    with BareClient(hosts) as bare:
        (home / READY).touch()
        wait_until((home / GO).exists)
        start = perf_counter()
        for first in range(0, nodes, _AT_ONCE):
            sleep(max(0, start + first / rate - perf_counter()))
            some = [f"{parent}/{number}" for number in range(first, min(first + _AT_ONCE, nodes))]
            written += [perf_counter()] * len(some)
            bare.set_each(some, DATA)
    whole = home / f"{WRITTEN}, whole"  # nobody reads half of it
    whole.write_text(json.dumps(written))
    whole.rename(home / WRITTEN)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), Path(sys.argv[5]))

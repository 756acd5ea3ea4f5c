"""Callbacks: of results, and of watches that come at a steady pace."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from tests import children
from tests.benchmarks.growing import writer
from tests.benchmarks.growing.sizes import PATIENCE, Work, wait_for
from tests.benchmarks.growing.trees import flat
from tests.benchmarks.jobs import IN_FLIGHT, Job, batches
from tests.benchmarks.measuring import quantile
from tests.support import ROOT, wait_until


@contextmanager
def results(client: Any, job: Job, size: int) -> Iterator[Work]:
    """Link a callback to each of many results."""
    left = 0
    all_called = client.handler.event_object()

    def called(result: Any) -> None:
        nonlocal left
        left -= 1  # callbacks run one at a time
        if not left:
            all_called.set()

    def work() -> dict[str, float]:
        nonlocal left
        for amount in batches(size, IN_FLIGHT):
            all_called.clear()
            left = amount
            for _ in range(amount):
                client.get_async(job.node).rawlink(called)
            wait_for(all_called, "all callbacks have been called")
        return {"units": size}

    yield work


@contextmanager
def paced_watches(client: Any, job: Job, size: int) -> Iterator[Work]:
    """Have so many watches fire a second; the callback of each makes a request, and waits for it.

    Another process makes them fire, so that its CPU time is not counted.
    """
    events = int(size * job.seconds)
    answered: list[float] = []
    paths = flat(job, "paced", events)
    sleep = client.handler.sleep_func

    def on_event(event: Any) -> None:
        client.get(event.path)
        answered.append(perf_counter())

    for result in [client.get_async(path, watch=on_event) for path in paths]:
        result.get()

    with TemporaryDirectory() as folder:
        home = Path(folder)
        parent = paths[0].rpartition("/")[0]
        arguments = [job.hosts, parent, str(events), str(size), folder]
        process = children.spawn(
            [sys.executable, "-m", writer.__name__, *arguments], stdout=sys.stdout.buffer, cwd=ROOT
        )
        try:
            wait_until((home / writer.READY).exists, PATIENCE, sleep)

            def work() -> dict[str, float]:
                (home / writer.GO).touch()
                wait_until(lambda: len(answered) == events, PATIENCE, sleep)
                wait_until((home / writer.WRITTEN).exists, PATIENCE, sleep)
                written = json.loads((home / writer.WRITTEN).read_text())
                lags = [after - before for before, after in zip(written, answered, strict=True)]
                return {"units": events, "lag": quantile(lags, 0.99) * 1e3}

            yield work
        finally:
            children.kill(process)

"""A process that measures one contender: it does the jobs that its parent sends."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping
from importlib import import_module

# Before the contender patches anything, which must not reach this connection.
from multiprocessing.connection import Client

from tests.benchmarks.contenders import by_name
from tests.benchmarks.jobs import Job
from tests.benchmarks.measuring import Metrics

Answer = Metrics | str
"""What a worker sends back: what it measured, or the traceback of its failure."""


def _answer(work: Mapping[str, Callable[[Job], Metrics]], job: Job) -> Answer:
    try:
        return work[job.workload](job)
    except BaseException:  # gevent.Timeout is no Exception
        return traceback.format_exc()


def main(name: str, address: str) -> None:
    """Do jobs until the parent closes the connection."""
    parent = Client(address)
    contender = by_name(name)
    contender.prepare()
    work = import_module(f"{__package__}.{contender.module}").WORK
    while True:
        try:
            job: Job = parent.recv()
        except EOFError:
            return
        parent.send(_answer(work, job))


if __name__ == "__main__":
    main(*sys.argv[1:])

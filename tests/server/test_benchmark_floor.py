"""The floor of the benchmark runs kazoo's own code, and does the work of the other contenders."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from tests.benchmarks.jobs import DATA, Job
from tests.benchmarks.kazoo_clients import started
from tests.benchmarks.kinds import FLOOR
from tests.benchmarks.results import FLOORS_HANDLER
from tests.benchmarks.workers import Crew
from tests.benchmarks.workloads import WORKLOADS
from tests.support import run_python

FEW = 160
"""So that the smallest size, an eighth, has an item for each of 20 consumers of a queue."""

ROWS = [workload.name for workload in WORKLOADS if FLOOR in workload.contenders]


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    """Give workers for all of these tests."""
    with Crew() as crew:
        yield crew


@pytest.fixture(scope="module")
def root(zookeeper_hosts: str) -> Iterator[str]:
    """Give a node that has what the workloads read."""
    root = f"/floor-{uuid.uuid4().hex}"
    with started(zookeeper_hosts) as client:
        client.create(f"{root}/node", DATA, makepath=True)
        yield root
        client.delete(root, recursive=True)


@pytest.mark.parametrize("row", ROWS)
def test_the_floor_does_each_workload_that_it_is_a_floor_of(
    crew: Crew, zookeeper_hosts: str, root: str, row: str
) -> None:
    """Each checks what it has read, seen or taken, and would hang, or fail, if that were less."""
    metrics = crew.do(FLOOR, Job(row, zookeeper_hosts, root, FEW, 0.25), 60)
    assert metrics["cpu"] > 0


def test_the_handler_of_the_floor_is_a_small_part_of_it(zookeeper_hosts: str, root: str) -> None:
    """By the bytecode of a ``get``: kazoo's code, and the standard library's, is the rest."""
    told = run_python(
        f"""
        import sys
        from collections import Counter
        import greenlet
        from tests.benchmarks import floor, free_primitives
        from tests.benchmarks.contenders import by_name
        from tests.benchmarks.kazoo_clients import started

        ran = Counter()
        files = floor.__file__, free_primitives.__file__

        def on_call(frame, event, argument):
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            is_floors = frame.f_code.co_filename in files

            def on_event(frame, event, argument):
                ran[is_floors] += event == "opcode"
                return on_event

            return on_event

        by_name("{FLOOR}").prepare()
        with started("{zookeeper_hosts}") as client:
            client.get("{root}/node")
            greenlet.settrace(lambda event, greenlets: sys.settrace(on_call))
            sys.settrace(on_call)
            for _ in range(50):
                client.get("{root}/node")
            sys.settrace(None)
            greenlet.settrace(None)
        print(ran[True] / ran.total())
        """
    )
    assert float(told.stdout) == pytest.approx(FLOORS_HANDLER, abs=0.05)

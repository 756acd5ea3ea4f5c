"""The benchmark: what it says of a target that is not met, and how it times a fork."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.benchmarks.report import Circumstances, document, text
from tests.benchmarks.results import Results, Verdict
from tests.support import run_python

CIRCUMSTANCES = Circumstances("run", "today", 1, 1, {}, {})
METRICS = dict.fromkeys(("wall", "cpu", "growth", "late", "own"), 1.0)


def measured(ours: Sequence[float], floor: Sequence[float]) -> Results:
    """Return results in which listing children costs threads a microsecond of CPU a child."""
    results = Results()
    for number, cpus in enumerate(zip(ours, floor, strict=True)):
        for contender, cpu in zip(("threads", "ours", "floor"), (1.0, *cpus), strict=True):
            results.add("children", contender, number, {**METRICS, "cpu": cpu})
    return results


def verdict(results: Results, metric: str = "cpu") -> Verdict:
    """Return the verdict on listing children: at most 0.6 of threads' CPU time, or 1.0 of wall."""
    asked = ("children", metric)
    return next(v for v in results.verdicts() if (v.target.workload, v.target.metric) == asked)


def test_a_target_that_the_floor_does_not_meet_is_out_of_reach() -> None:
    """The table and the JSON say so, with the figure."""
    results = measured(ours=[0.9, 0.9], floor=[0.88, 0.86])
    assert verdict(results).is_out_of_reach
    line = next(line for line in text(results, CIRCUMSTANCES).splitlines() if "≤ 0.6" in line)
    assert line.endswith("DOES NOT HOLD; the floor: 0.87, so no handler can")
    written = document(results, CIRCUMSTANCES)
    (target,) = (
        target for target in written["targets"] if target["bound"] == 0.6 and target["floor"]
    )
    assert target["out of reach"]
    assert target["floor"]["median"] == pytest.approx(0.87)
    assert written["workloads"]["children"]["contenders"]["floor"]["cpu"][
        "median"
    ] == pytest.approx(0.87)


@pytest.mark.parametrize(
    ("ours", "floor"),
    [
        pytest.param([0.7, 0.7], [0.3, 0.3], id="the floor meets it"),
        pytest.param([0.9, 0.9, 0.9], [0.85, 0.5, 0.85], id="the floor meets it in one round"),
        pytest.param([0.9, 0.9], [0.8, 0.8], id="a handler that costs nothing would"),
        pytest.param([0.9, 0.9], [0.95, 0.95], id="ours is better than the floor"),
        pytest.param([0.5, 0.5], [0.8, 0.8], id="ours meets it"),
    ],
)
def test_nothing_else_is_out_of_reach(ours: list[float], floor: list[float]) -> None:
    """A handler could, or did, or the floor was not one."""
    results = measured(ours, floor)
    assert not verdict(results).is_out_of_reach
    assert "no handler can" not in text(results, CIRCUMSTANCES)


@pytest.mark.parametrize("rounds", [1, 2])
def test_the_wall_clock_of_one_round_proves_nothing(rounds: int) -> None:
    """Something else may have run meanwhile."""
    results = Results()
    walls = {"threads": 1.0, "stock gevent": 2.0, "ours": 1.5, "floor": 1.4}
    for number in range(rounds):
        for contender, wall in walls.items():
            results.add("children", contender, number, {**METRICS, "wall": wall})
    assert verdict(results, "wall").is_out_of_reach is (rounds > 1)


@pytest.mark.parametrize("patch", ["", "import gevent.monkey; gevent.monkey.patch_all()"])
def test_a_fork_is_timed_whose_child_ends_before_its_parent_goes_on(patch: str) -> None:
    """Its SIGCHLD comes before gevent listens to it, and gevent's ``waitpid`` never returned."""
    run_python(
        f"""
        {patch}
        import os, time
        from gevent.monkey import get_original
        from tests.benchmarks.growing.clients import fork

        def wait_for_the_end_of_the_child():
            while not any(line.endswith("Z") for line in states()):
                get_original("time", "sleep")(0.01)

        def states():
            for process in filter(str.isdecimal, os.listdir("/proc")):
                try:
                    fields = open(f"/proc/{{process}}/stat").read().rpartition(")")[2].split()
                except OSError:
                    continue
                if int(fields[1]) == os.getpid():
                    yield fields[0]

        os.register_at_fork(after_in_parent=wait_for_the_end_of_the_child)
        assert 0 < fork() < 60_000
        """,
        timeout=60,
    )

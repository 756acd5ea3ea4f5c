"""The workloads that grow, and what is asked of ours in each."""

from __future__ import annotations

from typing import Final

from tests.benchmarks.kinds import FLOOR, KAZOO, Effort, Metric, Workload

WALL: Final = "wall"


def _costs(unit: str, *others: Metric, late: bool = True) -> tuple[Metric, ...]:
    lateness = (
        Metric("late", "ms a 2 ms ticker is late, p99", 1),
        Metric("own", "ms by its own doing, p99", 1),
    )
    return (
        Metric(WALL, f"µs/{unit}", 1),
        Metric("cpu", f"µs CPU/{unit}", 1),
        Metric("growth", "times the smallest's CPU", 2),
        *(lateness if late else ()),
        *others,
    )


GROWING: Final = (
    Workload(
        name="tree cache",
        title="a TreeCache is filled",
        contenders=KAZOO,
        metrics=_costs("node"),
        full=Effort(8_000, rounds=2),
        quick=Effort(400, rounds=1),
        grows="nodes",
    ),
    Workload(
        name="watches set again",
        title="watches: the connection is cut, all are set again, all fire",
        contenders=KAZOO,
        metrics=_costs("watch"),
        full=Effort(8_000, rounds=2),
        quick=Effort(400, rounds=1),
        grows="watches",
    ),
    Workload(
        name="data watches",
        title="each of many DataWatch sees a change",
        contenders=(*KAZOO, FLOOR),
        metrics=_costs("watch"),
        full=Effort(4_000, rounds=2),
        quick=Effort(200, rounds=1),
        grows="watches",
    ),
    Workload(
        name="connecting",
        title="many clients connect, then stop",
        contenders=KAZOO,
        metrics=_costs("client"),
        full=Effort(1_000, rounds=1),
        quick=Effort(40, rounds=1),
        grows="clients",
    ),
    Workload(
        name="lock",
        title="greenlets of one client take a lock in turn",
        contenders=(*KAZOO, FLOOR),
        metrics=_costs("turn"),
        full=Effort(1_000, rounds=2),
        quick=Effort(80, rounds=1),
        breaks=("stock gevent",),
        grows="greenlets",
    ),
    Workload(
        name="children",
        title="many children are listed",
        contenders=(*KAZOO, FLOOR),
        metrics=_costs("child"),
        full=Effort(100_000, rounds=3),
        quick=Effort(8_000, rounds=1),
        server="own",
        grows="children",
    ),
    Workload(
        name="sharing",
        title="greenlets share a client",
        contenders=KAZOO,
        metrics=_costs(
            "get",
            Metric("p50", "ms, p50", 1),
            Metric("p99", "ms, p99", 1),
            Metric("p99.9", "ms, p99.9", 1),
            Metric("unfair", "times the median, worst", 1),
        ),
        full=Effort(10_000, seconds=5.0, rounds=1),
        quick=None,
        breaks=("stock gevent",),
        grows="greenlets",
    ),
    Workload(
        name="storm",
        title="the server of many clients crashes and starts again",
        contenders=KAZOO,
        metrics=_costs(
            "client",
            Metric("back", "s until three of four are back", 2),
            Metric("peak", "KiB/client at the peak", 1),
            late=False,
        ),
        full=Effort(500, rounds=3),
        quick=None,
        fresh=True,
        server="own",
        grows="clients",
    ),
    Workload(
        name="partitioner",
        title="a SetPartitioner",
        contenders=KAZOO,
        metrics=_costs("member"),
        full=Effort(50, rounds=1),
        quick=None,
        paced=True,  # it waits for half a second once or twice, as chance has it
        grows="members",
    ),
    Workload(
        name="locking queue",
        title="20 consumers take from a LockingQueue",
        contenders=(*KAZOO, FLOOR),
        metrics=_costs("taken item"),
        full=Effort(10_000, rounds=2),
        quick=Effort(160, rounds=1),
        server="own",
        grows="items",
    ),
    Workload(
        name="callbacks",
        title="results, each with a callback",
        contenders=(*KAZOO, FLOOR),
        metrics=_costs("result"),
        full=Effort(100_000, rounds=1),
        quick=Effort(4_000, rounds=1),
        grows="results",
    ),
    Workload(
        name="paced watches",
        title="watch callbacks at a steady pace, each makes a request",
        contenders=(*KAZOO, FLOOR),
        metrics=_costs("event", Metric("lag", "ms from write to answer, p99", 1)),
        full=Effort(1_000, seconds=3.0, rounds=2),
        quick=Effort(400, seconds=0.25, rounds=1),
        paced=True,
        grows="events a second",
    ),
    Workload(
        name="life cycles",
        title="clients one after the other: build, start, stop",
        contenders=(*KAZOO, FLOOR),
        metrics=_costs("client"),
        full=Effort(200, rounds=3),
        quick=Effort(16, rounds=1),
        grows="clients",
    ),
    Workload(
        name="idle",
        title="clients that do nothing",
        contenders=("stock gevent", "ours"),
        metrics=(
            Metric("cpu", "µs CPU/client and second", 1),
            Metric("growth", "times the smallest's CPU", 2),
            Metric("memory", "KiB/client", 1),
            Metric("watchers", "active watchers/client", 2),
            Metric("stall", "µs CPU/client, a stall of 5 s", 1),
            Metric("fork", "ms a fork", 1),
        ),
        full=Effort(2_000, seconds=4.0, rounds=1),
        quick=None,
        fresh=True,
        grows="clients",
    ),
)

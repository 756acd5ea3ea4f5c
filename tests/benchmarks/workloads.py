"""The workloads: those of one size, and those that grow."""

from __future__ import annotations

from typing import Final

from tests.benchmarks.growing.rows import GROWING
from tests.benchmarks.jobs import SESSION_TIMEOUT
from tests.benchmarks.kinds import FLOOR, KAZOO, Effort, Metric, Workload

_LIBRARIES: Final = (*KAZOO, FLOOR, "ours, no monkey", "aiozk")
_ALL: Final = (*_LIBRARIES, "bare socket")
_LARGE: Final = tuple(name for name in _ALL if name != FLOOR)
"""Without the floor, which is made for small messages."""

CPU: Final = Metric("cpu", "µs CPU/op", 1)
SPEED: Final = (Metric("rate", "op/s"), CPU)
TRANSFER: Final = (Metric("rate", "MiB/s"), Metric("cpu", "µs CPU/MiB"))
LATENESS: Final = (
    Metric("p99", "ms late, p99", 1),
    Metric("worst", "ms late, worst", 1),
    Metric("own p99", "ms by its own doing, p99", 1),
    Metric("own", "ms by its own doing, worst", 1),
    Metric("collecting", "ms of garbage collection, longest", 1),
    Metric("rate", "op/s"),
)

WORKLOADS: Final = (
    Workload(
        name="get",
        title="get after get",
        contenders=_ALL,
        metrics=SPEED,
        full=Effort(4_000),
        quick=Effort(1_000),
    ),
    Workload(
        name="set",
        title="set after set",
        contenders=_ALL,
        metrics=SPEED,
        full=Effort(3_000),
        quick=Effort(1_000),
    ),
    Workload(
        name="getters",
        title="100 greenlets get",
        contenders=_LIBRARIES,
        metrics=SPEED,
        full=Effort(20_000),
        quick=Effort(4_000),
    ),
    Workload(
        name="flight",
        title="10,000 gets in flight",
        contenders=_ALL,
        metrics=SPEED,
        full=Effort(30_000),
        quick=Effort(10_000, rounds=1),
    ),
    Workload(
        name="create",
        title="2,000 creates with parents in flight",
        contenders=_LIBRARIES,
        metrics=SPEED,
        full=Effort(2_000),
        quick=Effort(2_000, rounds=1),
        breaks=("stock gevent",),
    ),
    Workload(
        name="read large",
        title="get of 1 MiB",
        contenders=_LARGE,
        metrics=TRANSFER,
        full=Effort(200),
        quick=Effort(50),
        server="own",
    ),
    Workload(
        name="write large",
        title="set of 1 MiB",
        contenders=_LARGE,
        metrics=TRANSFER,
        full=Effort(40),
        quick=Effort(10, rounds=1),
        server="own",
    ),
    Workload(
        name="build",
        title="build a client",
        contenders=KAZOO,
        metrics=(Metric("cpu", "µs CPU/client"),),
        full=Effort(1_000),
        quick=Effort(300),
    ),
    Workload(
        name="start-up",
        title="import and patch_all(), above gevent and wrapt",
        contenders=("ours",),
        metrics=(
            Metric("base", "ms for gevent and wrapt", 1),
            Metric("import", "ms above it", 1),
        ),
        full=Effort(3),
        quick=Effort(3, rounds=1),
        server="none",
    ),
    Workload(
        name="draining",
        title="2 ms ticker, 20,000 gets in flight",
        contenders=("ours",),
        metrics=LATENESS,
        full=Effort(80_000),
        quick=Effort(20_000, rounds=1),
    ),
    Workload(
        name="flooding",
        title="2 ms ticker, a loop issues 20,000 gets",
        contenders=KAZOO,
        metrics=(*LATENESS, Metric("issuing", "ms the loop takes")),
        full=Effort(40_000, rounds=5),
        quick=Effort(20_000, rounds=1),
    ),
    Workload(
        name="watches",
        title="2 ms ticker, 500 watches fire among the gets",
        contenders=("ours",),
        metrics=LATENESS,
        full=Effort(20_000),
        quick=Effort(20_000, rounds=1),
    ),
    Workload(
        name="draining tls",
        title="2 ms ticker, 20,000 gets in flight over TLS",
        contenders=("ours",),
        metrics=LATENESS,
        full=Effort(20_000),
        quick=None,
        server="tls",
    ),
    Workload(
        name="growth",
        title="50,000 gets in flight against 1,000",
        contenders=("ours", "bare socket"),
        metrics=(
            Metric("cpu few", "µs CPU/op at 1,000", 1),
            Metric("cpu", "µs CPU/op at 50,000", 1),
            Metric("growth", "times", 2),
        ),
        full=Effort(100_000, rounds=4),
        quick=Effort(50_000, rounds=1),
    ),
    Workload(
        name="fleet",
        title="500 connected clients",
        contenders=KAZOO,
        metrics=(
            Metric("threads", "native threads"),
            Metric("memory", "KiB/client", 1),
            Metric("idle", "% CPU, idle", 2),
        ),
        full=Effort(500, seconds=12.0, rounds=3),
        quick=Effort(500, seconds=2.0, rounds=1),
        fresh=True,
    ),
    Workload(
        name="hold",
        title="2,000 clients for three session time-outs",
        contenders=("ours",),
        metrics=(Metric("kept", "of them kept", 3), Metric("connecting", "s to connect", 1)),
        full=Effort(2_000, seconds=3 * SESSION_TIMEOUT, rounds=1),
        quick=None,
        fresh=True,
    ),
    *GROWING,
)

"""The command line: ``tests/benchmarks/run.sh``."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Final, NoReturn

from kazoo.handlers.threading import KazooTimeoutError

from tests.benchmarks import machine, picture, report, schedule, servers
from tests.benchmarks.growing import curves
from tests.benchmarks.report import Circumstances
from tests.benchmarks.results import Results
from tests.benchmarks.runner import Runner
from tests.benchmarks.workloads import WORKLOADS
from tests.support import ROOT
from tests.zookeeper import StartError

_ROUNDS: Final = {False: 7, True: 2}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tests/benchmarks/run.sh",
        description="Measures clients of ZooKeeper against each other. A full run takes "
        "half an hour at most and writes docs/benchmarks.json and .png; others write to build/.",
    )
    names = [workload.name for workload in WORKLOADS]
    parser.add_argument("--quick", action="store_true", help="at most 90 s, less to be trusted")
    parser.add_argument("--rounds", type=int, metavar="N", help="7, or 2 with --quick")
    parser.add_argument(
        "--only",
        action="append",
        choices=names,
        default=[],
        metavar="WORKLOAD",
        help=f"may be given several times; one of: {', '.join(names)}",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="write the picture there")
    return parser.parse_args()


def _end(number: int, frame: object) -> NoReturn:
    # The clean-up is short; another signal must not cut it shorter.
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, signal.SIG_IGN)
    os.write(sys.stderr.fileno(), b"\ninterrupted\n")
    sys.exit(128 + number)


def _measure(arguments: argparse.Namespace, began: float) -> tuple[Results, Circumstances]:
    limits = schedule.QUICK if arguments.quick else schedule.FULL
    rounds = arguments.rounds or _ROUNDS[arguments.quick]
    with ExitStack() as running:
        _say("preparing ZooKeeper")
        plain = running.enter_context(servers.plain(limits.warm_up))
        steps = schedule.steps(
            quick=arguments.quick, rounds=rounds, only=arguments.only, own_server=plain.is_own
        )
        known = {"any": plain, "own": plain}
        if any(step.workload.server == "tls" for step in steps):
            known["tls"] = running.enter_context(servers.tls(limits.warm_up))
        versions = machine.versions(plain.version)
        runner = Runner(known, limits, began + limits.run)
        described = machine.describe()
        runner.run(steps)
    return runner.results, Circumstances(
        command=shlex.join(["tests/benchmarks/run.sh", *sys.argv[1:]]),
        date=datetime.now().astimezone().isoformat(" ", "minutes"),
        rounds=rounds,
        seconds=round(time.monotonic() - began),
        machine=described,
        versions=versions,
    )


def _write(arguments: argparse.Namespace, results: Results, circumstances: Circumstances) -> None:
    is_full = not (arguments.quick or arguments.only)
    stem = ROOT / ("docs" if is_full else "build") / "benchmarks"
    files = {
        "json": arguments.json or stem.with_suffix(".json"),
        "picture": arguments.picture or stem.with_suffix(".png"),
    }
    for file in files.values():
        file.parent.mkdir(parents=True, exist_ok=True)
    written = json.dumps(report.document(results, circumstances), indent=1, ensure_ascii=False)
    files["json"].write_text(written + "\n")
    picture.draw(results, circumstances, files["picture"])
    growth = files["picture"].with_name(f"{files['picture'].stem}-growth.png")
    written_too = curves.draw(results, circumstances, growth)
    _say(f"wrote {', '.join(map(str, [*files.values(), *written_too]))}")


def _say(text: str) -> None:
    print(f"==> {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Measure, print and write; return 1 if a contender hung or failed that is not known to."""
    began = time.monotonic()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Set even where it was ignored, as in a job that a script runs in the background.
        signal.signal(number, _end)
    arguments = _arguments()
    try:
        results, circumstances = _measure(arguments, began)
    except (KazooTimeoutError, StartError, servers.LostError) as error:
        print(f"\nerror: no ZooKeeper: {error}", file=sys.stderr)
        return 1
    print(report.text(results, circumstances))
    _write(arguments, results, circumstances)
    return 1 if results.unexpected() else 0


if __name__ == "__main__":
    sys.exit(main())

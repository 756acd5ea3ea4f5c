"""The command line: ``tests/soak/run.sh``."""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Final

from tests.soak import engine, picture, report
from tests.soak.application import HANDLERS
from tests.soak.checks import DOCUMENTED, violations
from tests.support import ROOT
from tests.zookeeper import StartError

_BUILD: Final = ROOT / "build"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tests/soak/run.sh",
        description="100 greenlets on 10 clients work on a ZooKeeper of three servers, while "
        "these, the connections and the process itself are broken. Prints what it took over time "
        "and what does not hold; ends with 1 if anything does not.",
    )
    parser.add_argument("--minutes", type=float, default=3.0, metavar="N", help="3 unless given")
    parser.add_argument("--seed", type=int, help="of the faults and the workload; printed")
    parser.add_argument("--handler", choices=HANDLERS, default="ours", help="default: kazoo's")
    parser.add_argument(
        "--picture", type=Path, default=_BUILD / "soak.png", metavar="FILE", help="write it there"
    )
    parser.add_argument(
        "--log",
        type=Path,
        default=_BUILD / "soak.log",
        metavar="FILE",
        help="write the application's log there",
    )
    arguments = parser.parse_args()
    if arguments.minutes <= 0:
        parser.error("--minutes must be more than 0")
    if arguments.seed is None:
        arguments.seed = random.randrange(1 << 32)
    return arguments


class _Progress:
    """Tells on stderr how far a run is, in whole lines."""

    def __init__(self, minutes: float) -> None:
        self._minutes = minutes
        self._start = time.monotonic()

    def __call__(self, text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self._start), 60)
        print(f"[{minutes}:{seconds:02} of {self._minutes:g} min] {text}", file=sys.stderr)


def _caption(arguments: argparse.Namespace) -> str:
    return (
        f"tests/soak/run.sh --minutes {arguments.minutes:g} --seed {arguments.seed} "
        f"--handler {arguments.handler}, {datetime.now().astimezone():%Y-%m-%d %H:%M %z}"
    )


def main() -> int:
    """Run, print and draw; return 1 when something does not hold."""
    # Set even where it was ignored, as in a job that a script runs in the background.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    arguments = _arguments()
    for file in (arguments.picture, arguments.log):
        file.parent.mkdir(parents=True, exist_ok=True)
    say = _Progress(arguments.minutes)
    say(f"seed {arguments.seed}, handler {arguments.handler}; log: {arguments.log}")
    plan = engine.Plan(
        arguments.handler, arguments.seed, seconds=arguments.minutes * 60, log=arguments.log
    )
    try:
        evidence = engine.run(plan, DOCUMENTED, say)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except StartError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    broken = violations(evidence)
    print(report.text(evidence, broken))
    picture.draw(evidence.history, _caption(arguments), arguments.picture)
    say(f"wrote {arguments.picture}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

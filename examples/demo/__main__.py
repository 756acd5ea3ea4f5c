"""Runs one unedited kazoo program without and with the one line, and compares."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

from examples.demo.runs import Outcome, run
from examples.demo.servers import UnusableError, namespace, zookeeper
from examples.demo.table import table
from examples.demo.terminal import green, red
from examples.demo.ways import WAYS, Way
from examples.demo.workers import compute
from tests.zookeeper import StartError


def main() -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        # Set even where it was ignored, as in a job that a script runs in the background.
        signal.signal(number, _end)
    logging.getLogger("kazoo").addHandler(logging.NullHandler())  # one error says all
    try:
        return _compare()
    except (UnusableError, StartError) as error:
        print(f"\nerror: {error}", file=sys.stderr)
        return 1


def _end(number: int, frame: object) -> NoReturn:
    # The clean-up is short; another signal must not cut it shorter.
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, signal.SIG_IGN)
    os.write(sys.stderr.fileno(), b"\ninterrupted\n")  # print() may be what was interrupted
    sys.exit(128 + number)


def _compare() -> int:
    began = time.monotonic()
    _say("ZooKeeper:")
    with zookeeper() as hosts:
        print("", hosts)
        outcomes = [_run(way, hosts) for way in WAYS]
        _compare_speeds(outcomes)
        _compute(outcomes, hosts)
    print("", table(outcomes), "", sep="\n")
    broken = [outcome for outcome in outcomes if outcome.way.must_hold and outcome.failures()]
    for outcome in broken:
        _explain(outcome)
    seconds = time.monotonic() - began
    print(red("not every check held") if broken else green("every check held"), f"{seconds:.0f} s")
    return 1 if broken else 0


def _run(way: Way, hosts: str) -> Outcome:
    _say(f"app.py, {way.title}: ")
    with namespace(hosts) as own:
        outcome = run(way, own, progress=lambda: print(".", end="", flush=True))
    print(" ended well" if outcome.seen["ended"] == "well" else f" {outcome.seen['ended']}")
    return outcome


def _compare_speeds(outcomes: list[Outcome]) -> None:
    """Set the time that the first way takes for both loads in relation to that of each way."""
    seconds = [_seconds_of_both(outcome.seen) for outcome in outcomes]
    for outcome, taken in zip(outcomes, seconds, strict=True):
        if seconds[0] and taken:
            outcome.seen["speed"] = seconds[0] / taken


def _seconds_of_both(seen: dict[str, Any]) -> float | None:
    """Return how long one operation of each kind takes; None if one was not measured."""
    loads = ("get_async", "getters")
    return sum(1 / seen[load] for load in loads) if seen.keys() >= {*loads} else None


def _compute(outcomes: list[Outcome], hosts: str) -> None:
    """Have gunicorn's workers compute, in each way at the same time."""
    _say("service.py in 3 gunicorn workers, each way: ")
    with ThreadPoolExecutor(len(outcomes)) as pool, namespace(hosts) as own:
        ways = [outcome.way for outcome in outcomes]
        seen = pool.map(lambda way: compute(way.gunicorn, own), ways)
        for outcome, session in zip(outcomes, seen, strict=True):
            outcome.seen["session"] = session
            print(".", end="", flush=True)
    print()


def _say(text: str) -> None:
    print("==>", text, end="", flush=True)


def _explain(outcome: Outcome) -> None:
    print(red(f"app.py, {outcome.way.title}:"))
    for name in outcome.failures():
        expected = outcome.way.expected[name]
        print(f"  {name}: expected {expected!r}, saw {outcome.seen.get(name)!r}")
    print(outcome.errors)


if __name__ == "__main__":
    sys.exit(main())

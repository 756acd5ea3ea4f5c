"""Runs of kazoo's own test suite, several at a time, and what came out of them."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from xml.etree import ElementTree

from tests import children
from tests.ports import free_block
from tests.support import ROOT
from tests.zookeeper import debian

RESULTS = ROOT / "build" / "conformance"
LIMIT = 2 * 3600.0
"""Seconds after which the suites are given up though they go on: nobody waits for longer."""

# A run goes on for as long as it gets on: how fast it is depends on the machine and on what else
# that does. One that hangs ends no test any more; the first limit ends the test, with its name,
# the second one a test that cannot be ended so.
_TEST_TIMEOUT = 900
_QUIET_TIMEOUT = 1200.0
_PROGRESS_INTERVAL = 20.0
_POLL_INTERVAL = 0.5
_LOG_TAIL_LINES = 15
_FEW = 8
# More at once would fight for two cores, and kazoo's tests allow an election five seconds.
_AT_ONCE = 2
_PROGRESS = re.compile(r" \[ *\d+%\]$", re.MULTILINE)
# Of variables that would reach kazoo's tests from outside.
_FOREIGN_PREFIXES = ("KAZOO_", "PYTEST_", "ZK_", "ZOOKEEPER_")
# Of kazoo's cluster: three servers ten ports apart, five ports each.
_CLUSTER_PORTS = [10 * server + port for server in range(3) for port in range(5)]

# What is run of the suite in a mode, if it is not all, as pytest's -k has it.
_CHOSEN = {"no-monkey": "TestSSLClient or SASL or TestReadOnlyMode"}

Test = tuple[str, str]


@dataclass(frozen=True)
class Outcome:
    """How a test ended: `passed`, `skipped`, `failure` or `error`, and a failure's text."""

    kind: str = "passed"
    text: str = ""


@dataclass(frozen=True)
class Result:
    """What a run left: outcomes by (class name, name), and clients by their default handler."""

    problem: str = ""
    outcomes: dict[Test, Outcome] = field(default_factory=dict)
    default_handlers: dict[str, int] = field(default_factory=dict)

    def broken(self) -> str:
        """Return the tests that failed, first their names in one line; empty when none did."""
        if self.problem:
            return self.problem
        failed = self.failed()
        names = ", ".join(name for _, name in failed)
        lines = [f"{len(failed)} failed: {names}"] if failed else []
        return "\n".join([*lines, *(_line(test, self.outcomes[test]) for test in failed)])

    def failed(self) -> list[Test]:
        """Return the tests that failed."""
        return [
            test for test, outcome in self.outcomes.items() if outcome.kind in ("failure", "error")
        ]

    def corrected(self, tests: Sequence[Test], again: Result) -> Result:
        """Return the result with the outcomes that some tests had in another run."""
        second = {test: again.outcomes[test] for test in tests if test in again.outcomes}
        return replace(self, outcomes={**self.outcomes, **second})

    def differences(self, other: Result) -> str:
        """Return the tests that ended differently from the other run, with their texts."""
        if self.problem or other.problem:
            return self.problem or other.problem
        missing = Outcome("missing")
        return "\n".join(
            f"{_line(test, mine)}\n    there: {theirs.kind}"
            for test in sorted(self.outcomes.keys() | other.outcomes.keys())
            if (mine := self.outcomes.get(test, missing)).kind
            != (theirs := other.outcomes.get(test, missing)).kind
        )


class Run:
    """One run of the suite in a process of its own."""

    def __init__(self, mode: str, only: Sequence[Test] = ()) -> None:
        self.mode = mode
        self._chosen = _expression(only) if only else _CHOSEN.get(mode, "")
        name = f"{mode}-again" if only else mode
        self._log = RESULTS / f"{name}.log"
        self._junit = RESULTS / f"{name}.xml"
        self._record = RESULTS / f"{name}.json"
        self._ended = "ended"
        self._done = 0
        self._last_progress = time.monotonic()
        for path in (self._junit, self._record):
            path.unlink(missing_ok=True)
        with self._log.open("wb") as log:
            self._process = children.spawn(
                self._command(), stdout=log, env=_environment(), cwd=ROOT
            )

    def is_over(self) -> bool:
        """Tell whether the process has ended."""
        return self._process.poll() is not None

    def tests_done(self) -> int:
        """Return how many tests are through."""
        return len(_PROGRESS.findall(self._log_text()))

    def abort_if_stuck(self) -> None:
        """Kill a run that does not get on; its log then ends with the stacks of its threads."""
        now, done = time.monotonic(), self.tests_done()
        if done > self._done:
            self._done, self._last_progress = done, now
        elif now - self._last_progress > _QUIET_TIMEOUT and not self.is_over():
            self._ended = f"ended no test for {_QUIET_TIMEOUT:g} s and was killed"
            children.abort(self._process)

    def close(self) -> None:
        """End whatever is left of the run."""
        children.kill(self._process)

    def result(self) -> Result:
        """Read what the run left behind."""
        status = self._process.wait()
        # pytest's statuses for passed and failed; Python's own for a traceback is 1 too.
        if status not in (0, 1) or not self._record.exists():
            lines = self._log_text().splitlines()
            # The stacks of threads that follow it, if any, are in the log.
            last = max((n for n, line in enumerate(lines) if _PROGRESS.search(line)), default=-1)
            tail = "\n".join(lines[max(0, last - _LOG_TAIL_LINES) : last + _LOG_TAIL_LINES])
            return Result(
                f"the run {self._ended}, status {status}, after {self.tests_done()} tests; see "
                f"{self._log}; where it was:\n{tail}"
            )
        record = json.loads(self._record.read_text())
        return Result("", read_outcomes(self._junit), record["default"])

    def _log_text(self) -> str:
        return self._log.read_text(errors="replace")

    def _command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "tests.conformance.launch", self.mode, str(self._record)),
            *("-v", "-ra", "-p", "no:cacheprovider", f"--junitxml={self._junit}"),
            *(f"--timeout={_TEST_TIMEOUT}", "--timeout-method=signal"),
            *(("-k", self._chosen) if self._chosen else ()),
        ]


def run_suites(modes: Sequence[str], announce: Callable[[str], None]) -> dict[str, Result]:
    """Run the suite in all modes, some at once, with a line of progress every so often."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    waiting, results = list(modes), dict[str, Result]()
    with ExitStack() as stack:
        runs: list[Run] = []
        progress = _Progress(announce)
        while waiting or runs:
            while waiting and len(runs) < _AT_ONCE:
                runs.append(stack.enter_context(closing(Run(waiting.pop(0)))))
            progress.wait(runs)
            for run in [run for run in runs if run.is_over()]:
                runs.remove(run)
                results[run.mode] = run.result()
    return {mode: _settled(mode, results[mode], announce) for mode in modes}


def _settled(mode: str, result: Result, announce: Callable[[str], None]) -> Result:
    """Return the result after the few tests that failed, if any, have run by themselves.

    Some of kazoo's tests read from one server what was just written to another, without a
    sync, or allow an election five seconds: on a busy machine they fail now and then, also in
    kazoo alone. What they do without that company is what counts, and both
    outcomes stay on disk.
    """
    failed = result.failed()
    if not 0 < len(failed) <= _FEW:
        return result
    names = ", ".join(name for _, name in failed)
    announce(f"kazoo's suite, {mode}: failed in company, now alone: {names}")
    with closing(Run(mode, failed)) as run:
        progress = _Progress(announce)
        while not run.is_over():
            progress.wait([run])
        return result.corrected(failed, run.result())


def _expression(tests: Sequence[Test]) -> str:
    """Return what selects the tests with pytest's -k; it may select some more."""
    return " or ".join(f"({test[0].rpartition('.')[2]} and {test[1]})" for test in tests)


def read_outcomes(junit: Path) -> dict[Test, Outcome]:
    """Read the outcomes from a JUnit file."""
    outcomes: dict[Test, Outcome] = {}
    for case in ElementTree.parse(junit).iter("testcase"):
        test = case.get("classname", ""), case.get("name", "")
        outcome = next((Outcome(child.tag, child.text or "") for child in case), Outcome())
        # A test that breaks in its teardown is there twice.
        if outcome.kind != "passed" or test not in outcomes:
            outcomes[test] = outcome
    return outcomes


def _environment() -> dict[str, str]:
    java = shutil.which("java")
    assert java is not None
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN_PREFIXES)
    }
    return {
        **inherited,
        # It alters kazoo's tests, so it is the same everywhere; and it is set because without it
        # test_read_only does not wait for its data to reach the server that the test leaves alive.
        "CI": "true",
        "PATH": f"{Path(__file__).parent / 'bin'}{os.pathsep}{inherited['PATH']}",
        "REAL_JAVA": java,
        "ZOOKEEPER_CLASSPATH": debian.class_path("slf4j-nop"),
        "ZOOKEEPER_VERSION": debian.version(),
        # kazoo's servers listen on all interfaces.
        "ZOOKEEPER_PORT_OFFSET": str(free_block(_CLUSTER_PORTS, host="")),
    }


class _Progress:
    """Waits for runs, and tells how far they are."""

    def __init__(self, announce: Callable[[str], None]) -> None:
        self._announce = announce
        self._start = time.monotonic()
        self._next_line = _PROGRESS_INTERVAL

    def wait(self, runs: Sequence[Run]) -> None:
        """Wait until one of the runs is over."""
        while not any(run.is_over() for run in runs):
            # Polling costs next to nothing against runs of minutes.
            time.sleep(_POLL_INTERVAL)
            elapsed = time.monotonic() - self._start
            if elapsed > self._next_line:
                self._next_line += _PROGRESS_INTERVAL
                counts = ", ".join(f"{run.mode} {run.tests_done()}" for run in runs)
                self._announce(f"kazoo's suite, tests done after {elapsed:.0f} s: {counts}")
            for run in runs:
                run.abort_if_stuck()


def _line(test: Test, outcome: Outcome) -> str:
    return f"{'.'.join(test)}: {outcome.kind}\n{textwrap.indent(outcome.text, '    ')}"

"""Runs of kazoo's own test suite, several at a time, and what came out of them."""

from __future__ import annotations

import json
import os
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
RUN_TIMEOUT = 600.0
_TEST_TIMEOUT = 120
_PROGRESS_INTERVAL = 20.0
_POLL_INTERVAL = 0.5
_LOG_TAIL_LINES = 40
_FEW = 3
# Of variables that would reach kazoo's tests from outside.
_FOREIGN_PREFIXES = ("KAZOO_", "PYTEST_", "ZK_", "ZOOKEEPER_")
# Of kazoo's cluster: three servers ten ports apart, five ports each.
_CLUSTER_PORTS = [10 * server + port for server in range(3) for port in range(5)]
_PORTS_SPAN = 30

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
        """Return the tests that failed, with their texts; the empty string when none did."""
        return "\n".join(_line(test, self.outcomes[test]) for test in self.failed())

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
        missing = Outcome("missing")
        return "\n".join(
            f"{_line(test, mine)}\n    there: {theirs.kind}"
            for test in sorted(self.outcomes.keys() | other.outcomes.keys())
            if (mine := self.outcomes.get(test, missing)).kind
            != (theirs := other.outcomes.get(test, missing)).kind
        )


class Run:
    """One run of the suite in a process of its own."""

    def __init__(self, mode: str, port_offset: int, only: Sequence[Test] = ()) -> None:
        self.mode = mode
        self._chosen = _expression(only) if only else _CHOSEN.get(mode, "")
        name = f"{mode}-again" if only else mode
        self._log = RESULTS / f"{name}.log"
        self._junit = RESULTS / f"{name}.xml"
        self._record = RESULTS / f"{name}.json"
        self._ended = "ended"
        for path in (self._junit, self._record):
            path.unlink(missing_ok=True)
        with self._log.open("wb") as log:
            self._process = children.spawn(
                self._command(), stdout=log, env=_environment(port_offset), cwd=ROOT
            )

    def is_over(self) -> bool:
        """Tell whether the process has ended."""
        return self._process.poll() is not None

    def tests_done(self) -> int:
        """Return how many tests are through."""
        return self._log_text().count("%]\n")

    def abort(self) -> None:
        """Kill a run that takes too long; its log then ends with the stacks of its threads."""
        self._ended = f"did not end in {RUN_TIMEOUT:g} s: it was killed"
        children.abort(self._process)

    def close(self) -> None:
        """End whatever is left of the run."""
        children.kill(self._process)

    def result(self) -> Result:
        """Read what the run left behind."""
        status = self._process.wait()
        # pytest's statuses for passed and failed; Python's own for a traceback is 1 too.
        if status not in (0, 1) or not self._record.exists():
            tail = "\n".join(self._log_text().splitlines()[-_LOG_TAIL_LINES:])
            return Result(f"the run {self._ended} with status {status}; its last lines:\n{tail}")
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
    """Run the suite in all modes at once, with a line of progress every so often."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        runs = [
            stack.enter_context(closing(Run(mode, port_offset)))
            for mode, port_offset in zip(modes, _port_offsets(len(modes)), strict=True)
        ]
        _wait(runs, announce)
        results = {run.mode: run.result() for run in runs}
    return {mode: _settled(mode, result, announce) for mode, result in results.items()}


def _settled(mode: str, result: Result, announce: Callable[[str], None]) -> Result:
    """Return the result after the few tests that failed, if any, have run by themselves.

    Some of kazoo's tests read from one server what was just written to another, without a
    sync, or allow an election five seconds: with nine servers on two cores they fail now and
    then, also in kazoo alone. What they do without that company is what counts, and both
    outcomes stay on disk.
    """
    failed = result.failed()
    if not 0 < len(failed) <= _FEW:
        return result
    names = ", ".join(name for _, name in failed)
    announce(f"kazoo's suite, {mode}: failed in company, now alone: {names}")
    with closing(Run(mode, _port_offsets(1)[0], failed)) as run:
        _wait([run], announce)
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


def _port_offsets(count: int) -> list[int]:
    spans = range(0, _PORTS_SPAN * count, _PORTS_SPAN)
    # kazoo's servers listen on all interfaces.
    base = free_block([span + port for span in spans for port in _CLUSTER_PORTS], host="")
    return [base + span for span in spans]


def _environment(port_offset: int) -> dict[str, str]:
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
        "ZOOKEEPER_PORT_OFFSET": str(port_offset),
    }


def _wait(runs: Sequence[Run], announce: Callable[[str], None]) -> None:
    start = time.monotonic()
    next_line = _PROGRESS_INTERVAL
    while not all(run.is_over() for run in runs):
        # Polling costs next to nothing against runs of minutes.
        time.sleep(_POLL_INTERVAL)
        elapsed = time.monotonic() - start
        if elapsed > next_line:
            next_line += _PROGRESS_INTERVAL
            counts = ", ".join(f"{run.mode} {run.tests_done()}" for run in runs)
            announce(f"kazoo's suite, tests done after {elapsed:.0f} s: {counts}")
        if elapsed > RUN_TIMEOUT:
            for run in runs:
                if not run.is_over():
                    run.abort()


def _line(test: Test, outcome: Outcome) -> str:
    return f"{'.'.join(test)}: {outcome.kind}\n{textwrap.indent(outcome.text, '    ')}"

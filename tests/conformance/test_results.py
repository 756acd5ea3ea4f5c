"""What is said of a run of kazoo's suite that went wrong: what matters comes first."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from tests.conformance import suite
from tests.conformance.suite import Outcome, Result
from tests.conformance.test_kazoo_suite import expect_nothing
from tests.support import wait_until

PASSED = Result(outcomes={("TestLock", "test_one"): Outcome()})
FAILED = Result(
    outcomes={
        ("TestLock", "test_one"): Outcome("failure", "a long\ntraceback"),
        ("TestLock", "test_two"): Outcome(),
        ("TestQueue", "test_three"): Outcome("error", "another one"),
    }
)
STUCK = Result("the run ended no test for 1200 s and was killed, status -6, after 7 tests")


def first_line(mode: str, result: Result, alone: Result) -> str:
    with pytest.raises(pytest.fail.Exception) as failure:
        expect_nothing(mode, result.broken(), alone)
    return str(failure.value).splitlines()[0]


def test_the_first_line_names_the_tests_that_failed() -> None:
    """A summary has a line for each failure."""
    assert first_line("patch-first", FAILED, PASSED) == (
        "patch-first: 2 failed: test_one, test_three"
    )


def test_the_first_line_says_why_a_run_did_not_end() -> None:
    """And no run that did not end counts as one without failures."""
    assert "ended no test for 1200 s" in first_line("patch-first", STUCK, PASSED)
    assert STUCK.differences(PASSED) == PASSED.differences(STUCK) == STUCK.problem


def test_that_kazoo_alone_failed_as_well_comes_first() -> None:
    """Then the machine is to blame, or kazoo."""
    line = first_line("patch-first", STUCK, FAILED)
    assert line.startswith("kazoo alone failed as well")


def test_nothing_is_said_of_a_run_that_passed() -> None:
    """Whatever became of kazoo alone."""
    expect_nothing("patch-first", PASSED.broken(), FAILED)


def test_a_run_that_does_not_get_on_is_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, own_servers: None
) -> None:
    """Its result says so; here the first of kazoo's tests has no time to end."""
    monkeypatch.setattr(suite, "RESULTS", tmp_path)
    monkeypatch.setattr(suite, "_QUIET_TIMEOUT", 0.1)
    with closing(suite.Run("vanilla")) as run:
        wait_until(run.is_over, sleep=lambda _: run.abort_if_stuck())
        assert "ended no test for 0.1 s and was killed" in run.result().problem

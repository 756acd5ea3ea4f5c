"""The cron example goes on when its leader ends, and runs no tick twice."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from tests.process.programs import Program
from tests.support import ROOT, wait_until

PROCESSES = 3
TICKS = 5


@pytest.fixture
def programs(tmp_path: Path, zookeeper_hosts: str, chroot: str) -> Iterator[list[Program]]:
    """Give as many processes of one cron."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                Program(
                    ["cron.py", "--every", "0.1"],
                    cwd=ROOT / "examples" / "cron",
                    log=tmp_path / f"log-{number}",
                    env={"ZK_HOSTS": zookeeper_hosts + chroot},
                )
            )
            for number in range(PROCESSES)
        ]


def _ticks(programs: list[Program]) -> list[int]:
    return [
        record["tick"] for program in programs for record in program.records() if "tick" in record
    ]


def _leader(programs: list[Program]) -> Program:
    """Wait until one of the programs has run jobs; return it."""

    def working() -> list[Program]:
        return [program for program in programs if len(_ticks([program])) >= TICKS]

    return wait_until(
        working, timeout=300, message=lambda: "\n".join(program.output for program in programs)
    )[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_another_takes_over_when_the_leader_ends(
    number: signal.Signals, programs: list[Program]
) -> None:
    """Whether it could say good-bye or not."""
    first = _leader(programs)
    assert first.end(number) == (0 if number == signal.SIGTERM else -signal.SIGKILL)
    others = [program for program in programs if program is not first]
    second = _leader(others)
    assert _ticks([second])[0] > _ticks([first])[-1]
    assert len(_ticks(programs)) == len(set(_ticks(programs)))
    for program in others:
        assert program.end(signal.SIGTERM) == 0
        assert "Traceback" not in program.output


def test_a_leader_that_stood_still_steps_down(programs: list[Program]) -> None:
    """Its session has expired meanwhile; what it wakes up with is not run a second time."""
    first = _leader(programs)
    paused = psutil.Process(first.pid)
    paused.suspend()
    others = [program for program in programs if program is not first]
    second = _leader(others)
    paused.resume()
    before = len(_ticks([second]))
    wait_until(lambda: len(_ticks([second])) > before + TICKS, timeout=300)
    assert len(_ticks(programs)) == len(set(_ticks(programs)))
    assert second.end(signal.SIGTERM) == 0
    _leader([program for program in others if program is not second] + [first])
    assert len(_ticks(programs)) == len(set(_ticks(programs)))

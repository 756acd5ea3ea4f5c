"""The script example is run as its text says."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from tests.process.programs import Program
from tests.support import ROOT

NODE = "/example-script/configuration"


PROGRAMS = {
    "script": ["watch_configuration.py"],
    "cron": ["cron.py"],
    "gunicorn": ["-m", "gunicorn", "application:app"],
}


@pytest.mark.slow  # kazoo tries for fifteen seconds
@pytest.mark.parametrize("example", PROGRAMS)
def test_an_example_says_in_one_line_that_there_is_no_server(example: str, tmp_path: Path) -> None:
    """The last one, after kazoo's own lines."""
    program = Program(
        PROGRAMS[example],
        cwd=ROOT / "examples" / example,
        log=tmp_path / "log",
        env={"ZK_HOSTS": "127.0.0.1:1", "GUNICORN_CMD_ARGS": "--bind=127.0.0.1:0"},
    )
    with program:
        assert program.wait() == 1
    assert "Traceback" not in program.output
    last = program.output.rstrip().rpartition("\n")[2]
    assert last == "error: no ZooKeeper answers at 127.0.0.1:1; set ZK_HOSTS to one that runs"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_script_prints_every_change_and_ends_well(
    number: signal.Signals, tmp_path: Path, zookeeper_hosts: str, observer: KazooClient, chroot: str
) -> None:
    """Also that there is nothing yet, and that it is gone."""
    program = Program(
        ["watch_configuration.py"],
        cwd=ROOT / "examples" / "script",
        log=tmp_path / "log",
        env={"ZK_HOSTS": zookeeper_hosts + chroot},
    )
    with program:
        program.wait_for(lambda output: output == "there is no configuration\n")
        observer.create(NODE, b"blue", makepath=True)
        program.wait_for(lambda output: output.endswith("version 0: blue\n"))
        observer.set(NODE, b"green")
        program.wait_for(lambda output: output.endswith("version 1: green\n"))
        observer.delete(NODE)
        program.wait_for(lambda output: output.count("there is no configuration") == 2)
        assert program.end(number) == 0
        assert "Traceback" not in program.output

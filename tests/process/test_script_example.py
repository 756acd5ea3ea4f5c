"""The script example is run as its text says."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from tests.process.programs import Program
from tests.support import ROOT

NODE = "/example-script/configuration"


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

"""What ``kazoo-gevent-patch inspect`` says of a process that does not answer, or answers oddly."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kazoo_gevent_patch.inspection.visits import name_for
from tests import children
from tests.support import ROOT, wait_until

COMMAND = Path(sys.executable).with_name("kazoo-gevent-patch")

ANSWERING = """
import os, socket, sys, time
from kazoo_gevent_patch.inspection.visits import name_for
print("ready", flush=True)
while True:
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.connect(name_for(int(sys.argv[1]) or os.getpid()))
        sock.sendall({answer!r})
        {then}
    except OSError:
        pass
    sock.close()
    time.sleep(0.05)
"""


def inspect(pid: int, *options: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run the installed command."""
    return subprocess.run(
        [COMMAND, "inspect", str(pid), "--timeout", f"{timeout:g}", *options],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@contextmanager
def program(tmp_path: Path, code: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program that prints that it is ready, for the length of the block."""
    log = tmp_path / f"{time.monotonic()}.log"
    with log.open("wb") as output:
        process = children.spawn([sys.executable, "-c", code, *arguments], stdout=output, cwd=ROOT)
    try:
        wait_until(lambda: "ready" in log.read_text(), message=log.read_text)
        yield process
    finally:
        children.kill(process)


def answering(answer: bytes, then: str = "") -> str:
    """Return a program that answers so, for the process that its argument names, or itself."""
    return ANSWERING.format(answer=answer, then=then)


SILENT = "print('ready', flush=True); import time; time.sleep(600)"
ANSWER = json.dumps({"text": "what there is", "data": {"pid": 1}}).encode() + b"\n"


def test_it_prints_what_the_process_answers(tmp_path: Path) -> None:
    """The text, or the data as JSON; and the name is free again."""
    with program(tmp_path, answering(ANSWER), "0") as process:
        text, document = inspect(process.pid), inspect(process.pid, "--json")
    assert (text.returncode, text.stdout, text.stderr) == (0, "what there is\n", "")
    assert json.loads(document.stdout) == {"pid": 1}


def test_another_process_that_answers_in_its_place_is_not_believed(tmp_path: Path) -> None:
    """The kernel tells which process has called; the one that is meant is waited for."""
    false = answering(b'{"text": "lies", "data": {}}\n')
    with (
        program(tmp_path, SILENT) as silent,
        program(tmp_path, false, str(silent.pid)),
    ):
        result = inspect(silent.pid, timeout=2)
    assert (result.returncode, result.stdout) == (1, "")
    assert f"process {silent.pid} has not answered in 2 s" in result.stderr


def no_such_process(_: int) -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def stopped(pid: int) -> int:
    os.kill(pid, signal.SIGSTOP)
    return pid


def the_parent(_: int) -> int:
    return os.getpid()


@pytest.mark.parametrize(
    ("choose", "complaint"),
    [
        (no_such_process, "there is no process {}"),
        (stopped, "process {} is stopped by a signal"),
        (int, "process {} has not answered in 1 s. It answers if it has a started client"),
        (the_parent, "It has child processes, such as workers: "),
    ],
)
def test_a_process_that_does_not_answer_is_one_clear_line(
    tmp_path: Path, choose: Callable[[int], int], complaint: str
) -> None:
    """What is wrong, or may be; the exit code is 1, and the process lives on."""
    with program(tmp_path, SILENT) as process:
        pid = choose(process.pid)
        result = inspect(pid, timeout=1)
        assert process.poll() is None
    assert (result.returncode, result.stdout) == (1, "")
    assert complaint.format(pid) in result.stderr
    assert result.stderr.startswith("kazoo-gevent-patch inspect: ")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("answer", [b"Traceback: why\n", b'{"text": "cut sho'])
def test_an_answer_that_is_no_report_is_shown_as_it_is(tmp_path: Path, answer: bytes) -> None:
    """It tells what has failed there."""
    with program(tmp_path, answering(answer), "0") as process:
        result = inspect(process.pid)
    assert (result.returncode, result.stdout) == (1, "")
    assert "it failed to make its report" in result.stderr
    assert answer.decode().strip() in result.stderr


def test_a_process_that_begins_to_answer_and_hangs_is_not_waited_for(tmp_path: Path) -> None:
    """Longer than the time-out, that is."""
    with program(tmp_path, answering(b"{", "time.sleep(600)"), "0") as process:
        result = inspect(process.pid, timeout=1)
    assert result.returncode == 1
    assert "has not answered in 1 s" in result.stderr


def test_a_second_one_waits_for_the_first(tmp_path: Path) -> None:
    """Both have their answer; where the name is never free, a line says so."""
    with program(tmp_path, answering(ANSWER), "0") as process:
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(name_for(process.pid))
            result = inspect(process.pid, timeout=0.5)
            assert "something else is asking it now" in result.stderr
            second = subprocess.Popen(
                [COMMAND, "inspect", str(process.pid)], stdout=subprocess.PIPE, text=True
            )
            assert second.stdout is not None
        assert second.stdout.read() == "what there is\n"
        assert second.wait(60) == 0


def test_the_process_of_another_user_is_told_so(tmp_path: Path) -> None:
    """Only that user, and root, may ask."""
    if os.geteuid() != 0:
        pid = 1  # which is root's
        result = inspect(pid)
    else:
        pid = os.getpid()
        code = "import argparse, os, sys; from kazoo_gevent_patch.commands import inspect\n"
        code += "parser = argparse.ArgumentParser(); inspect.add_arguments(parser)\n"
        code += f"options = parser.parse_args(['{pid}'])\n"
        code += "os.seteuid(65534); sys.exit(inspect.inspect(options))"
        result = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
        )
    assert result.returncode == 1
    assert f"process {pid} belongs to another user" in result.stderr

"""``kazoo-gevent-patch doctor`` that is cut off: by Ctrl-C, or by a reader that goes away."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
from contextlib import suppress

import pytest

from tests.server.doctor import children_of
from tests.support import COMMAND


@pytest.mark.parametrize("after", ["resolve", "round trips", "temporary node", "lock"])
def test_ctrl_c_ends_it_without_a_word(after: str, zookeeper_hosts: str, chroot: str) -> None:
    """It dies of the signal, as a shell expects, and leaves nothing on the server."""
    process = subprocess.Popen(
        [COMMAND, "doctor", "--hosts", zookeeper_hosts + chroot],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    for line in process.stdout:
        if line.split(None, 1)[1].startswith(after):
            break
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert (process.returncode, errors) == (-signal.SIGINT, "")
    assert children_of(zookeeper_hosts + chroot) == []


def test_ctrl_c_on_a_terminal_says_so() -> None:
    """In place of the check that was being made."""
    ours, theirs = pty.openpty()
    written = b""
    try:
        # It takes connections, and nobody answers there.
        with socket.create_server(("127.0.0.1", 0)) as silent, os.fdopen(theirs, "wb") as terminal:
            process = subprocess.Popen(
                [COMMAND, "doctor", "--hosts", f"127.0.0.1:{silent.getsockname()[1]}"],
                stdout=terminal,
                stderr=terminal,
                env={**os.environ, "TERM": "xterm", "NO_COLOR": "1"},
            )
            while b" server ..." not in written:
                written += os.read(ours, 1 << 16)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=300) == -signal.SIGINT
        with suppress(OSError):  # what Linux raises when the other side is closed
            while piece := os.read(ours, 1 << 16):
                written += piece
    finally:
        os.close(ours)
    assert written.endswith(b" server ...\r\x1b[Kinterrupted\r\n")


@pytest.mark.parametrize("arguments", [["doctor"], ["doctor", "--json"], ["--help"]], ids=" ".join)
def test_a_reader_that_has_gone_ends_it_without_a_word(arguments: list[str]) -> None:
    """By the signal that ends other tools then; argparse may ignore it for its own texts."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        result = subprocess.run(
            [COMMAND, *arguments], stdout=pipe, stderr=subprocess.PIPE, timeout=300, check=False
        )
    assert result.stderr == b""
    assert result.returncode == -signal.SIGPIPE or (
        arguments == ["--help"] and not result.returncode
    )


def test_a_reader_that_goes_away_leaves_nothing_on_the_server(
    zookeeper_hosts: str, chroot: str
) -> None:
    """The pipe breaks when the temporary node is there."""
    hosts = zookeeper_hosts + chroot
    pipe = '"$0" doctor --hosts "$1" | grep -m 1 "temporary node"; echo "${PIPESTATUS[0]}"'
    result = subprocess.run(
        ["bash", "-c", pipe, COMMAND, hosts],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    line, status = result.stdout.splitlines()
    assert line.startswith("ok")
    assert (status, result.stderr) == (str(128 + signal.SIGPIPE), "")
    assert children_of(hosts) == []

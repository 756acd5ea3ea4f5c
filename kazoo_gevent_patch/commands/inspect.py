"""``kazoo-gevent-patch inspect``: what the clients of a running program do now."""

from __future__ import annotations

import argparse
import errno
import io
import json
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

from kazoo_gevent_patch.commands.doctor.arguments import seconds
from kazoo_gevent_patch.inspection.visits import credentials, is_possible, name_for

TIMEOUT: Final = 10.0
"""Seconds that the command waits for the answer by default."""

_AGAIN: Final = 0.1
"""Seconds between two tries to get a name that another ``inspect`` of the process uses."""

_LARGEST: Final = 1 << 26
"""Bytes that an answer has at most."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to its parser."""
    parser.add_argument("pid", type=int, metavar="PID", help="the process id of the program")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=TIMEOUT,
        metavar="SECONDS",
        help=f"how long to wait for the answer, {TIMEOUT:g} by default",
    )


def inspect(options: argparse.Namespace) -> int:
    """Print what the process answers, and return the exit code: 0, or 1 without an answer."""
    pid: int = options.pid
    reason = _obstacle(pid)
    answer = None
    if not reason:
        try:
            answer = _ask(pid, monotonic() + options.timeout)
        except OSError as error:
            reason = f"cannot ask process {pid}: {error}"
        else:
            reason = _why_silent(pid, options.timeout)
    if answer is None:
        print(f"kazoo-gevent-patch inspect: {reason}", file=sys.stderr)
        return 1
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a path may have any letter
    print(json.dumps(answer["data"], indent=2) if options.json else answer["text"])
    return 0


def _obstacle(pid: int) -> str:
    """Return why the process cannot be asked; nothing if it can."""
    if not is_possible():
        return "this works on Linux only"
    try:
        owner = Path(f"/proc/{pid}").stat().st_uid
    except OSError:
        return f"there is no process {pid}"
    if os.geteuid() not in (0, owner):
        return f"process {pid} belongs to another user: run this as that user, or as root"
    return ""


def _ask(pid: int, deadline: float) -> dict[str, Any] | None:
    """Wait until the process comes, and return its answer; None if it does not come in time."""
    with socket.socket(socket.AF_UNIX) as listener:
        while not _bind(listener, name_for(pid)):
            if monotonic() >= deadline:
                raise OSError(errno.EADDRINUSE, "something else is asking it now")
            sleep(_AGAIN)
        listener.listen()
        sock = _accept(listener, pid, deadline)
    if sock is None:
        return None
    with sock:
        return _read(sock, deadline)


def _accept(listener: socket.socket, pid: int, deadline: float) -> socket.socket | None:
    """Return the connection that the process makes; None if it does not come in time."""
    while (left := deadline - monotonic()) > 0:
        listener.settimeout(left)
        try:
            sock, _ = listener.accept()
        except TimeoutError:
            break
        if credentials(sock)[0] == pid:
            return sock
        sock.close()  # of a container that shares the network, and has a process of this number
    return None


def _bind(listener: socket.socket, name: str) -> bool:
    try:
        listener.bind(name)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return False
    return True


def _read(sock: socket.socket, deadline: float) -> dict[str, Any] | None:
    """Return the answer, which is one line; None if it is cut short."""
    data = bytearray()
    while not data.endswith(b"\n") and len(data) < _LARGEST:
        sock.settimeout(max(deadline - monotonic(), _AGAIN))
        try:
            received = sock.recv(1 << 16)
        except TimeoutError:
            return None
        if not received:
            break
        data += received
    try:
        answer: dict[str, Any] = json.loads(data)
    except ValueError:
        raise OSError(f"it failed to make its report\n{data.decode(errors='replace')}") from None
    return answer


def _why_silent(pid: int, timeout: float) -> str:
    """Return what may be the reason that the process has not answered."""
    with suppress(OSError, IndexError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        if state in "tTZ":
            return f"process {pid} is {'a zombie' if state == 'Z' else 'stopped by a signal'}"
    text = (
        f"process {pid} has not answered in {timeout:g} s. It answers if it has a started client "
        "on the handler of this package, keeps sessions (or KAZOO_GEVENT_PATCH_INSPECT=1 is in its "
        "environment), runs in this container, and no C code holds the GIL"
    )
    with suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if children:
            text += f". It has child processes, such as workers: {', '.join(children)}"
    return text

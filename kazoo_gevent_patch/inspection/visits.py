"""Answers ``kazoo-gevent-patch inspect``, from a native thread and whatever the program does.

The command listens on a socket that is named for the process. Once a second the process tries to
connect to a socket of that name. So nothing is open here that others could call, that a child could
inherit, or that the program could close by mistake.

Nothing here uses gevent, waits, or logs: code that hangs may hold the locks for that.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import traceback
from collections.abc import Callable, Generator, Iterator
from time import monotonic
from typing import Any, Final

from gevent.monkey import get_original

from kazoo_gevent_patch.loop import forks

PERIOD: Final = 1.0
"""Seconds between two looks."""

PATIENCE: Final = 5.0
"""Seconds in which the command has to take the report."""

PAUSE: Final = 0.01
"""Seconds between two tries to send more of it."""

CREDENTIALS: Final = struct.Struct("3i")
"""``struct ucred`` of Linux: process, user and group."""

_socket: Any = get_original("socket", "socket")
_native_lock = get_original("_thread", "allocate_lock")

Report = Generator[float, None, bytes]
"""A report in the making. Each step yields the seconds until the next one."""

reports: list[Callable[[], Report]] = []
"""What makes the report; the last one is asked."""


def name_for(pid: int) -> str:
    """Return the name that the command listens on for a process.

    It is in Linux's abstract name space: no file is made, and none is left.
    """
    return f"\0kazoo-gevent-patch/inspect/{pid}"


def credentials(sock: Any) -> tuple[int, int]:
    """Return the process and the user at the other end, as the kernel knows them."""
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    pid, user, _ = CREDENTIALS.unpack(raw)
    return pid, user


class Visitor:
    """Looks for the command, and answers it. For the helper thread, which calls ``attend``."""

    def __init__(self) -> None:
        self.forget()

    def forget(self, _: object = None) -> None:
        """Be as new; for a forked child, where the visit is the parent's."""
        self._answering: Iterator[float] | None = None
        self._turn = _native_lock()
        """There are two helpers where kazoo was imported twice."""

    def attend(self) -> float:
        """Take one step; return in how many seconds to take the next one."""
        if not self._turn.acquire(False):
            return PERIOD
        try:
            if self._answering is None and (sock := _called()) is not None:
                self._answering = _answer(sock)
            for pause in self._answering or ():
                return pause
            self._answering = None
        except Exception:  # what calls this sends the heartbeats
            self._answering = None
        finally:
            self._turn.release()
        return PERIOD


def is_possible() -> bool:
    """Return whether this system has what is needed."""
    return sys.platform == "linux"


def _called() -> Any:
    """Return a connection to the command, if it listens and is this user's, or root's."""
    sock = _socket(socket.AF_UNIX)
    try:
        sock.setblocking(False)
        sock.connect(name_for(os.getpid()))
        if credentials(sock)[1] in (0, os.geteuid()):
            return sock
    except OSError:
        pass  # nobody listens, as nearly always
    sock.close()
    return None


def _answer(sock: Any) -> Iterator[float]:
    with sock:
        data = memoryview((yield from _report()))
        deadline = monotonic() + PATIENCE
        while data and monotonic() < deadline:
            try:
                # Not the signal for a reader that has gone, which may end the program.
                data = data[sock.send(data, socket.MSG_NOSIGNAL) :]
            except BlockingIOError:
                yield PAUSE
            except OSError:
                return  # the command has ended


def _report() -> Report:
    try:
        return (yield from reports[-1]())
    except Exception:
        return traceback.format_exc().encode()


visitor: Final = Visitor()
forks.hooks.append(visitor.forget)

"""A fork is noticed by either mark, with a real fork that runs no hook of Python's."""

from __future__ import annotations

import ctypes
import os

import pytest

from kazoo_gevent_patch.loop.forks import ForkSafeLock, _ProcessId, _WipedPage


@pytest.mark.parametrize("make", [_WipedPage, _ProcessId])
def test_the_mark_is_gone_in_a_child_until_it_is_renewed(
    make: type[_WipedPage] | type[_ProcessId],
) -> None:
    """In the child only, also in a child of the child, and no longer once renewed."""
    mark = make()
    assert mark[0]
    pid = ctypes.PyDLL(None).fork()
    if pid == 0:
        seen = [bool(mark[0])]
        mark.renew()
        seen.append(bool(mark[0]))
        os._exit(0 if seen == [False, True] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert mark[0]


@pytest.mark.parametrize("fork", [os.fork, ctypes.PyDLL(None).fork, None])
def test_the_lock_is_free_in_a_child(fork: object) -> None:
    """With Python's hooks, without any, and with only the one that runs in the child."""
    lock = ForkSafeLock()
    pid = (fork or ctypes.PyDLL(None).fork)()  # type: ignore[operator]
    if pid == 0:
        if fork is None:
            lock._release()
        with lock, lock:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    with lock:
        pass

"""A fork is noticed by either mark, with a real fork that runs no hook of Python's.

Each test forks in a process of its own, which has one thread. A child that is forked without hooks
while another thread, such as one of pytest-xdist, asks for the interpreter's lock may never get it.
"""

from __future__ import annotations

import pytest

from tests.support import run_python

MARK = """
import ctypes, os
from kazoo_gevent_patch.loop.forks import {make}
mark = {make}()
assert mark[0]
pid = ctypes.PyDLL(None).fork()
if pid == 0:
    seen = [bool(mark[0])]
    mark.renew()
    seen.append(bool(mark[0]))
    os._exit(0 if seen == [False, True] else 1)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert mark[0]
"""

LOCK = """
import ctypes, os
from kazoo_gevent_patch.loop.forks import ForkSafeLock
lock = ForkSafeLock()
pid = {fork}()
if pid == 0:
    if {only_the_childs_hook}:
        lock.__exit__()
    with lock, lock:
        os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
with lock:
    pass
"""


@pytest.mark.parametrize("make", ["_WipedPage", "_ProcessId"])
def test_the_mark_is_gone_in_a_child_until_it_is_renewed(make: str) -> None:
    """In the child only, also in a child of the child, and no longer once renewed."""
    run_python(MARK.format(make=make))


@pytest.mark.parametrize(
    ("fork", "only_the_childs_hook"),
    [
        ("os.fork", False),
        ("ctypes.PyDLL(None).fork", False),
        ("ctypes.PyDLL(None).fork", True),
    ],
)
def test_the_lock_is_free_in_a_child(fork: str, only_the_childs_hook: bool) -> None:
    """With Python's hooks, without any, and with only the one that runs in the child."""
    run_python(LOCK.format(fork=fork, only_the_childs_hook=only_the_childs_hook))

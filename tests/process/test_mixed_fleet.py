"""Processes with and without the patch work together, as while a fleet is changed over."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from kazoo.client import KazooClient

from tests.support import run_python

TURNS = 30
PATCHED = """
import gevent.monkey; gevent.monkey.patch_all()
from kazoo_gevent_patch import patch_all; patch_all()
"""
COUNT = """
{first_line}
import os

from kazoo.client import KazooClient

zk = KazooClient(os.environ["HOSTS"])
zk.start()
zk.DoubleBarrier("/both-are-there", 4).enter()
for turn in range({turns}):
    with zk.Lock("/lock"):
        zk.set("/counter", str(int(zk.get("/counter")[0]) + 1).encode())
print(type(zk.handler).__module__)
zk.stop()
"""


def test_they_take_turns_at_a_lock_and_meet_at_a_barrier(
    zookeeper_hosts: str, observer: KazooClient, chroot: str
) -> None:
    """Two of each kind increment one counter, no increment is lost, and none has to warn."""
    observer.create("/counter", b"0")
    with ThreadPoolExecutor(4) as pool:
        programs = [
            pool.submit(
                run_python,
                COUNT.format(first_line=line, turns=TURNS),
                {"HOSTS": zookeeper_hosts + chroot},
            )
            for line in ("", PATCHED, "", PATCHED)
        ]
    results = [program.result() for program in programs]
    assert [result.stderr for result in results] == [""] * 4
    handlers = [result.stdout.strip() for result in results]
    assert handlers == ["kazoo.handlers.threading", "kazoo_gevent_patch.handler.sequential"] * 2
    assert int(observer.get("/counter")[0]) == 4 * TURNS

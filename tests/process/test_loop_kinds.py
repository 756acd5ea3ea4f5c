"""A client on the kinds of event loop that gevent does not choose by itself on Linux."""

from __future__ import annotations

import pytest

from tests.support import run_python

PROGRAM = """
import os
import gevent.monkey; gevent.monkey.patch_all()
from kazoo_gevent_patch import patch_all; patch_all()
import gevent
from kazoo.client import KazooClient
from kazoo.handlers.threading import KazooTimeoutError

def times_out(call, *args, **options):
    try:
        call(*args, **options)
    except KazooTimeoutError:
        return True

loop = gevent.get_hub().loop
assert type(loop).__module__ == {module!r}, loop
zk = KazooClient({hosts!r}, timeout=10.0)
zk.start()
flood = [zk.create_async(f"/flood/{{number}}", makepath=True) for number in range(500)]
assert len({{result.get(timeout=30) for result in flood}}) == 500
big = [b"%d" % number * 900_000 for number in range(5)]
gevent.joinall([gevent.spawn(zk.set, "/flood", data) for data in big], raise_error=True)
assert zk.get("/flood")[0] in big
with zk.Lock("/lock"):
    assert not zk.Lock("/lock").acquire(blocking=False)
assert times_out(zk.handler.async_result().get, timeout=0.01)
assert times_out(KazooClient("127.0.0.1:1").start, timeout=0.1)
assert gevent.get_hub().threadpool.apply(zk.get, ("/flood",))[0] in big
child = os.fork()
if not child:
    assert zk.get("/flood")[0] in big
    zk.stop()
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert zk.get("/flood")[0] in big
zk.stop()
"""

LOOPS = {
    "libev-cffi": "gevent.libev.corecffi",
    "libuv-cffi": "gevent.libuv.loop",
}


@pytest.mark.parametrize("kind", list(LOOPS))
def test_a_client_runs_on_other_kinds_of_event_loop(
    kind: str, zookeeper_hosts: str, chroot: str
) -> None:
    """Many requests, large ones, a lock, time-outs, a native thread and a fork."""
    program = PROGRAM.format(hosts=zookeeper_hosts + chroot, module=LOOPS[kind])
    done = run_python(program, env={"GEVENT_LOOP": kind})
    assert "Traceback" not in done.stderr, done.stderr

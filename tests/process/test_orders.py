"""Every order of importing kazoo, monkey patching and patching, each in a process of its own."""

from __future__ import annotations

import itertools

import pytest

from tests.support import run_python

STEPS = {
    "kazoo": "from kazoo.client import KazooClient; import kazoo.client; "
    "from kazoo.retry import KazooRetry",
    "monkey": "import gevent.monkey; gevent.monkey.patch_all()",
    "patch": "from kazoo_gevent_patch import patch_all; patch_all()",
}

ORDERS = [
    order
    for length in (2, 3)
    for order in itertools.permutations(STEPS, length)
    if "patch" in order and "kazoo" in order
]

PROGRAM = """
import time
from kazoo.handlers.threading import KazooTimeoutError
from kazoo_gevent_patch import SequentialGeventHandler, status
from kazoo_gevent_patch.patching.table import PATCHES

class Own(KazooClient):
    def __init__(self, hosts):
        super().__init__(hosts, 10.0)

now = status()
assert len(now.applied) == len(PATCHES) and not now.armed and not now.left_alone, str(now)
assert now.monkey_patched["socket"] is MONKEY, str(now)
for zk in (KazooClient(HOSTS), kazoo.client.KazooClient(HOSTS, 10.0, None, None), Own(HOSTS),
           KazooClient(hosts=HOSTS, handler=None, connection_retry={"max_tries": 3},
                       command_retry=KazooRetry(max_tries=3, sleep_func=time.sleep))):
    assert type(zk.handler) is SequentialGeventHandler, zk.handler
    lock = zk.Lock("/orders-lock")
    zk.start()
    with lock:
        assert zk.exists("/orders-lock")
    seen = []
    zk.exists_async("/").rawlink(lambda result: seen.append(zk.get("/")))
    deadline = time.monotonic() + 10
    while not seen and time.monotonic() < deadline:
        zk.handler.sleep_func(0.01)
    assert seen
    try:
        zk.handler.async_result().get(timeout=0.01)
    except KazooTimeoutError:
        pass
    zk.stop()
    zk.close()
print("all held")
"""


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_any_order_works(order: tuple[str, ...], zookeeper_hosts: str) -> None:
    """KazooClient runs on ours and works, whatever was done first, monkey patched or not."""
    program = "\n".join(STEPS[step] for step in order)
    settings = f"HOSTS = {zookeeper_hosts!r}; MONKEY = {'monkey' in order}\n"
    result = run_python(settings + program + PROGRAM)
    assert result.stdout.splitlines()[-1:] == ["all held"]
    assert "Traceback" not in result.stderr

"""One worker of a service: an ordinary kazoo program, written for kazoo's default handler.

It prints what it sees, a line of JSON at a time.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from queue import Empty, Queue
from typing import Any

from kazoo.client import KazooClient
from kazoo.handlers.threading import KazooTimeoutError

HOSTS = os.environ["ZK_HOSTS"]
PATIENCE = 2.0
WORKERS = 20
GETS = 2_000
GETTERS = 100

zk = KazooClient(HOSTS, connection_retry={"max_tries": -1, "max_delay": 1.0})


def report(name: str, value: object) -> None:
    print(json.dumps({name: value}), flush=True)


def handler() -> str:
    kind = type(zk.handler)
    return f"{kind.__module__}.{kind.__qualname__}"


def register() -> bool:
    zk.create("/workers/first", b"first worker", ephemeral=True, makepath=True)
    return bool(zk.exists("/workers/first").ephemeralOwner == zk.client_id[0])


def follow_configuration() -> list[str]:
    seen: Queue[bytes] = Queue()
    zk.create("/configuration", b"old")

    @zk.DataWatch("/configuration")  # type: ignore[untyped-decorator]
    def changed(data: bytes, stat: object) -> None:
        seen.put(data)

    before = seen.get(timeout=PATIENCE)
    zk.set("/configuration", b"new")
    return [before.decode(), seen.get(timeout=PATIENCE).decode()]


def count_under_lock() -> int:
    zk.create("/counter", b"0")

    def add_one() -> None:
        with zk.Lock("/counter-lock"):
            count = int(zk.get("/counter")[0])
            zk.set("/counter", str(count + 1).encode())

    workers = [zk.handler.spawn(add_one) for _ in range(WORKERS)]
    for worker in workers:
        worker.join()
    return int(zk.get("/counter")[0])


def find_leader() -> str | None:
    zk.create("/leader", b"/workers/first")
    leader: Queue[bytes] = Queue()

    def look_up(result: Any) -> None:
        path, _ = result.get()
        data, _ = zk.get(path.decode())
        leader.put(data)

    zk.get_async("/leader").rawlink(look_up)
    try:
        return leader.get(timeout=PATIENCE).decode()
    except Empty:
        return None


def native_threads() -> int:
    return len(os.listdir("/proc/self/task"))


def threads_of_a_client() -> int:
    before = native_threads()
    archive = KazooClient(HOSTS)
    archive.start(timeout=PATIENCE)
    added = native_threads() - before
    archive.stop()
    archive.close()
    return added


def get_async_per_second() -> int:
    def gets() -> None:
        for result in [zk.get_async("/configuration") for _ in range(GETS)]:
            result.get()

    return per_second(gets)


def getters_per_second() -> int:
    def getter() -> None:
        for _ in range(GETS // GETTERS):
            zk.get("/configuration")

    def getters() -> None:
        for worker in [zk.handler.spawn(getter) for _ in range(GETTERS)]:
            worker.join()

    return per_second(getters)


def per_second(gets: Callable[[], None]) -> int:
    fastest = min(seconds_of(gets) for _ in range(3))
    return round(GETS / fastest)


def seconds_of(gets: Callable[[], None]) -> float:
    began = time.perf_counter()
    gets()
    return time.perf_counter() - began


def wait_for_a_job() -> str:
    zk.create("/jobs")
    arrived = zk.handler.async_result()
    zk.get_children("/jobs", watch=arrived.set)
    try:
        arrived.get(timeout=0.2)
    except KazooTimeoutError:
        return "caught"
    return "a job came"


def connect_to_standby() -> str:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        host, port = nobody.getsockname()
        standby = KazooClient(f"{host}:{port}")
        try:
            standby.start(timeout=0.5)
        except KazooTimeoutError:
            return "caught"
        finally:
            standby.stop()
            standby.close()
    return "connected"


def main() -> None:
    zk.start(timeout=10.0)
    report("handler", handler())
    report("registered", register())
    report("configuration", follow_configuration())
    report("counter", count_under_lock())
    report("leader", find_leader())
    report("threads", threads_of_a_client())
    report("get_async", get_async_per_second())
    report("getters", getters_per_second())
    report("job", wait_for_a_job())
    report("standby", connect_to_standby())
    zk.stop()
    zk.close()


if __name__ == "__main__":
    main()

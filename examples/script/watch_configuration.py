"""Prints a node's content, and again whenever it changes, until Ctrl-C or SIGTERM."""

from __future__ import annotations

# The two lines come first: what is imported below finds a patched library.
import gevent.monkey

gevent.monkey.patch_all()
from kazoo_gevent_patch import patch_all

patch_all()

import os
import signal
import sys
from threading import Event

import gevent
from kazoo.client import KazooClient
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.protocol.states import ZnodeStat

HOSTS = os.environ.get("ZK_HOSTS", "127.0.0.1:2181")
CONFIGURATION = "/example-script/configuration"


def show(data: bytes | None, stat: ZnodeStat | None) -> None:
    if data is None or stat is None:
        print("there is no configuration", flush=True)
    else:
        print(f"version {stat.version}: {data.decode(errors='replace')}", flush=True)


def main() -> None:
    finished = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        gevent.signal_handler(number, finished.set)
    zk = KazooClient(HOSTS)
    try:
        zk.start()
    except KazooTimeoutError:
        sys.exit(f"error: no ZooKeeper answers at {HOSTS}; set ZK_HOSTS to one that runs")
    try:
        zk.DataWatch(CONFIGURATION, show)
        finished.wait()
    finally:
        zk.stop()
        zk.close()


if __name__ == "__main__":
    main()

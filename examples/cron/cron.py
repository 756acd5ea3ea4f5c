"""Runs jobs on a schedule in one of many processes: the leader, which is elected.

A tick of a job runs at most once, whatever happens to leaders. Before a leader runs a tick, it
writes the number of the tick into a node, over that of the last one, and names the version of
the node. If two leaders try, ZooKeeper accepts one write.
"""

from __future__ import annotations

# The two lines come first: what is imported below finds a patched library.
import gevent.monkey

gevent.monkey.patch_all()
from kazoo_gevent_patch import patch_all

patch_all()

import argparse
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event

import gevent
from kazoo.client import KazooClient
from kazoo.exceptions import BadVersionError, KazooException
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.protocol.states import KazooState

HOSTS = os.environ.get("ZK_HOSTS", "127.0.0.1:2181")
ELECTION = "/example-cron/election"
JOBS = "/example-cron/jobs"
PAUSE = 1.0  # seconds between attempts to be elected, after one has failed

log = logging.getLogger("cron")


@dataclass(frozen=True)
class Job:
    name: str
    every: float  # seconds
    run: Callable[[int], None]

    @property
    def path(self) -> str:
        return f"{JOBS}/{self.name}"


def report(tick: int) -> None:
    print(json.dumps({"job": "report", "tick": tick, "pid": os.getpid()}), flush=True)


class Cron:
    def __init__(self, zk: KazooClient, jobs: list[Job]) -> None:
        self._zk = zk
        self._jobs = jobs
        self._election = zk.Election(ELECTION, str(os.getpid()))
        self._stopping = Event()
        self._deposed = Event()
        zk.add_listener(self._session_changed)

    def stop(self) -> None:
        """End after the jobs that run now."""
        self._stopping.set()
        self._deposed.set()
        self._election.cancel()

    def run(self) -> None:
        """Lead whenever elected, until stopped."""
        while True:
            self._deposed.clear()
            if self._stopping.is_set():
                return
            try:
                self._election.run(self._lead)
            except KazooException as error:
                log.warning("contending again in %s s: %r", PAUSE, error)
                self._stopping.wait(PAUSE)

    def _session_changed(self, state: str) -> None:
        # A leader that does not hear from ZooKeeper may have lost the election without knowing.
        if state != KazooState.CONNECTED:
            self._deposed.set()

    def _lead(self) -> None:
        if self._deposed.is_set():
            return  # since it began to contend
        print(json.dumps({"leader": os.getpid()}), flush=True)
        runners = [gevent.spawn(self._repeat, job) for job in self._jobs]
        try:
            gevent.joinall(runners, raise_error=True)
        finally:
            self._deposed.set()
            gevent.joinall(runners)

    def _repeat(self, job: Job) -> None:
        self._zk.ensure_path(job.path)
        while not self._deposed.wait(job.every - time.time() % job.every):
            tick = int(time.time() // job.every)
            if self._claim(job, tick):
                try:
                    job.run(tick)
                except Exception:
                    log.exception("%s failed at tick %s", job.name, tick)

    def _claim(self, job: Job, tick: int) -> bool:
        """Tell whether the tick is this process's to run; it is nobody else's then."""
        data, stat = self._zk.get(job.path)
        if tick <= int(data or 0):
            return False
        try:
            self._zk.set(job.path, str(tick).encode(), version=stat.version)
        except BadVersionError:
            return False
        return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two ticks")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    zk = KazooClient(HOSTS, timeout=4.0)
    try:
        zk.start()
    except KazooTimeoutError:
        sys.exit(f"error: no ZooKeeper answers at {HOSTS}; set ZK_HOSTS to one that runs")
    cron = Cron(zk, [Job("report", every=arguments.every, run=report)])
    for number in (signal.SIGINT, signal.SIGTERM):
        gevent.signal_handler(number, cron.stop)
    try:
        cron.run()
    finally:
        zk.stop()
        zk.close()


if __name__ == "__main__":
    main()

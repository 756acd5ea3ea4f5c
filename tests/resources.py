"""What this process holds: descriptors, greenlets, native threads, loop watchers and memory."""

from __future__ import annotations

import gc
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import gevent
from greenlet import greenlet

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Resources:
    """Counts, and the resident memory in bytes."""

    descriptors: int
    threads: int
    greenlets: int
    active_watchers: int
    watchers: int
    memory: int

    def counts(self) -> dict[str, int]:
        """Return all but the memory."""
        numbers = asdict(self)
        del numbers["memory"]
        return numbers


def resources() -> Resources:
    """Collect the garbage, and count what is left in this thread's event loop and process."""
    gc.collect()
    objects = gc.get_objects()
    [watcher] = type(gevent.get_hub().loop.timer(0)).__bases__  # of all kinds of watchers
    return Resources(
        descriptors=len(os.listdir("/proc/self/fd")),
        threads=len(os.listdir("/proc/self/task")),
        greenlets=sum(isinstance(thing, greenlet) and not thing.dead for thing in objects),
        active_watchers=gevent.get_hub().loop.activecnt,
        watchers=sum(isinstance(thing, watcher) for thing in objects),
        memory=int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE,
    )

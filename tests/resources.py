"""What this process holds: descriptors, greenlets, native threads, loop watchers and memory."""

from __future__ import annotations

import gc
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import gevent
from greenlet import greenlet

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Resources:
    """Counts, and the resident memory in bytes.

    The allocators keep some pages for later, so that the resident memory tells of large leaks
    only; the interpreter's blocks tell of small ones.
    """

    descriptors: int
    threads: int
    greenlets: int
    active_watchers: int
    watchers: int
    blocks: int
    memory: int

    def counts(self) -> dict[str, int]:
        """Return the counts that must not change at all: all but the memory and its blocks."""
        numbers = asdict(self)
        del numbers["memory"], numbers["blocks"]
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
        blocks=sys.getallocatedblocks(),
        memory=int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE,
    )

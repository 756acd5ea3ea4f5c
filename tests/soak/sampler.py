"""What this process takes at a moment."""

from __future__ import annotations

import gc
import time
from typing import Any

import gevent
import greenlet
import psutil

from tests.soak.history import Sample


def sample() -> Sample:
    """Measure memory, descriptors, threads, greenlets and watchers."""
    process = psutil.Process()
    loop: Any = gevent.get_hub().loop
    return Sample(
        time=time.monotonic(),
        memory=process.memory_info().rss,
        descriptors=process.num_fds(),
        threads=process.num_threads(),
        greenlets=sum(isinstance(thing, greenlet.greenlet) for thing in gc.get_objects()),
        watchers=loop.activecnt,
    )

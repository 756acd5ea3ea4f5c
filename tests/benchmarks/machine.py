"""Where and with what a run was made."""

from __future__ import annotations

import os
import platform
import subprocess
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Final

_PACKAGES: Final = ("kazoo", "gevent", "greenlet", "wrapt", "aiozk", "kazoo-gevent-patch")


def describe() -> dict[str, str]:
    """Return the processor, how many cores may be used, the memory and the load."""
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{gib:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "load average at the start": f"{os.getloadavg()[0]:.1f}",
    }


def versions(zookeeper: str) -> dict[str, str]:
    """Return the versions of everything that takes part; the server's is known to the caller."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    packages = {package: version(package) for package in _PACKAGES}
    return {"python": python, "ZooKeeper": zookeeper, "Java": _java(), **packages}


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.machine()


def _java() -> str:
    with suppress(OSError):
        told = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False)
        return told.stderr.partition("\n")[0].split('"')[1]
    return "none"

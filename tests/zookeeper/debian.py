"""ZooKeeper as Debian packages it: the machine's own, or the version that ZK_VERSION names."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from tests import debian
from tests.support import ROOT

VERSIONS: Final = {"3.4.13": "bullseye", "3.8.0": "bookworm", "3.9.3": "trixie", "newest": "sid"}
"""The versions that can be had, oldest first, and the suites of Debian that have them."""

VARIABLE: Final = "ZK_VERSION"
"""What names one of them in the environment; without it the machine's own is used."""

UNPACKED: Final = ROOT / "build" / "zookeeper"
_INSTALLED: Final = Path("/usr/share/java")
_PACKAGE: Final = "libzookeeper-java"
_SIBLINGS: Final = (
    *("slf4j-api", "log4j-1.2", "servlet-api", "metrics-core", "snappy-java", "commons-io"),
    *("commons-cli", "audience-annotations"),
)


def is_installed() -> bool:
    """Tell whether this machine can run servers of its own."""
    return shutil.which("java") is not None and (_INSTALLED / "zookeeper.jar").exists()


def class_path(logger: str) -> str:
    """Return what Java needs to run a server that logs through the named SLF4J jar.

    Whatever the version of ZooKeeper is, the other jars are those that the machine has.
    """
    netty = sorted(jar for jar in _INSTALLED.glob("netty-*.jar") if not jar.is_symlink())
    siblings = [_INSTALLED / f"{name}.jar" for name in (*_SIBLINGS, logger)]
    # The second's own class path names the first by the place where it is installed, in whatever
    # version: the first has to come first.
    ours = [_jars() / "zookeeper-jute.jar", _jars() / "zookeeper.jar"]
    return os.pathsep.join(str(jar) for jar in [*ours, *siblings, *netty] if jar.exists())


def version() -> str:
    """Return the exact version of the servers that are started here."""
    [jar] = _jars().glob("zookeeper-[0-9]*.jar")
    return jar.stem.partition("-")[2]


def fetch(name: str) -> None:
    """Bring one of VERSIONS onto this machine, unless it is there."""
    target = UNPACKED / name
    if not target.exists():
        debian.unpack(VERSIONS[name], [_PACKAGE], target, dependencies=False)


def _jars() -> Path:
    name = os.environ.get(VARIABLE)
    if not name:
        return _INSTALLED
    fetch(name)
    return UNPACKED / name / "usr" / "share" / "java"

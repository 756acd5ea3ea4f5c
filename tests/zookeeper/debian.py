"""ZooKeeper as Debian packages it."""

import os
import shutil
import zipfile
from pathlib import Path

_JARS = Path("/usr/share/java")
_ZOOKEEPER = _JARS / "zookeeper.jar"
_POM = "META-INF/maven/org.apache.zookeeper/zookeeper/pom.properties"


def is_installed() -> bool:
    """Tell whether this machine can run servers of its own."""
    return shutil.which("java") is not None and _ZOOKEEPER.exists()


def class_path(logger: str) -> str:
    """Return what Java needs to run a server that logs through the named SLF4J jar.

    The jar's own class path lacks Netty's codec and the servlet API.
    """
    netty = sorted(jar for jar in _JARS.glob("netty-*.jar") if not jar.is_symlink())
    jars = [_ZOOKEEPER, _JARS / "servlet-api.jar", _JARS / f"{logger}.jar", *netty]
    return os.pathsep.join(map(str, jars))


def version() -> str:
    """Return the version of the packaged ZooKeeper."""
    with zipfile.ZipFile(_ZOOKEEPER) as jar:
        properties = jar.read(_POM).decode().split()
    return next(line for line in properties if line.startswith("version=")).partition("=")[2]

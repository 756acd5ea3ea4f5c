"""Real ZooKeeper servers for tests, run with Debian's package."""

from tests.zookeeper.ensemble import Ensemble
from tests.zookeeper.server import PortTakenError, StartError, ZooKeeper, reported_version

__all__ = ["Ensemble", "PortTakenError", "StartError", "ZooKeeper", "reported_version"]

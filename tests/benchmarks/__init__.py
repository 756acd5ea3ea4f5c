"""How fast clients of ZooKeeper are, measured against each other; no part of the test suite."""

"""Fixtures for tests of all kinds: servers to talk to, and a process left unpatched."""

from __future__ import annotations

import os
import signal
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import pytest

import kazoo_gevent_patch
from tests import neighbours, temporary
from tests.zookeeper import Ensemble, ZooKeeper, debian, reported_version

if TYPE_CHECKING:
    from kazoo.client import KazooClient


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # a worker of xdist's, whose folder is that of the run
        config.add_cleanup(temporary.use_own_folder())
        if not sys.stdout.isatty():
            # The last lines tell why tests failed: a log has room for that.
            config.get_terminal_writer().fullwidth = 200
    # TERM must run the fixtures' clean-up, as Ctrl-C does; and a shell that starts the run in the
    # background has set INT to be ignored, which the tests' child processes would inherit.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "ensemble" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.ensemble)
            item.add_marker(pytest.mark.slow)
    # The tests that may take longest begin first; else the other workers would wait for them.
    items.sort(key=_limit, reverse=True)


def _limit(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker else 0.0


def pytest_runtest_setup(item: pytest.Item) -> None:
    if marker := item.get_closest_marker("needs_zookeeper"):
        [oldest] = marker.args
        if _server_version() < _numbers(oldest):
            pytest.skip(f"needs ZooKeeper {oldest}")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    # Around all of the test: the time it waits for its neighbours is not its own.
    with neighbours.turn(is_alone=item.get_closest_marker("alone") is not None):
        return (yield)


@pytest.fixture(autouse=True)
def _unpatched() -> Iterator[None]:
    yield
    if kazoo_gevent_patch.is_patched():
        kazoo_gevent_patch.unpatch_all()


@pytest.fixture(scope="session")
def zookeeper_hosts() -> Iterator[str]:
    """The connect string of a server that all tests share; `ZK_HOSTS` names another one."""
    if hosts := os.environ.get("ZK_HOSTS"):
        yield hosts
        return
    with ZooKeeper() as server:
        yield server.hosts


@pytest.fixture(scope="session")
def own_servers() -> None:
    """Skip if the run uses the servers of `ZK_HOSTS`, and so cannot start one."""
    if os.environ.get("ZK_HOSTS") and not debian.is_installed():
        pytest.skip("needs a ZooKeeper of its own, and ZK_HOSTS names a shared one")


@cache
def _server_version() -> tuple[int, ...]:
    hosts = os.environ.get("ZK_HOSTS")
    return _numbers(reported_version(hosts) if hosts else debian.version())


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


@pytest.fixture
def server_version() -> tuple[int, ...]:
    """The version of the servers of `ZK_HOSTS`, or else of those that tests start."""
    return _server_version()


@pytest.fixture
def zk_server(own_servers: None) -> Iterator[ZooKeeper]:
    """A fresh standalone server, which the test may kill."""
    with ZooKeeper() as server:
        yield server


@pytest.fixture(scope="module")
def ensemble(own_servers: None) -> Iterator[Ensemble]:
    """Three servers with a leader, shared by the tests of a module."""
    with Ensemble() as servers:
        yield servers


@pytest.fixture
def chroot(zookeeper_hosts: str) -> Iterator[str]:
    """A path on the shared server that exists for this test alone."""
    path = f"/test-{uuid.uuid4()}"
    with _threaded_client(zookeeper_hosts) as client:
        client.create(path)
    yield path
    with _threaded_client(zookeeper_hosts) as client:
        client.delete(path, recursive=True)


@contextmanager
def _threaded_client(hosts: str) -> Iterator[KazooClient]:
    from kazoo.client import KazooClient
    from kazoo.handlers.threading import SequentialThreadingHandler

    # The handler is explicit so that a patch, if one is on, does not reach this client.
    client = KazooClient(hosts, handler=SequentialThreadingHandler())
    client.start()
    try:
        yield client
    finally:
        client.stop()
        client.close()

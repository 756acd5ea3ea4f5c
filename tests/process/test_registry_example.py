"""The registry example shows live workers to hundreds of readers, and frees everything."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from kazoo.client import KazooClient

from tests.process.gunicorn_server import Gunicorn
from tests.process.registry import MEMBERS, PATIENCE, Streams, kill, page, pids, serving
from tests.support import wait_until
from tests.zookeeper import ZooKeeper

STREAMS = 300
OUT_OF_DATE = "Out of date"


def _status_of(server: Gunicorn, pid: int) -> dict[str, int]:
    """Return a worker's status; whichever worker is free answers a request."""

    def ask() -> dict[str, int]:
        with urllib.request.urlopen(server.url + "status", timeout=10) as response:
            status: dict[str, int] = json.load(response)
        return status if status["pid"] == pid else {}

    return wait_until(ask, timeout=PATIENCE)


def test_hundreds_of_streams_on_one_worker_all_see_a_worker_come_and_go(
    tmp_path: Path, zookeeper_hosts: str, chroot: str
) -> None:
    """Other requests are answered meanwhile; closed streams are released."""
    hosts = zookeeper_hosts + chroot
    with serving(tmp_path, hosts, workers=1, streams=STREAMS) as server:
        (first,) = pids(page(server))
        with Streams(server, STREAMS) as streams:
            streams.wait_for_last_events(lambda event: pids(event) == {first})
            assert _status_of(server, first)["streams"] == STREAMS
            with pytest.raises(urllib.error.HTTPError, match="503"):
                urllib.request.urlopen(server.url + "events", timeout=10)

            os.kill(server.pid, signal.SIGTTIN)  # one worker more
            streams.wait_for_last_events(lambda event: len(pids(event)) == 2)
            (second,) = pids(streams.last_events()[0]) - {first}
            streams.close(STREAMS // 2)
            kill(second)
            streams.wait_for_last_events(
                lambda event: second not in pids(event) and len(pids(event)) == 2
            )
            wait_until(
                lambda: _status_of(server, first)["streams"] == STREAMS - STREAMS // 2,
                timeout=PATIENCE,
                sleep=lambda _: time.sleep(0.5),  # a connection for each question
            )
            assert server.stop() < 60
            streams.wait_for_end()
        assert "Traceback" not in server.log


def test_a_worker_that_is_told_to_stop_leaves_before_it_ends(
    tmp_path: Path, zookeeper_hosts: str, chroot: str, observer: KazooClient
) -> None:
    """Nobody has to wait for its session to expire, though a stream was open."""
    with serving(tmp_path, zookeeper_hosts + chroot, workers=2) as server:
        with Streams(server, 4) as streams:
            streams.wait_for_last_events(lambda event: len(pids(event)) == 2)
            assert len(observer.get_children(MEMBERS)) == 2
            assert server.stop() < 60
            assert not observer.get_children(MEMBERS)
            streams.wait_for_end()
        assert "Traceback" not in server.log


def test_ctrl_c_ends_the_workers_without_a_traceback(
    tmp_path: Path, zookeeper_hosts: str, chroot: str, observer: KazooClient
) -> None:
    """They leave before they end, as when they are told to stop."""
    with serving(tmp_path, zookeeper_hosts + chroot, workers=2) as server:
        with Streams(server, 4) as streams:
            streams.wait_for_last_events(lambda event: len(pids(event)) == 2)
            server.interrupt()
            assert not observer.get_children(MEMBERS)
            streams.wait_for_end()
        assert "Traceback" not in server.log


def test_the_page_is_whole_without_a_script(
    tmp_path: Path, zookeeper_hosts: str, chroot: str
) -> None:
    """It names every worker and the leader, and asks nobody else for anything."""
    with serving(tmp_path, zookeeper_hosts + chroot, workers=2) as server:
        html = wait_until(
            # Each worker sees the other in its own time.
            lambda: text if len(pids(text := page(server))) == 2 else "",
            timeout=PATIENCE,
        )
        with urllib.request.urlopen(server.url, timeout=10) as response:
            policy = response.headers["Content-Security-Policy"]
        assert html.count("leader</span>") == 1
        assert "<noscript>" in html
        assert "://" not in html
        assert policy.startswith("default-src 'none'")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(server.url + "static/../application.py", timeout=10)


def test_a_page_says_so_while_there_is_no_zookeeper(tmp_path: Path, zk_server: ZooKeeper) -> None:
    """It is served meanwhile, and whole again by itself when there is one."""
    zk_server.stop()
    with serving(tmp_path, zk_server.hosts, workers=1, registered=0) as server:
        assert OUT_OF_DATE in page(server)
        with Streams(server, 1) as streams:
            streams.wait_for_last_events(lambda event: OUT_OF_DATE in event)
            zk_server.start()
            streams.wait_for_last_events(
                lambda event: OUT_OF_DATE not in event and len(pids(event)) == 1
            )
            zk_server.kill()
            streams.wait_for_last_events(lambda event: OUT_OF_DATE in event)
            assert len(pids(page(server))) == 1


def test_whatever_a_node_holds_the_list_goes_on(
    tmp_path: Path, zookeeper_hosts: str, chroot: str, observer: KazooClient
) -> None:
    """A node that names no worker is left out, and nothing of a node is taken for HTML."""
    strangers = [
        b"",
        b"no JSON",
        b"[" * 100_000,
        b"{}",
        b'["host", "pid"]',
        b'{"host": "h", "pid": "<i>pid"}',
        b'{"host": "<i>host", "pid": 0, "more": 1}',
    ]
    with serving(tmp_path, zookeeper_hosts + chroot, workers=1) as server:
        for number, data in enumerate(strangers):
            observer.create(f"{MEMBERS}/<i>{number}", data)
        os.kill(server.pid, signal.SIGTTIN)  # one worker more
        html = wait_until(
            lambda: text if len(pids(text := page(server)) - {0}) == 2 else "",
            timeout=PATIENCE,
            message=lambda: server.log,
        )
        assert pids(html) > {0}
        assert "&lt;i&gt;host" in html
        assert "<i>" not in html
        assert "Traceback" not in server.log


def test_requests_that_are_sent_by_half_do_not_silence_a_worker(
    tmp_path: Path, zookeeper_hosts: str, chroot: str
) -> None:
    """They had all its places; they lose them, and whoever sends a whole request is answered."""
    places = 20
    with (
        serving(tmp_path, zookeeper_hosts + chroot, workers=1, connections=places) as server,
        ExitStack() as stack,
    ):
        url = urlsplit(server.url)
        halves = [socket.create_connection((url.hostname, url.port or 0)) for _ in range(places)]
        for half in halves:
            stack.enter_context(half)
            half.sendall(b"GET / HTTP/1.1\r\nHost: test\r\nX-Half: ")
        assert len(pids(page(server))) == 1
        for half in halves:
            half.settimeout(PATIENCE)
            assert half.recv(1) == b""

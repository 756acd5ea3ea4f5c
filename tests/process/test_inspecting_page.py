"""The programs on the page "Look inside a running program" do what it says, as they stand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import gevent
import pytest
from kazoo.client import KazooClient

from kazoo_gevent_patch import inventory, patch_all, status
from kazoo_gevent_patch.inspection import records
from kazoo_gevent_patch.weak import IdentitySet
from tests.support import ROOT, wait_until

PAGE: Final = (ROOT / "docs" / "inspecting.md").read_text()
SAMPLE: Final = re.compile(r'(kazoo_client_\w+)\{pid="(\d+)",client="(\d+)",built="(.*)"\} (\d+)')

Application = Callable[[dict[str, Any], Callable[..., object]], list[bytes]]


def program_below(heading: str) -> str:
    """Return the first program of Python below a heading."""
    match = re.search(rf"^#+ {heading}\n.*?^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert match, heading
    return match[1]


def application(heading: str, name: str) -> Callable[[], tuple[str, str]]:
    """Run a program; return what calls its application, and returns its status and its text."""
    names: dict[str, Any] = {}
    exec(program_below(heading), names)

    def call() -> tuple[str, str]:
        told: list[str] = []
        body = names[name]({}, lambda status, headers: told.append(status))
        return told[0], b"".join(body).decode()

    return call


@pytest.mark.parametrize("heading", ["For Prometheus", "For a health check"])
def test_it_is_ten_lines_long(heading: str) -> None:
    """Without the imports."""
    lines = program_below(heading).splitlines()
    assert len([line for line in lines if line and "import" not in line]) <= 10


@pytest.fixture(autouse=True)
def _no_other_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the clients that other tests have left in this process."""
    monkeypatch.setattr(inventory, "live", IdentitySet())
    monkeypatch.setattr(inventory, "find", list)


@pytest.fixture
def client(zookeeper_hosts: str) -> Iterator[KazooClient]:
    """Give a started client on our handler."""
    patch_all()
    client = KazooClient(zookeeper_hosts, timeout=30.0)
    client.start()
    yield client
    client.stop()
    client.close()


def test_prometheus_gets_the_figures_of_each_client(client: KazooClient) -> None:
    """In its text format, each series once."""
    results = [client.get_async("/") for _ in range(3)]
    code, text = application("For Prometheus", "metrics")()
    assert code == "200 OK"
    assert text.endswith("\n")
    samples = [SAMPLE.fullmatch(line) for line in text.splitlines()]
    assert all(samples)
    found = [match.groups() for match in samples if match]
    assert len({series[:3] for series in found}) == len(found) == 5 * len(status().clients)
    assert ("kazoo_client_waiting", "3") in {(series[0], series[4]) for series in found}
    assert ("kazoo_client_connected", "1") in {(series[0], series[4]) for series in found}
    for result in results:
        result.get()


def test_the_health_check_is_well_while_all_clients_are_connected(client: KazooClient) -> None:
    """One that was stopped is none of its business; one that is away, or stuck, is."""
    health = application("For a health check", "health")
    assert health() == ("200 OK", "ok\n")
    away = KazooClient("127.0.0.1:1")
    away.start_async()
    assert health() == ("503 Service Unavailable", "0 stuck, 1 away\n")
    away.stop()
    assert health() == ("200 OK", "ok\n")
    go_on = gevent.event.Event()
    client.get_async("/").rawlink(lambda result: go_on.wait())
    wait_until(client.handler.completion_queue.is_busy, sleep=gevent.sleep)
    assert health() == ("200 OK", "ok\n")
    client.handler.completion_queue._began -= 61  # as if that time had passed
    assert health() == ("503 Service Unavailable", "1 stuck, 0 away\n")
    go_on.set()


def test_the_page_shows_the_text_as_it_is() -> None:
    """The client on the page is told in these words."""
    client = records.ClientStatus(
        name="KazooClient",
        built="/srv/app.py:9",
        handler="",
        hosts="",
        running=True,
        state="CONNECTED",
        session="0x100017661670001",
        server="10.0.0.7:2181",
        timeout=10.0,
        in_flight=3,
        watches=7,
        stalls=2,
        lost_sessions=1,
        callbacks={"watch": records.CallbackStatus(5, "app.on_change", 12.34)},
        locks_held=("/leader",),
        locks_awaited=("/jobs/lock",),
    )
    assert f"  {client}\n" in PAGE
    json.dumps(status().as_dict())

"""What ``status()`` tells: on one screen, at length, and as plain data."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from kazoo_gevent_patch import inventory, patch_all, status, unpatch_all
from kazoo_gevent_patch.inspection.records import CallbackStatus, ClientStatus
from kazoo_gevent_patch.patching.status import SHOWN, Status
from kazoo_gevent_patch.patching.table import PATCHES
from kazoo_gevent_patch.weak import IdentitySet

SCREEN = 24
"""Lines of a terminal."""

BUSY = ClientStatus(
    name="KazooClient",
    built="/srv/app.py:12",
    handler="kazoo_gevent_patch.handler.sequential.SequentialGeventHandler",
    hosts="zk1:2181,zk2:2181",
    running=True,
    state="CONNECTED",
    session="0x100010d0ae50003",
    server="10.0.0.1:2181",
    timeout=10.0,
    in_flight=3,
    waiting=2,
    watches=7,
    locks_held=("/leader", "/lock"),
    locks_awaited=("/other",),
    callbacks={
        "watch": CallbackStatus(5, "app.on_change", 12.34),
        "completion": CallbackStatus(0, "", 0.0),
    },
    stalls=4,
    lost_sessions=1,
)
IDLE = replace(
    BUSY, in_flight=0, waiting=0, locks_held=(), locks_awaited=(), callbacks={}, stalls=0
)


@pytest.fixture(autouse=True)
def _no_other_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the clients that other tests have left in this process."""
    monkeypatch.setattr(inventory, "live", IdentitySet())
    monkeypatch.setattr(inventory, "find", list)


def with_clients(*clients: ClientStatus, verbose: bool = False) -> Status:
    return replace(status(), clients=clients, handlers={}, verbose=verbose)


def test_a_client_has_a_line_and_what_it_does_below() -> None:
    """All that is asked of it in an incident."""
    assert str(BUSY) == (
        "KazooClient (/srv/app.py:12) CONNECTED 0x100010d0ae50003 at 10.0.0.1:2181, time-out 10 s\n"
        "    3 requests in flight, 2 waiting, 7 watches, 4 stalls, 1 sessions lost\n"
        "    watch callbacks: app.on_change runs for 12.3 s, 5 queued\n"
        "    holds /leader, /lock\n"
        "    waits for /other"
    )


def test_a_client_without_a_connection_names_the_servers_that_it_tries() -> None:
    """And one that was stopped says so."""
    away = replace(IDLE, state="SUSPENDED", server="")
    assert "SUSPENDED zk1:2181,zk2:2181, time-out" in str(away)
    stopped = replace(away, state="LOST", running=False)
    assert "LOST, not running zk1:2181,zk2:2181, time-out" in str(stopped)


def test_it_fits_on_one_screen_with_many_clients() -> None:
    """Those that may be in trouble come first; the text says how to see the others."""
    away = replace(IDLE, state="SUSPENDED", server="", built="/srv/away.py:1")
    now = with_clients(*[IDLE] * 20, BUSY, away)
    lines = str(now).splitlines()
    assert len(lines) <= SCREEN
    first, second = [line for line in lines if line.startswith("  KazooClient")][:2]
    assert "away.py" in first
    assert "0x100010d0ae50003" in second
    assert "app.on_change runs for 12.3 s" in str(now)
    assert (
        lines[-1]
        == f"  {22 - SHOWN} more clients are in status(verbose=True), and in inspect --json"
    )
    assert str(replace(now, verbose=True)).count("  KazooClient (") == 22


def test_the_changes_are_counted_and_only_the_verbose_text_names_them() -> None:
    """One that is missing is named always."""
    patch_all()
    assert f"\n  applied     {len(PATCHES)} changes\n" in str(status())
    assert str(status(verbose=True)).count("\n  applied     kazoo.") == len(PATCHES)
    missing = replace(status(), left_alone={"kazoo.client.KazooClient.stop": "covered"})
    assert "  left alone  kazoo.client.KazooClient.stop: covered" in str(missing)
    armed = replace(status(), applied=(), armed=("kazoo.client.KazooClient.stop",))
    assert "  armed       1 changes, until kazoo is imported" in str(armed)


def test_it_tells_since_when_it_is_on_or_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the call that made the difference; another call makes none."""
    now = [1000.0]
    monkeypatch.setattr("time.time", lambda: now[0])
    patch_all()
    assert status().since == 1000
    now[0] = 2000
    patch_all(fork="stop")
    assert (status().patched, status().since) == (True, 1000)
    unpatch_all()
    assert (status().patched, status().since) == (False, 2000)
    now[0] = 3000
    unpatch_all()
    assert status().since == 2000
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(2000))
    assert str(status()).startswith(f"kazoo_gevent_patch is off since {moment}\n")


def test_plain_data_is_what_json_takes() -> None:
    """With everything in it, and nothing of ours."""
    patch_all()
    client = KazooClient("127.0.0.1:1")
    data = json.loads(json.dumps(status().as_dict()))
    assert data["patched"] is True
    assert data["options"] == {
        "replace_explicit": False,
        "fork": "reconnect",
        "keep_sessions": True,
    }
    assert len(data["applied"]) == len(PATCHES)
    assert "verbose" not in data
    (found,) = data["clients"]
    assert found["built"].startswith(f"{__file__}:")
    assert (found["state"], found["running"], found["session"]) == ("LOST", False, "")
    assert (found["timeout"], found["in_flight"], found["watches"]) == (10.0, 0, 0)
    assert client.handler is not None


def test_a_client_is_told_where_the_program_builds_it() -> None:
    """A derived class of the program's own counts as the program."""

    class Derived(KazooClient):  # type: ignore[misc]
        pass

    patch_all()
    client = Derived()
    (found,) = status().clients
    path, _, line = found.built.rpartition(":")
    assert path == __file__
    assert "client = Derived()" in Path(path).read_text().splitlines()[int(line) - 1]
    assert type(client) is Derived

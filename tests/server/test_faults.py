"""Nothing acknowledged is lost, whatever is broken; kazoo's default handler is the yardstick."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from tests.soak import engine, faults, paths, report
from tests.soak.checks import DOCUMENTED, Evidence, violations
from tests.soak.transactions import Life, lives, merged
from tests.zookeeper import ZooKeeper

pytestmark = pytest.mark.usefixtures("own_servers")

SEED = 20
MINUTES = 3.0


def assert_sound(evidence: Evidence) -> None:
    """Fail with the whole report if anything does not hold."""
    broken = violations(evidence)
    assert not broken, report.text(evidence, broken)


def names(history_of: Sequence[object]) -> set[str]:
    """Return the names of the faults that there were."""
    return {str(getattr(fault, "name", "")) for fault in history_of}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_nothing_is_lost_when_a_leader_dies_a_server_stops_and_connections_are_reset() -> None:
    """The short run: one kill of the leader, one pause, one reset."""
    chosen = (faults.kill_leader, faults.pause_leader_briefly, faults.reset_connections)
    evidence = engine.run(engine.Plan("ours", SEED, chosen))
    assert_sound(evidence)
    assert names(evidence.history.faults) == {fault.__name__ for fault in chosen}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_nothing_is_lost_in_minutes_of_every_fault() -> None:
    """The long run; callers see what kazoo documents or shows on its default handler, no more.

    A rare class of error can be missing from the yardstick by chance. So those that kazoo
    documents for a lost connection or session are allowed anyhow.
    """
    yardstick = engine.run(engine.Plan("default", SEED, seconds=MINUTES * 60))
    seen = set(yardstick.history.errors())
    evidence = engine.run(engine.Plan("ours", SEED, seconds=MINUTES * 60), DOCUMENTED | seen)
    assert_sound(evidence)
    assert names(evidence.history.faults) == {fault.__name__ for fault in faults.FAULTS}


@pytest.mark.needs_zookeeper("3.5.1")  # the first that knows include_data
def test_the_servers_own_account_is_read(zk_server: ZooKeeper) -> None:
    """Creates and deletes, in a transaction or not, and what ended with its session."""
    locks = paths.LOCKS
    client = KazooClient(zk_server.hosts)
    client.start()
    session, _ = client.client_id
    client.create(f"{locks}/kept", b"data", makepath=True)
    client.create(f"{locks}/deleted", b"1", include_data=True)
    client.delete(f"{locks}/deleted")
    transaction = client.transaction()
    transaction.create(f"{locks}/both", b"2")
    transaction.delete(f"{locks}/both")
    transaction.commit()
    client.create(f"{locks}/ephemeral", b"3", ephemeral=True)
    client.create("/elsewhere")
    client.stop()
    client.close()
    zk_server.stop()
    found = lives(merged(zk_server.transaction_logs(), paths.is_guard))
    by_name = {Path(life.path).name: life for life in found}
    assert set(by_name) == {"kept", "deleted", "both", "ephemeral"}
    assert {life.session for life in found} == {session}
    assert {name: life.data for name, life in by_name.items()} == {
        "kept": b"data",
        "deleted": b"1",
        "both": b"2",
        "ephemeral": b"3",
    }
    assert ends(by_name["kept"]) == (False, False)
    assert ends(by_name["deleted"]) == (True, False)
    assert by_name["both"].deleted == by_name["both"].created
    assert ends(by_name["ephemeral"]) == (True, True)
    assert by_name["kept"].created < by_name["deleted"].created < by_name["ephemeral"].created


def ends(life: Life) -> tuple[bool, bool]:
    """Return whether the node has gone, and whether that was because its session had."""
    return life.deleted is not None, life.with_session

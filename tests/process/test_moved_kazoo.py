"""A kazoo in which something has moved is refused whole, by name, and works as without us."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.process.moved_kazoo import ORDERS, Meeting, Move, copy_with, meet, moves

SAMPLE = (
    "kazoo.recipe.lock.Lock: _acquire_method_lock|_lock",
    "kazoo.protocol.connection.ConnectionHandler: _connection_routine",
    "kazoo.protocol.connection.ConnectionHandler: _read_sock",
    "kazoo.client.KazooClient: _queue",
    "kazoo.client.KazooClient: _live",
    "kazoo.client.KazooClient: _stopped",
    "kazoo.client.KazooClient: __weakref__",
    "kazoo.client.KazooClient._call",
    "kazoo.protocol.connection.ConnectionHandler",
    "kazoo.protocol.connection.ConnectionHandler._expand_client_hosts",
    "kazoo.handlers.utils: create_tcp_connection",
    "kazoo.retry.KazooRetry.__init__.__defaults__",
    "kazoo.recipe.queue.LockingQueue._inner_get: canceled",
    "a module",
    "a class",
)
"""What moved here once gave clients that hang, or die, or locks that nobody gets."""


def go_wrong(chosen: list[Move], hosts: str, folder: Path, timeout: float) -> list[str]:
    """Return what goes wrong when programs meet the copies, in both orders of import."""
    meetings = []
    for number, move in enumerate(chosen):
        copy = copy_with(move, folder / str(number))
        meetings += [Meeting(move.what, move.named, str(copy), order) for order in ORDERS]
    return meet(meetings, hosts, folder, timeout)


def test_a_misfit_leaves_nothing_patched(zookeeper_hosts: str, tmp_path: Path) -> None:
    """One clear error, kazoo untouched, KazooClient() on threads and working, in both orders."""
    chosen = [move for move in moves() if move.what in SAMPLE]
    assert {move.what for move in chosen} == set(SAMPLE)
    assert not go_wrong(chosen, zookeeper_hosts, tmp_path, timeout=110)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_name_that_is_leaned_on_is_missed(zookeeper_hosts: str, tmp_path: Path) -> None:
    """The same for each name of the contract and each row of the patch table."""
    wrong = go_wrong(moves(), zookeeper_hosts, tmp_path, timeout=540)
    assert not wrong, "\n".join(wrong)

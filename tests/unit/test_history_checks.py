"""Each check of a run fails on a history in which what it checks does not hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.soak.checks import CHECKS, DOCUMENTED, KINDS, Evidence, Remains, violations
from tests.soak.history import (
    ACKNOWLEDGED,
    FAILED,
    UNKNOWN,
    Fault,
    Held,
    History,
    Hung,
    Invoked,
    Returned,
    State,
    Stray,
)
from tests.soak.transactions import Change, Life, Transaction, lives

LOCK = "/locks/a/{}__lock__{:010}"
FIRST, SECOND = LOCK.format("x", 1), LOCK.format("y", 2)
ITEM = "/queue/taken/entry-100-0000000001"


def did(
    evidence: Evidence, kind: str, key: str, outcome: str | None = ACKNOWLEDGED, error: str = ""
) -> None:
    """Add an operation; one without an outcome has not returned."""
    history = evidence.history
    number = len(history.invoked)
    history.invoked.append(Invoked(number, "w01", 0, kind, key, float(number)))
    if outcome is not None:
        history.returned[number] = Returned(number, outcome, error, number + 0.5)


@pytest.fixture
def good() -> Evidence:
    """Give the evidence of a run in which all went well, with two holders in turn."""
    history = History(
        held=[
            Held("w01", FIRST, "one", 11, 15, alone=True),
            Held("w02", SECOND, "two", 20, 25, alone=True),
            Held("w01", ITEM, "me", 30, 31, alone=False),
        ],
        states=[
            State(0, "CONNECTED", 0.0),
            State(0, "SUSPENDED", 99.0),
            State(0, "CONNECTED", 103),
        ],
        faults=[Fault("kill_leader", 98.0, 100.0)],
    )
    guards = [
        Life(FIRST, b"one", 1, 10, 20),
        Life(SECOND, b"two", 2, 12, 26),
        Life(ITEM, b"me", 1, 29, 32),
    ]
    remains = Remains({"/c/1", "/c/2"}, {"/n": 2}, {"kept"})
    evidence = Evidence(history, remains, guards, 4.0, DOCUMENTED)
    for kind, key in (
        ("create", "/c/1"),
        ("increment", "/n"),
        ("lead", "/l"),
        ("watch", "/w"),
        ("publish", "/s"),
    ):
        did(evidence, kind, key)
    did(evidence, "create", "/c/2", UNKNOWN, "ConnectionLoss")
    did(evidence, "increment", "/n", UNKNOWN, "ConnectionLoss")
    did(evidence, "increment", "/n", FAILED, "LockTimeout")
    for item in ("kept", "consumed"):
        did(evidence, "put", item)
    did(evidence, "take", "consumed")
    return evidence


def broken(evidence: Evidence) -> list[str]:
    return list(violations(evidence))


def guards(evidence: Evidence, *changed: Life) -> Evidence:
    """Replace the lives of the same paths."""
    paths = {life.path for life in changed}
    return replace(
        evidence, lives=[*(life for life in evidence.lives if life.path not in paths), *changed]
    )


def test_a_good_history_passes_every_check(good: Evidence) -> None:
    """Unknown outcomes count either way."""
    assert violations(good) == {}
    remains = replace(good.remains, created={"/c/1"}, counters={"/n": 1})
    assert violations(replace(good, remains=remains)) == {}


@pytest.mark.parametrize(
    "created",
    [{"/c/2"}, {"/c/1", "/c/2", "/c/3"}],
    ids=["an acknowledged node is lost", "a node is there that nobody created"],
)
def test_creates(good: Evidence, created: set[str]) -> None:
    """A lost create is found, and so is one that was not asked for."""
    assert broken(replace(good, remains=replace(good.remains, created=created))) == ["creates"]


def test_a_create_that_failed_must_not_be_there(good: Evidence) -> None:
    """Failed means: without effect."""
    did(good, "create", "/c/3", FAILED, "NoNodeError")
    remains = replace(good.remains, created={"/c/1", "/c/2", "/c/3"})
    assert broken(replace(good, remains=remains)) == ["creates"]


@pytest.mark.parametrize("value", [0, 3])
def test_a_counter_that_is_off_by_one(good: Evidence, value: int) -> None:
    """One acknowledged increment and one unknown one allow 1 and 2."""
    assert broken(replace(good, remains=replace(good.remains, counters={"/n": value}))) == [
        "counters"
    ]


@pytest.mark.parametrize(
    "queued", [set(), {"kept", "foreign"}], ids=["lost", "nobody has put it there"]
)
def test_items(good: Evidence, queued: set[str]) -> None:
    """A lost item is found, and so is one from nowhere."""
    assert broken(replace(good, remains=replace(good.remains, queued=queued))) == ["items"]


def test_an_item_whose_consumption_failed_must_still_be_there(good: Evidence) -> None:
    """Only the worker that consumed it may have removed it."""
    did(good, "put", "other")
    did(good, "take", "other", FAILED, "NoNodeError")
    assert broken(good) == ["items"]


@pytest.mark.parametrize("deleted", [21, None])
def test_two_holders_of_one_lock(good: Evidence, deleted: int | None) -> None:
    """The second one believes that it holds the lock while the first one's guard is there."""
    assert broken(guards(good, Life(FIRST, b"one", 1, 10, deleted))) == ["holders"]


def test_two_holders_of_one_lock_though_the_first_session_ended_later(good: Evidence) -> None:
    """A session that ends after the second began to hold was alive when it did."""
    assert broken(guards(good, Life(FIRST, b"one", 1, 10, 21, with_session=True))) == ["holders"]


@pytest.mark.parametrize(("path", "token"), [(FIRST, b"one"), (ITEM, b"me")])
def test_a_guard_that_was_deleted_under_its_holder(good: Evidence, path: str, token: bytes) -> None:
    """The next client in line can hold the lock too."""
    held = next(held for held in good.history.held if held.guard == path)
    assert broken(guards(good, Life(path, token, 1, 9, held.last))) == ["holders"]


def test_a_holder_whose_session_ended_is_excused(good: Evidence) -> None:
    """It could not know; the next one may hold the lock."""
    expired = Life(FIRST, b"one", 1, 10, 13, with_session=True)
    assert violations(guards(good, expired)) == {}


@pytest.mark.parametrize("path", [FIRST, ITEM])
def test_a_holder_without_a_guard(good: Evidence, path: str) -> None:
    """A guard of that path with another's token is another's."""
    other = Life(path, b"somebody else", 3, 9, 10)
    assert broken(guards(good, other)) == ["holders"]


def test_an_item_at_two_holders(good: Evidence) -> None:
    """A guard made again by another, while the first one holds, belongs to the other."""
    good.history.held.append(Held("w02", ITEM, "you", 31, 33, alone=False))
    both = (Life(ITEM, b"me", 1, 29, 31), Life(ITEM, b"you", 2, 31, 34))
    assert broken(guards(good, *both)) == ["holders"]


@pytest.mark.parametrize("path", [FIRST, ITEM])
def test_a_guard_of_an_earlier_session(good: Evidence, path: str) -> None:
    """It is nobody's, though it is there: it ends with that session."""
    held = good.history.held
    held[:] = [replace(one, session=2 if one.guard == path else 0) for one in held]
    assert broken(good) == ["sessions"]
    held[:] = [replace(one, session=1 if one.guard == path else 0) for one in held]
    assert broken(good) == []


def test_a_hanging_worker(good: Evidence) -> None:
    """A worker that has not ended is found."""
    good.history.hung.append(Hung("w01", "its stack"))
    assert broken(good) == ["hanging"]


def test_an_operation_that_has_not_returned(good: Evidence) -> None:
    """An operation without an end is found, whatever became of its worker."""
    did(good, "watch", "/w", None)
    assert broken(good) == ["hanging"]


@pytest.mark.parametrize("time", [None, 109.1])
def test_a_client_that_does_not_come_back(good: Evidence, time: float | None) -> None:
    """One session time-out and 5 s after the last fault it is too late."""
    good.history.states.append(State(0, "SUSPENDED", 104.0))
    if time is not None:
        good.history.states.append(State(0, "CONNECTED", time))
    assert broken(good) == ["connections"]


@pytest.mark.parametrize("kind", ["watch", "converge"])
def test_a_watch_that_misses_a_change(good: Evidence, kind: str) -> None:
    """A change that was acknowledged fires the watch on it."""
    did(good, kind, "/w", FAILED)
    assert broken(good) == ["watches"]


def test_an_error_that_nobody_documents(good: Evidence) -> None:
    """A caller must not see it, unless the yardstick has shown it."""
    did(good, "get", "/queue", UNKNOWN, "LoopExit")
    assert broken(good) == ["errors"]
    assert broken(replace(good, allowed={*DOCUMENTED, "LoopExit"})) == []


def test_an_error_that_goes_astray(good: Evidence) -> None:
    """One that no caller sees counts as well."""
    good.history.strays.append(Stray("log", "AttributeError"))
    assert broken(good) == ["errors"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_operation_that_never_succeeded(good: Evidence, kind: str) -> None:
    """A run in which it did says nothing about it."""
    for operation in good.history.invoked:
        if operation.kind == kind:
            failed = Returned(operation.number, UNKNOWN, "ConnectionLoss", 1.0)
            good.history.returned[operation.number] = failed
    assert "activity" in broken(good)


@pytest.mark.parametrize(
    "forget",
    [lambda history: history.faults.clear(), lambda history: history.held.pop()],
    ids=["nothing was broken", "no item was held"],
)
def test_a_run_that_shows_nothing(good: Evidence, forget: Callable[[History], object]) -> None:
    """Without a fault, or a holder, the other checks hold by themselves."""
    forget(good.history)
    assert "activity" in broken(good)


def test_every_check_is_tested_here(good: Evidence) -> None:
    """The tests above name each of them."""
    from pathlib import Path

    source = Path(__file__).read_text()
    assert [check.__name__ for check in CHECKS if f'"{check.__name__}"' not in source] == []


def test_a_node_ends_by_a_delete_or_with_its_session() -> None:
    """Nodes of one path that follow each other are told apart."""
    transactions = [
        Transaction(1, 7, False, (Change("/a", b"x", True), Change("/b", b"y", True))),
        Transaction(2, 8, False, (Change("/a", None),)),
        Transaction(3, 8, False, (Change("/a", b"z", True), Change("/c", b"-"))),
        Transaction(4, 7, True, ()),
        Transaction(5, 8, True, ()),
    ]
    assert lives(transactions) == [
        Life("/a", b"x", 7, 1, 2),
        Life("/b", b"y", 7, 1, 4, with_session=True),
        Life("/a", b"z", 8, 3, 5, with_session=True),
        Life("/c", b"-", 8, 3),
    ]


def test_a_create_that_a_dead_leader_proposed_ends_with_the_next_of_the_same_path() -> None:
    """The logs keep it, though nobody was told of it; the session that asked for it goes on."""
    found = lives(
        [
            Transaction(1, 100, False, (Change("/taken", b"abandoned", True),)),
            Transaction(2, 200, False, (Change("/taken", b"real", True),)),
            Transaction(3, 200, False, (Change("/taken", None),)),
            Transaction(4, 100, True, ()),
        ]
    )
    assert found == [
        Life("/taken", b"abandoned", 100, 1, deleted=2),
        Life("/taken", b"real", 200, 2, deleted=3),
    ]

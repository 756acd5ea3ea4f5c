"""What must be true of a run, whatever faults it had. Each check lists what is not true."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

from tests.soak.history import ACKNOWLEDGED, FAILED, UNKNOWN, XIDS_DO_NOT_MATCH, Held, History
from tests.soak.transactions import Life

DOCUMENTED: Final = frozenset(
    {
        # What kazoo documents for a lost connection or session, and for retries that gave up.
        "ConnectionClosedError",
        "ConnectionLoss",
        "KazooTimeoutError",
        "OperationTimeoutError",
        "RetryFailedError",
        "SessionExpiredError",
        # A lock that was not free in time, a fenced write, a lock that went with its session.
        "BadVersionError",
        "LockTimeout",
        "NoNodeError",
        # Seen once in an hour of faults, when a server that was cut off in one direction came back:
        # a reply was missing. kazoo gives the client up over that (its issue 254).
        XIDS_DO_NOT_MATCH,
    }
)
"""The errors that a caller has to expect."""

KINDS: Final = ("create", "increment", "lead", "put", "take", "watch", "publish")
"""The kinds of operations of which a run must have done some."""

RECONNECT_MARGIN: Final = 5.0
"""Seconds beyond a session time-out until every client must be connected again."""


@dataclass(frozen=True)
class Remains:
    """What the servers have at the end of a run."""

    created: Collection[str]
    counters: Mapping[str, int]
    queued: Collection[str]


@dataclass(frozen=True)
class Evidence:
    """All that is known of a run."""

    history: History
    remains: Remains
    lives: Sequence[Life]
    """The lives of the nodes that make a client a holder, from the servers' own logs."""
    session_timeout: float
    allowed: Collection[str]
    """The classes of errors that may be seen."""


def creates(evidence: Evidence) -> Iterator[str]:
    """Every acknowledged create is there, and no create that failed or was not asked for."""
    acknowledged = set(evidence.history.keys("create", ACKNOWLEDGED))
    possible = acknowledged | set(evidence.history.keys("create", UNKNOWN))
    for path in sorted(acknowledged - set(evidence.remains.created)):
        yield f"the create of {path} was acknowledged, and it is not there"
    for path in sorted(set(evidence.remains.created) - possible):
        yield f"{path} is there, and its create failed or was never asked for"


def counters(evidence: Evidence) -> Iterator[str]:
    """A counter has all acknowledged increments, and besides at most those of unknown outcome."""
    acknowledged = Counter(evidence.history.keys("increment", ACKNOWLEDGED))
    unknown = Counter(evidence.history.keys("increment", UNKNOWN))
    for path in sorted({*acknowledged, *unknown, *evidence.remains.counters}):
        least = acknowledged[path]
        most = least + unknown[path]
        value = evidence.remains.counters.get(path, 0)
        if not least <= value <= most:
            yield f"{path} is {value}; the increments allow {least} to {most}"


def items(evidence: Evidence) -> Iterator[str]:
    """An item whose put was acknowledged is in the queue, or was consumed."""
    history = evidence.history
    there = set(evidence.remains.queued)
    put = set(history.keys("put", ACKNOWLEDGED))
    consumed = set(history.keys("take", ACKNOWLEDGED, UNKNOWN))
    for item in sorted(put - there - consumed):
        yield f"the item {item} is not in the queue, and nobody has consumed it"
    for item in sorted((there | consumed) - put - set(history.keys("put", UNKNOWN)) - {""}):
        yield f"the item {item} was in the queue, and its put failed or was never asked for"


def holders(evidence: Evidence) -> Iterator[str]:
    """No two holders of a lock believed in it at the same time, with both their sessions alive.

    Clocks cannot prove it, because one of the two processes may stand still. The order of
    transactions can. A holder believed in the lock from the transaction `first`, the last that
    its client had seen, to `last`, its last write before the release. Two things suffice: its
    node (the guard) existed all that time, and the guards of earlier holders, which are lower,
    were gone by `first`, because they do not come back.
    The end of a session is a transaction too, which ends the session's guards. It excuses a
    holder from then on: the holder could not know, and no longer has its session.
    """
    history = evidence.history
    tokens = {(held.guard, held.token) for held in history.held}
    guards: dict[tuple[str, str], Life] = {}
    for life in sorted(evidence.lives, key=lambda life: life.created):
        name = life.path, life.data.decode()
        if name in tokens:  # where a holder made its guard again, it believes in the last one
            guards[name] = life
    free_since = _free_since(guards.values())
    for held in history.held:
        guard = guards.get((held.guard, held.token))
        if guard is None:
            yield f"{_who(held)}, and its guard has never been there"
            continue
        if guard.with_session and guard.is_over(held.first):
            continue
        if not guard.with_session and guard.is_over(held.last):
            yield f"{_who(held)}, and its guard had been deleted at {guard.deleted:#x}"
        if held.alone and free_since[guard] > held.first:
            yield f"{_who(held)}, and somebody else's guard was there until {free_since[guard]}"


def sessions(evidence: Evidence) -> Iterator[str]:
    """Every holder's guard belongs to the session that its client had when it became the holder.

    If it belongs to an earlier one, it ends with that, and the client hears nothing of it.
    """
    owners = {(life.path, life.data.decode()): life.session for life in evidence.lives}
    for held in evidence.history.held:
        owner = owners.get((held.guard, held.token), held.session)
        if held.session and owner != held.session:
            yield f"{_who(held)}, in {held.session:#x}, and its guard is of {owner:#x}"


def _free_since(guards: Iterable[Life]) -> dict[Life, float]:
    """Return for each guard the transaction that ended the last of its lower siblings."""
    siblings: defaultdict[str, list[Life]] = defaultdict(list)
    for guard in guards:
        siblings[guard.path.rpartition("/")[0]].append(guard)
    found: dict[Life, float] = {}
    for family in siblings.values():
        latest = 0.0
        for guard in sorted(family, key=lambda guard: guard.path[-10:]):  # the sequence number
            found[guard] = latest
            latest = max(latest, inf if guard.deleted is None else guard.deleted)
    return found


def _who(held: Held) -> str:
    return f"{held.worker} held {held.guard} from {held.first:#x} to {held.last:#x}"


def hanging(evidence: Evidence) -> Iterator[str]:
    """Every worker has ended, and every operation has returned."""
    history = evidence.history
    for hung in history.hung:
        yield f"{hung.worker} has not ended:\n{hung.stack}"
    for operation in history.invoked:
        if operation.number not in history.returned:
            yield f"{operation.worker}'s {operation.kind} of {operation.key} has not returned"


def connections(evidence: Evidence) -> Iterator[str]:
    """Every client is connected one session time-out and a margin after the last fault."""
    history = evidence.history
    limit = evidence.session_timeout + RECONNECT_MARGIN
    deadline = max((fault.ended for fault in history.faults), default=0.0) + limit
    for client in sorted({record.client for record in history.states}):
        states = [record for record in history.states if record.client == client]
        state = [record.state for record in states if record.time <= deadline][-1:]
        if state != ["CONNECTED"]:
            yield f"client {client} was not connected {limit:g} s after the last fault: {state}"


def watches(evidence: Evidence) -> Iterator[str]:
    """Every watch whose change was acknowledged has fired, and each watcher saw the last change."""
    for kind in ("watch", "converge"):
        for key in evidence.history.keys(kind, FAILED):
            yield f"{kind}: the watch on {key} missed a change"


def errors(evidence: Evidence) -> Iterator[str]:
    """Only allowed classes of errors were seen, by callers or elsewhere."""
    for name, times in sorted(evidence.history.errors().items()):
        if name not in evidence.allowed:
            yield f"{name} was seen {times} times"


def activity(evidence: Evidence) -> Iterator[str]:
    """The run did every kind of operation and held locks; if not, the other checks say nothing."""
    history = evidence.history
    for kind in KINDS:
        if not history.keys(kind, ACKNOWLEDGED):
            yield f"no {kind} was acknowledged"
    if {held.alone for held in history.held} != {True, False}:
        yield "no lock, or no item of a queue, was held"
    if not history.faults:
        yield "nothing was broken"


CHECKS: Final[tuple[Callable[[Evidence], Iterator[str]], ...]] = (
    creates,
    counters,
    items,
    holders,
    sessions,
    hanging,
    connections,
    watches,
    errors,
    activity,
)


def violations(evidence: Evidence) -> dict[str, list[str]]:
    """Return what each check that does not hold found."""
    found = {check.__name__: list(check(evidence)) for check in CHECKS}
    return {name: broken for name, broken in found.items() if broken}

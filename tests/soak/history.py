"""What happened in a run: records that several processes append to one file."""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final

ACKNOWLEDGED: Final = "acknowledged"
FAILED: Final = "failed"
"""Surely without effect."""
UNKNOWN: Final = "unknown"
"""The server may have done it, or may not."""

REFUSALS: Final = frozenset({"BadVersionError", "LockTimeout", "NoNodeError", "NodeExistsError"})
"""Errors that say that the server has not done what it was asked."""


@dataclass(frozen=True)
class Invoked:
    """An operation begins. Times are of the monotonic clock, which all processes share."""

    number: int
    worker: str
    client: int
    kind: str
    key: str
    time: float


@dataclass(frozen=True)
class Returned:
    """An operation ends."""

    number: int
    outcome: str
    error: str
    time: float


@dataclass(frozen=True)
class Held:
    """A worker believed that it held a lock, from one transaction to another."""

    worker: str
    guard: str
    """The path of the ephemeral node that makes it the holder."""
    token: str
    """What was written there: it tells this holder from earlier ones of the same path."""
    first: int
    """The last transaction (zxid) that its client had seen when it began to believe it."""
    last: int
    """The transaction of its last write before it gave the lock back; `first` if it made none."""
    alone: bool
    """Whether lower siblings exclude it (a lock), or only its own path counts (a queue)."""
    session: int = 0
    """The session that its client had when it began to believe it; 0 if that is not known."""


@dataclass(frozen=True)
class State:
    """A client's connection has changed."""

    client: int
    state: str
    time: float


@dataclass(frozen=True)
class Fault:
    """Something was broken, and has been mended."""

    name: str
    began: float
    ended: float


@dataclass(frozen=True)
class Sample:
    """What the application's process took at a moment."""

    time: float
    memory: int
    """Resident, in bytes."""
    descriptors: int
    threads: int
    greenlets: int
    watchers: int
    """Active watchers of the event loop."""


@dataclass(frozen=True)
class Stray:
    """An error that no caller saw: logged, or left to the event loop or a thread's hook."""

    where: str
    error: str


@dataclass(frozen=True)
class Hung:
    """A worker had not ended when the time for it was over."""

    worker: str
    stack: str


Record = Invoked | Returned | Held | State | Fault | Sample | Stray | Hung
_TYPES: Final = {
    kind.__name__: kind for kind in (Invoked, Returned, Held, State, Fault, Sample, Stray, Hung)
}


@dataclass
class History:
    """The records of a run, by type."""

    invoked: list[Invoked] = field(default_factory=list)
    returned: dict[int, Returned] = field(default_factory=dict)
    held: list[Held] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    strays: list[Stray] = field(default_factory=list)
    hung: list[Hung] = field(default_factory=list)

    def keys(self, kind: str, *outcomes: str) -> list[str]:
        """Return the keys of the operations of a kind that had one of the outcomes."""
        return [
            operation.key
            for operation in self.invoked
            if operation.kind == kind and self.outcome(operation) in outcomes
        ]

    def outcome(self, operation: Invoked) -> str:
        """Return an operation's outcome: that of one which never returned is unknown."""
        returned = self.returned.get(operation.number)
        return UNKNOWN if returned is None else returned.outcome

    def errors(self) -> dict[str, int]:
        """Return how often each class of error was seen, by a caller or elsewhere."""
        counts: defaultdict[str, int] = defaultdict(int)
        for returned in self.returned.values():
            if returned.error:
                counts[returned.error] += 1
        for stray in self.strays:
            counts[stray.error] += 1
        return dict(counts)


def load(file: Path) -> History:
    """Read what recorders have written."""
    by_type: defaultdict[str, list[Any]] = defaultdict(list)
    with file.open() as lines:
        for line in lines:
            name, values = json.loads(line)
            by_type[name].append(_TYPES[name](**values))
    return History(
        invoked=by_type["Invoked"],
        returned={record.number: record for record in by_type["Returned"]},
        held=by_type["Held"],
        states=by_type["State"],
        faults=by_type["Fault"],
        samples=by_type["Sample"],
        strays=by_type["Stray"],
        hung=by_type["Hung"],
    )


XIDS_DO_NOT_MATCH: Final = "XidsDoNotMatch"


def error_name(error: BaseException) -> str:
    """Return the name of an error's class, or of the class of kazoo's that it refines.

    The one that ends a connection for good has a name of its own: kazoo made it no class.
    """
    if isinstance(error, RuntimeError) and str(error).startswith("('xids do not match"):
        return XIDS_DO_NOT_MATCH
    classes = type(error).__mro__
    known = [kind for kind in classes if kind.__module__.partition(".")[0] == "kazoo"]
    return (known or classes)[0].__name__


class Recorder:
    """Appends records to a file. Processes and threads may share the file."""

    def __init__(self, file: Path) -> None:
        # A line is one write to a descriptor in append mode: nobody's lines are mixed with it.
        self._descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._numbers = iter(range(1 << 62))

    def add(self, record: Record) -> None:
        """Append a record."""
        line = json.dumps([type(record).__name__, asdict(record)])
        os.write(self._descriptor, f"{line}\n".encode())

    def operation(self, worker: str, client: int, kind: str, key: str) -> Attempt:
        """Return a context that records what is done in it as one operation."""
        return Attempt(self, Invoked(next(self._numbers), worker, client, kind, key, 0.0))

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


class Attempt:
    """An operation under way. An error ends it, is recorded and goes no further."""

    def __init__(self, recorder: Recorder, invoked: Invoked) -> None:
        self._recorder = recorder
        self._invoked = invoked
        self.at_stake = True
        """Whether an error leaves it open if the operation took effect."""
        self.outcome = ACKNOWLEDGED
        """The outcome if no error comes."""
        self.error = ""

    def __enter__(self) -> Attempt:
        values = {**asdict(self._invoked), "time": time.monotonic()}
        self._recorder.add(Invoked(**values))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if error is not None:
            if not isinstance(error, Exception):
                return False  # it never returned: the check for hanging workers tells of it
            self.error = error_name(error)
            refused = self.error in REFUSALS or not self.at_stake
            self.outcome = FAILED if refused else UNKNOWN
        number, now = self._invoked.number, time.monotonic()
        self._recorder.add(Returned(number, self.outcome, self.error, now))
        return True

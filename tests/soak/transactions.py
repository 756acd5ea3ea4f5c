"""ZooKeeper's own account of a run: the transactions in the logs of its servers.

The format is that of `org.apache.zookeeper.server.persistence.FileTxnLog` and of `zookeeper.jute`.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

_FILE_HEADER: Final = 16
_ENTRY: Final = struct.Struct(">qi")  # checksum, length
_HEADER: Final = struct.Struct(">qiqqi")  # session, cxid, zxid, time, type
_NUMBER: Final = struct.Struct(">i")

_CREATES: Final = frozenset({1, 15})  # create, create2
_DELETE: Final = 2
_MULTI: Final = 14
_CLOSE_SESSION: Final = -11


class Change(NamedTuple):
    """A node was created, with this content, or deleted (`data` is None)."""

    path: str
    data: bytes | None
    is_ephemeral: bool = False


class Transaction(NamedTuple):
    """A transaction, as far as this is interested in it."""

    zxid: int
    session: int
    ends_session: bool
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Life:
    """A node from its creation to its end."""

    path: str
    data: bytes
    session: int
    created: int
    deleted: int | None = None
    with_session: bool = False
    """Whether it ended because its session did."""

    def is_over(self, zxid: int) -> bool:
        """Return whether the node was gone after this transaction."""
        return self.deleted is not None and self.deleted <= zxid


def merged(logs: Iterable[Path], wanted: Callable[[str], bool]) -> list[Transaction]:
    """Return the transactions on wanted paths, and the ends of sessions, in their order.

    They are those of every server: one that was sent a snapshot lacks what that has. So there
    can be some among them that a leader proposed and took to its grave. No client was told of
    them: whoever looks at what clients believed is not misled.
    """
    found = {transaction for log in logs for transaction in read(log, wanted)}
    return sorted(found, key=lambda transaction: transaction.zxid)


def read(log: Path, wanted: Callable[[str], bool]) -> Iterator[Transaction]:
    """Read one log, up to where its server was killed."""
    content = memoryview(log.read_bytes())
    position = _FILE_HEADER
    while position + _ENTRY.size < len(content):
        _, length = _ENTRY.unpack_from(content, position)
        position += _ENTRY.size
        if not length:  # the rest is room for more
            return
        entry = content[position : position + length]
        position += length + 1  # and a mark
        session, _, zxid, _, kind = _HEADER.unpack_from(entry)
        changes = tuple(
            change
            for change in _changes(kind, _Fields(entry[_HEADER.size :]))
            if wanted(change.path)
        )
        if changes or kind == _CLOSE_SESSION:
            yield Transaction(zxid, session, kind == _CLOSE_SESSION, changes)


def lives(transactions: Iterable[Transaction]) -> list[Life]:
    """Return the life of each node that the transactions created."""
    ended: list[Life] = []
    alive: dict[str, Life] = {}
    ephemeral: defaultdict[int, set[str]] = defaultdict(set)
    for zxid, session, ends_session, changes in transactions:
        for path, data, is_ephemeral in changes:
            # A create of what is there says that the one before it was abandoned: a leader
            # that died had proposed it, and its servers' logs keep it.
            if path in alive:
                life = alive.pop(path)
                ephemeral[life.session].discard(path)
                ended.append(replace(life, deleted=zxid))
            if data is not None:
                alive[path] = Life(path, data, session, zxid)
                if is_ephemeral:
                    ephemeral[session].add(path)
        if ends_session:
            orphans = [alive.pop(path) for path in ephemeral.pop(session, ())]
            ended += [replace(life, deleted=zxid, with_session=True) for life in orphans]
    return ended + list(alive.values())


class _Fields:
    """Takes the fields of a record one after the other."""

    def __init__(self, content: memoryview) -> None:
        self._content = content

    def number(self) -> int:
        (number,) = _NUMBER.unpack_from(self._content)
        self._content = self._content[_NUMBER.size :]
        return int(number)

    def flag(self) -> bool:
        flag, self._content = self._content[0], self._content[1:]
        return bool(flag)

    def buffer(self) -> memoryview:
        length = max(0, self.number())  # -1 stands for none
        taken, self._content = self._content[:length], self._content[length:]
        return taken

    def text(self) -> str:
        return bytes(self.buffer()).decode()


def _changes(kind: int, fields: _Fields) -> Iterator[Change]:
    if kind in _CREATES:
        path, data = fields.text(), bytes(fields.buffer())
        for _ in range(fields.number()):  # of its ACL: permissions, scheme, identity
            fields.number(), fields.text(), fields.text()
        yield Change(path, data, fields.flag())
    elif kind == _DELETE:
        yield Change(fields.text(), None)
    elif kind == _MULTI:
        for _ in range(fields.number()):
            yield from _changes(fields.number(), _Fields(fields.buffer()))

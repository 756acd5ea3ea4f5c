"""How replies are read that kazoo takes at their word, whatever a server may have put into them.

kazoo reads the names of a node's children in one go: a million of them stop the event loop for half
a second. Here the loop runs in between. Meanwhile the request is still among those that wait for
their reply. So if the connection greenlet is cut off, or another greenlet forks, its caller is told
as ever.

No reply of an ordinary size comes through here: the connection calls when it reads a large one, and
then a method for this one reply is put into the instance's dictionary.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache, partial
from typing import Any, Final

from gevent import getcurrent
from kazoo.exceptions import ConnectionDropped, MarshallingError
from kazoo.protocol.serialization import GetChildren, GetChildren2, int_struct

from kazoo_gevent_patch.handler.greenlets import HandlerGreenlet
from kazoo_gevent_patch.wire.connection import Connection

AT_ONCE: Final = 256
"""So many names are read between two looks at the clock."""

LONG: Final = 255
"""Bytes of a name, at most, that is read together with others."""

_UNREADABLE: Final = "Exception raised during deserialization of request: %s"
_Read = Callable[[Any, int], Any]


def with_path(_: object, request: Any) -> classmethod[Any, Any, Any]:
    """Return what reads the reply to a request that is answered with a path.

    kazoo takes a path that is null for "not yet", and the caller waits for ever.
    """
    read: _Read = request.deserialize

    def deserialize(_: Any, data: Any, offset: int) -> Any:
        path = read(data, offset)
        if path is None:
            raise MarshallingError(f"The server's answer to {request.__name__} names no path")
        return path

    return classmethod(deserialize)


def hide_request(record: logging.LogRecord) -> bool:
    """Leave the kind of the request in kazoo's record of a reply that cannot be read.

    The request itself tells the password of the session, the digest of an ACL, or a node's data.
    This is a filter for a connection's logger; records of other handlers' clients stay as they are.
    """
    if record.msg == _UNREADABLE and isinstance(getcurrent(), HandlerGreenlet):
        record.args = tuple(type(request).__name__ for request in record.args or ())
    return True


def look_out_for_large_ones(connection: Any) -> None:
    """Have large replies on the connection that kazoo has just made read in slices."""
    if isinstance(connection._socket, Connection):
        connection._socket.on_large = partial(_expect_large, connection)


def _expect_large(connection: Any) -> None:
    connection._read_response = partial(_read_response, connection)


def _read_response(connection: Any, header: Any, data: bytes, offset: int) -> Any:
    """``ConnectionHandler._read_response``, for one reply that is large."""
    pending = connection.client._pending
    if pending and not header.err and header.xid == pending[0][2]:
        request, *others = pending[0]
        for kind in (_ReadChildren, _ReadChildren2):
            if type(request) is kind.__base__:
                read = kind(*request)
                read.outcome = _read_in_slices(connection, request, data, offset)
                pending[0] = (read, *others)
    with suppress(AttributeError):
        del connection._read_response  # kazoo's own is that of the class
    return connection._read_response(header, data, offset)


class _ReadChildren(GetChildren):  # type: ignore[misc]
    """A request whose reply has been read."""

    outcome: Callable[[], Any]

    def deserialize(self, *_: object) -> Any:
        return self.outcome()


class _ReadChildren2(GetChildren2):  # type: ignore[misc]
    outcome: Callable[[], Any]

    deserialize = _ReadChildren.deserialize


def _read_in_slices(connection: Any, request: Any, data: bytes, offset: int) -> Callable[[], Any]:
    """Return what returns what the request's own method would have, or raises the same."""
    # A caller has much to do with a large reply. So the one that came before has its turn first.
    _give_way(connection)
    time_slice = connection.handler.selector.slice
    reading = _read_names(request, data, offset)
    while (outcome := next(reading)) is None:
        if time_slice.is_over():
            # Not in the generator: what is thrown in here is not of the reply's making.
            _give_way(connection)
    return outcome


def _give_way(connection: Any) -> None:
    connection.handler.selector.slice.give_way()
    if connection._socket.fileno() < 0:
        raise ConnectionDropped("socket connection closed while a reply was read")


def _read_names(request: Any, data: bytes, offset: int) -> Iterator[Callable[[], Any] | None]:
    """Give None for each step, and at last what returns the reply, or raises."""
    names: list[str | None] = []
    try:
        left = int_struct.unpack_from(data, offset)[0]
        offset += int_struct.size
        while left > 0:
            step = min(left, AT_ONCE)
            offset = _read_some(names, step, data, offset)
            left -= step
            yield None
        rest = request.deserialize(int_struct.pack(left) + data[offset:], 0)
    except Exception as error:
        yield partial(_raise, error)
    else:
        yield partial(_return, (names, *rest[1:]) if isinstance(rest, tuple) else names)


def _read_some(names: list[str | None], count: int, data: bytes, offset: int) -> int:
    """Add ``count`` names to the list, and return where they end."""
    unpack: Callable[[bytes, int], tuple[int]] = int_struct.unpack_from
    size: int = int_struct.size
    (length,) = unpack(data, offset)
    # The names of sequence nodes are all of one length. Read together, they take a third of the
    # time that kazoo's read_string takes for each.
    if count == AT_ONCE and 0 <= length <= LONG:
        end = offset + count * (size + length)
        last = end - size - length
        if data[last : last + size] == data[offset : offset + size] and end <= len(data):
            fields = _all_of_one_length(length).unpack_from(data, offset)
            if fields[::2] == (length,) * count:
                names.extend(map(bytes.decode, fields[1::2]))
                return end
    for _ in range(count):
        (length,) = unpack(data, offset)
        start = offset + size
        offset = start + max(length, 0)
        names.append(None if length < 0 else data[start:offset].decode())
    return offset


@lru_cache(maxsize=8)
def _all_of_one_length(length: int) -> struct.Struct:
    return struct.Struct(f"!{f'i{length}s' * AT_ONCE}")


def _return(reply: Any) -> Any:
    return reply


def _raise(error: Exception) -> None:
    raise error

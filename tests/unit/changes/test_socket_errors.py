"""What becomes of an error of a socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, _GeneratorContextManager, contextmanager
from functools import wraps
from typing import Any

import gevent
import pytest
from kazoo.client import KazooClient
from kazoo.protocol.connection import ConnectionHandler

from kazoo_gevent_patch import patched
from kazoo_gevent_patch.changes.socket_errors import handling

Handling = Callable[[Any], AbstractContextManager[object]]

ERRORS = [
    OSError(104, "Connection reset by peer"),
    TimeoutError("timed out"),
    ConnectionError(),
    ValueError("no error of a socket"),
    StopIteration("of an iterator"),
    KeyboardInterrupt(),
    gevent.GreenletExit(),
    gevent.Timeout(),
]


def outcome(handle: Handling, error: BaseException) -> BaseException:
    """Return what comes out of a block that raises the error."""
    try:
        with handle(None):
            raise error
    except BaseException as raised:
        return raised
    raise AssertionError("The error was swallowed")


@pytest.fixture
def original() -> Handling:
    found: Handling = ConnectionHandler._socket_error_handling
    return found


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_becomes_what_it_becomes_in_kazoo(
    original: Handling, error: BaseException
) -> None:
    """An error of a socket becomes kazoo's, with its cause; any other passes as it is."""
    ours = outcome(handling(original, ConnectionHandler), error)
    error.__traceback__ = error.__context__ = None
    kazoos = outcome(original, error)
    assert type(ours) is type(kazoos)
    assert ours.args == kazoos.args
    assert (ours is error) is (kazoos is error)
    assert ours is error or ours.__context__ is error


def test_no_generator_is_made_without_an_error(original: Handling) -> None:
    """kazoo makes one for each read and each write."""
    assert isinstance(original(None), _GeneratorContextManager)
    assert not isinstance(handling(original, ConnectionHandler)(None), _GeneratorContextManager)


def test_what_a_program_has_put_there_is_entered_each_time(
    monkeypatch: pytest.MonkeyPatch, original: Handling
) -> None:
    """It may count the reads, whether there is an error or not."""
    entered = []

    @contextmanager
    @wraps(original)
    def counts(connection: object) -> Iterator[None]:
        entered.append(connection)
        with original(connection):
            yield

    monkeypatch.setattr(ConnectionHandler, "_socket_error_handling", counts)
    with patched():
        connection = KazooClient()._connection
        with connection._socket_error_handling():
            assert entered == [connection]
    assert ConnectionHandler._socket_error_handling is counts


def test_what_is_returned_within_goes_out(original: Handling) -> None:
    """A block may end by a return."""

    def answer() -> int:
        with handling(original, ConnectionHandler)(None):
            return 42

    assert answer() == 42

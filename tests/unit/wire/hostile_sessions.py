"""A client against a peer that attacks it, and what became of it."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import gevent
from kazoo.client import KazooClient
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.protocol.states import KeeperState

import kazoo_gevent_patch
from kazoo_gevent_patch.handler.result import AsyncResult, ResultTimeout
from tests.support import wait_until
from tests.unit.wire.attacks import Attack
from tests.unit.wire.scripted_peer import AT_ONCE, ScriptedPeer

REQUESTS: Final = 6
SESSION_TIMEOUT: Final = 0.6
LIMIT: Final = 30.0
"""Seconds after which a session hangs: many of its time-outs, and a busy machine."""

_LOGGERS: Final = ("kazoo.client", "kazoo.handlers.gevent", "kazoo_gevent_patch")
_OURS: Final = str(Path(kazoo_gevent_patch.__file__).parent)


@dataclass(frozen=True)
class Outcome:
    """How a session with a hostile peer went."""

    results: tuple[object, ...]
    """What each request came to: the answer, or the name of the exception."""

    closed: bool
    """kazoo gave the session up, and the client had to be started again."""


def play(
    attacks: Sequence[Attack],
    on_threads: bool = False,
    session_timeout: float = SESSION_TIMEOUT,
) -> Outcome:
    """Have requests in flight while the peer attacks; then see that the client still works.

    Fails if a request, the reconnection, ``stop()`` or a new start does not end in time.
    """
    schedule = replace(AT_ONCE, session_timeout=session_timeout)
    with ScriptedPeer(schedule, attacks) as peer:
        if not on_threads:
            return _Session(peer.hosts, gevent.sleep, session_timeout).play()
        # The peer lives in this thread's event loop, which a blocked thread would stop.
        session = _Session(peer.hosts, time.sleep, session_timeout)
        outcome: Outcome = gevent.get_hub().threadpool.apply(session.play)
        return outcome


class _Session:
    def __init__(
        self, hosts: str, sleep: Callable[[float], object], session_timeout: float
    ) -> None:
        self._sleep = sleep
        self._client = KazooClient(
            hosts,
            timeout=session_timeout,
            connection_retry={"max_tries": -1, "delay": 0.001, "max_delay": 0.01},
        )

    def play(self) -> Outcome:
        client = self._client
        try:
            self._start()
            requests = [client.get_async(f"/{number}") for number in range(REQUESTS)]
            results = tuple(_result(request) for request in requests)
            self._wait_until(self._is_settled, "not connected again")
            closed = client.client_state == KeeperState.CLOSED
            self._wait_until(self._is_of_use, "the client is of no use any more")
        finally:
            client.stop()
            client.close()
        return Outcome(results, closed)

    def _start(self) -> None:
        connected, connection = self._client.start_async(), self._client._connection
        self._wait_until(
            lambda: connected.is_set() or not connection._connection_routine.is_alive(),
            "neither connected nor given up",
        )

    def _wait_until(self, condition: Callable[[], bool], message: str) -> None:
        wait_until(condition, LIMIT, self._sleep, message)

    def _is_settled(self) -> bool:
        return bool(self._client.connected or self._client.client_state == KeeperState.CLOSED)

    def _is_of_use(self) -> bool:
        """Start the client again if kazoo has given up; return whether the answer is right."""
        client = self._client
        if client.client_state == KeeperState.CLOSED:
            self._start()
        return _result(client.get_async("/probe")) == b"/probe"


def _result(request: Any) -> object:
    try:
        value = request.get(timeout=LIMIT)
    except KazooTimeoutError:
        raise AssertionError("a request has not ended") from None
    except Exception as error:
        return type(error).__name__
    return value if isinstance(value, bool) else value[0]


class _Tracebacks:
    def __init__(self) -> None:
        self.ours: list[str] = []

    def swallow(self, record: logging.LogRecord) -> bool:
        """Take note of a record, and let no handler have it."""
        if record.exc_info:
            self.note(*record.exc_info)
        return False

    def note(self, kind: Any, error: Any, trace: Any) -> None:
        codes = [frame.f_code for frame, _ in traceback.walk_tb(trace)]
        if codes[-1:] == [AsyncResult.get.__code__] and not isinstance(error, ResultTimeout):
            return  # a result raises what it was given, which arose elsewhere
        if codes and codes[-1].co_filename.startswith(_OURS):
            self.ours.append("".join(traceback.format_exception(kind, error, trace)))


@contextmanager
def our_tracebacks() -> Iterator[list[str]]:
    """Collect the errors that arose in this package and were logged, or ended a greenlet.

    kazoo logs what it cannot read with a traceback of its own, and ends its connection loop
    with another: those are kazoo's, on any handler. They stay out of the output, and out of
    pytest's records, which would keep the clients in those tracebacks alive.
    """
    seen = _Tracebacks()
    hub: Any = gevent.get_hub()
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addFilter(seen.swallow)
    hub.print_exception = lambda _, *exc_info: seen.note(*exc_info)
    try:
        yield seen.ours
    finally:
        del hub.print_exception
        for logger in loggers:
            logger.removeFilter(seen.swallow)

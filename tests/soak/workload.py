"""What the workers do, by turns, on any handler."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import count
from time import monotonic
from typing import Any, Final

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException, NoNodeError
from kazoo.handlers.threading import KazooTimeoutError

from tests.soak import paths
from tests.soak.history import FAILED, UNKNOWN, Attempt, Held, Recorder, error_name

LOCK_TIMEOUT: Final = 5.0
QUEUE_TIMEOUT: Final = 1.0
WATCH_TIMEOUT: Final = 20.0
"""Seconds until a watch counts as lost: more than any connection of a client is down."""
GIVE_BACK_TRIES: Final = 100
GIVE_BACK_PAUSE: Final = 0.2
LEAD_TIMEOUT: Final = 20.0
LEAD_FOR: Final = (1.0, 7.0)
LEAD_STEP: Final = 0.2
"""Seconds between the writes of one that leads."""
PAUSE: Final = (0.2, 0.6)
"""Seconds between a worker's turns: 100 workers ask for less than a busy machine can do."""


class Worker:
    """Takes one turn after the other until it is told to stop."""

    def __init__(
        self, number: int, client: KazooClient, client_number: int, recorder: Recorder, seed: int
    ) -> None:
        self.name = paths.worker_name(number)
        self._client = client
        self._client_number = client_number
        self._recorder = recorder
        self._random = random.Random(f"{seed} {number}")
        self._serials = count()

    def run(self, is_over: Callable[[], bool]) -> None:
        """Work until it is over."""
        turns = list(TURNS)
        weights = [TURNS[turn] for turn in turns]
        while not is_over():
            (turn,) = self._random.choices(turns, weights)
            turn(self)
            self._client.handler.sleep_func(self._random.uniform(*PAUSE))

    def _operation(self, kind: str, key: str) -> Attempt:
        return self._recorder.operation(self.name, self._client_number, kind, key)

    def _unique(self) -> str:
        return f"{self.name}-{next(self._serials):06}"

    def create(self) -> None:
        """Create a node that no other worker creates."""
        path = f"{paths.CREATED}/{self.name}/{self._unique()}"
        with self._operation("create", path):
            self._client.create(path)

    def increment(self) -> None:
        """Increment a counter under its lock."""
        name = self._random.choice(paths.LOCK_NAMES)
        counter = f"{paths.COUNTERS}/{name}"
        token = self._unique()
        lock = self._client.Lock(f"{paths.LOCKS}/{name}", token)
        with self._operation("increment", counter) as operation:
            operation.at_stake = False
            if lock.acquire(timeout=LOCK_TIMEOUT):
                self._write_under(lock, counter, token, operation)
            else:
                operation.outcome, operation.error = FAILED, "LockTimeout"
        self._give_back("release", counter, lambda: self._release(lock))

    def _write_under(self, lock: Any, counter: str, token: str, operation: Attempt) -> None:
        guard, session = f"{lock.path}/{lock.node}", self._session()
        first = last = self._client.last_zxid
        try:
            data, stat = self._client.get(counter)
            operation.at_stake = True
            # The version fences it: a session that ended in between would let two holders write.
            written = self._client.set(counter, b"%d" % (int(data or 0) + 1), stat.version)
            last = written.mzxid
        finally:
            self._recorder.add(Held(self.name, guard, token, first, last, True, session))

    def _session(self) -> int:
        client_id = self._client.client_id
        return 0 if client_id is None else int(client_id[0] or 0)

    def _release(self, lock: Any) -> None:
        if lock.is_acquired:
            lock.release()
        # kazoo gives up on the node of a lock that it could not get when the connection is lost,
        # and of one whose release was cut off; it would be in everybody's way while the session
        # lives.
        for node in self._client.get_children(lock.path):
            if node.startswith(lock.prefix):
                with suppress(NoNodeError):
                    self._client.delete(f"{lock.path}/{node}")

    def _give_back(self, kind: str, key: str, attempt: Callable[[], object]) -> None:
        """Try until it succeeds; every error is recorded."""
        for _ in range(GIVE_BACK_TRIES):
            with self._operation(kind, key) as operation:
                attempt()
            if not operation.error:
                return
            self._client.handler.sleep_func(GIVE_BACK_PAUSE)

    def put(self) -> None:
        """Put an item into the queue."""
        item = self._unique()
        with self._operation("put", item):
            self._client.LockingQueue(paths.QUEUE).put(item.encode())

    def take(self) -> None:
        """Take an item from the queue, if there is one, and consume it."""
        queue = self._client.LockingQueue(paths.QUEUE)
        with self._operation("get", paths.QUEUE):
            queue.get(QUEUE_TIMEOUT)
        if queue.processing_element is None:
            return
        name, item = queue.processing_element
        token = queue.id.decode()  # it gets another one if its session ends
        session = self._session()
        first = last = self._client.last_zxid
        with self._operation("fence", self.name):
            last = self._client.set(f"{paths.FENCES}/{self.name}", item).mzxid
        guard = f"{paths.TAKEN}/{name}"
        self._recorder.add(Held(self.name, guard, token, first, last, False, session))
        with self._operation("take", item.decode()) as operation:
            operation.outcome = self._consume(queue, operation)

    def _consume(self, queue: Any, operation: Attempt) -> str:
        """Try until it is consumed, or lost to another; return the outcome."""
        otherwise = FAILED
        for _ in range(GIVE_BACK_TRIES):
            try:
                return operation.outcome if queue.consume() else otherwise
            except NoNodeError as error:  # the lock has gone: with its session, or by a lost commit
                operation.error = error_name(error)
                return otherwise
            except (KazooException, KazooTimeoutError) as error:
                operation.error = error_name(error)
                otherwise = UNKNOWN
                self._client.handler.sleep_func(GIVE_BACK_PAUSE)
        return otherwise

    def watch(self) -> None:
        """Watch a node and change it: the watch fires, be it because the connection is lost."""
        path = f"{paths.WATCHED}/{self.name}"
        fired = self._client.handler.event_object()
        with self._operation("watch", path) as operation:
            self._client.get(path, watch=lambda event: fired.set())
            self._client.set(path, self._unique().encode())
            fired.wait(WATCH_TIMEOUT)
            if not fired.is_set():
                operation.outcome = FAILED

    def publish(self) -> None:
        """Change what all clients watch: the data of a node, or its children."""
        with self._operation("publish", paths.SHARED):
            if self._random.random() < 0.5:
                self._client.set(paths.SHARED, self._unique().encode())
                return
            child = f"{paths.SHARED}/{self.name}"
            if self._client.exists(child):
                self._client.delete(child)
            else:
                self._client.create(child)


class Leader(Worker):
    """Leads, for seconds at a time, or waits for that."""

    def run(self, is_over: Callable[[], bool]) -> None:
        """Work until it is over."""
        while not is_over():
            name, token = self._random.choice(paths.LEADERSHIPS), self._unique()
            lock = self._client.Lock(f"{paths.LOCKS}/{name}", token)
            with self._operation("lead", lock.path) as operation:
                operation.at_stake = False
                if lock.acquire(timeout=LEAD_TIMEOUT):
                    self._lead(lock, token)
                else:
                    operation.outcome, operation.error = FAILED, "LockTimeout"
            self._give_back("release", lock.path, partial(self._release, lock))

    def _lead(self, lock: Any, token: str) -> None:
        guard, session = f"{lock.path}/{lock.node}", self._session()
        first = last = self._client.last_zxid
        end = monotonic() + self._random.uniform(*LEAD_FOR)
        try:
            # On kazoo's default handler a lock counts as acquired when its session is lost.
            while monotonic() < end and lock.is_acquired and self._session() in (session, 0):
                last = self._client.set(f"{paths.FENCES}/{self.name}", token.encode()).mzxid
                self._client.handler.sleep_func(LEAD_STEP)
        finally:
            self._recorder.add(Held(self.name, guard, token, first, last, True, session))


TURNS: Final[dict[Callable[[Worker], None], float]] = {
    Worker.create: 50,
    Worker.increment: 15,
    Worker.put: 12,
    Worker.take: 13,
    Worker.watch: 7,
    Worker.publish: 3,
}
"""What there is to do, and how often it is done."""

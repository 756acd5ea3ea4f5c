"""Rounds of a client's life, and what they leave behind; `run` is for a process of its own."""

from __future__ import annotations

import atexit
import json
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

import gevent
from gevent.monkey import get_original
from kazoo.client import KazooClient
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.protocol.states import KazooState

from tests.ports import free_block
from tests.resources import resources
from tests.support import wait_until

_start_new_thread = get_original("_thread", "start_new_thread")
_sleep = get_original("time", "sleep")

Stop = Callable[[], None]
Place = Callable[[KazooClient, Stop, float], None]
"""Has a client stopped there, so many seconds later."""

MOMENTS = 0.01
"""Seconds within which a client is stopped; it takes a few milliseconds to connect."""


def in_a_greenlet(client: KazooClient, stop: Stop, delay: float) -> None:
    gevent.spawn_later(delay, stop)


def in_a_watch_callback(client: KazooClient, stop: Stop, delay: float) -> None:
    client.exists_async("/watched", watch=lambda event: _stop_later(stop, delay))
    client.create_async("/watched", ephemeral=True)


def in_a_result_callback(client: KazooClient, stop: Stop, delay: float) -> None:
    client.get_async("/").rawlink(lambda result: _stop_later(stop, delay))


def in_a_listeners_greenlet(client: KazooClient, stop: Stop, delay: float) -> None:
    def listen(state: str) -> None:
        if state == KazooState.CONNECTED:
            client.handler.spawn(_stop_later, stop, delay)

    client.add_listener(listen)


def in_a_state_listener(client: KazooClient, stop: Stop, delay: float) -> None:
    def listen(state: str) -> None:
        if state == KazooState.CONNECTED:
            _stop_later(stop, delay)

    client.add_listener(listen)


def in_a_native_thread(client: KazooClient, stop: Stop, delay: float) -> None:
    _start_new_thread(_run_later, (stop, delay))


def in_a_signal_handler(client: KazooClient, stop: Stop, delay: float) -> None:
    # The signal comes from a native thread, so that this one may just wait in its event loop.
    signal.signal(signal.SIGUSR1, lambda *_: stop())
    _start_new_thread(_run_later, (partial(os.kill, os.getpid(), signal.SIGUSR1), delay))


def _run_later(function: Callable[[], object], delay: float) -> None:
    _sleep(delay)
    function()


def _stop_later(stop: Stop, delay: float) -> None:
    gevent.sleep(delay)
    stop()


PLACES: list[Place] = [
    in_a_greenlet,
    in_a_watch_callback,
    in_a_result_callback,
    in_a_listeners_greenlet,
    in_a_state_listener,
    in_a_native_thread,
    in_a_signal_handler,
]


def whole_round(hosts: str, chance: random.Random) -> None:
    """Start, use, stop, close."""
    client = KazooClient(hosts, timeout=30.0)
    client.start()
    path = client.create("/node-", b"x", ephemeral=True, sequence=True)
    watched: list[Any] = []
    client.get(path, watch=watched.append)
    results = [client.get_async(path) for _ in range(chance.randrange(5))]
    client.set(path, b"y")
    gevent.joinall(results, raise_error=True)
    client.stop()
    client.close()
    assert watched


def round_without_a_server(hosts: str, chance: random.Random) -> None:
    """A start that fails, refused or not answered, and is given up at some moment."""
    del hosts
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = chance.choice([silent.getsockname()[1], free_block([0])])
        client = KazooClient(f"127.0.0.1:{port}", timeout=0.1, connection_retry={"delay": 0.001})
        if chance.random() < 0.5:
            try:
                client.start(timeout=chance.random() * MOMENTS)
            except KazooTimeoutError:
                return
            raise AssertionError("started without a server")
        client.start_async()
        client.get_async("/")
        gevent.sleep(chance.random() * MOMENTS)
        client.stop()
        client.close()


def round_that_is_stopped_anywhere(hosts: str, chance: random.Random) -> None:
    """stop() at some moment, in some place, while the client connects or works."""
    client = KazooClient(hosts, timeout=30.0)
    place, stopped = chance.choice(PLACES), list[bool]()

    def stop() -> None:
        client.stop()
        client.close()
        stopped.append(True)

    client.start_async()
    place(client, stop, chance.random() * MOMENTS)
    work(client, chance)
    wait_until(lambda: stopped and is_closed(client), 20.0, _nap, place.__name__)


def round_that_is_stopped_at_exit(hosts: str, chance: random.Random) -> None:
    """stop() when a process, forked for it, exits at some moment."""
    seed = chance.random()
    child = os.fork()
    if not child:
        chance = random.Random(seed)
        client = KazooClient(hosts, timeout=30.0)
        atexit.register(client.stop)
        client.start_async()
        work(client, chance)
        gevent.sleep(chance.random() * MOMENTS)
        sys.exit(0)
    assert wait_until(lambda: ended(child), 20.0, _nap, "the child goes on") == [0]


def ended(child: int) -> list[int]:
    """Return the exit status of a child that has ended; nothing if it goes on."""
    pid, status = os.waitpid(child, os.WNOHANG)
    return [status] if pid else []


def work(client: KazooClient, chance: random.Random) -> None:
    """Issue some requests; nobody waits for the results."""
    for _ in range(chance.randrange(5)):
        client.create_async("/node-", ephemeral=True, sequence=True)
        for _ in range(chance.randrange(5)):
            client.get_async("/")


def is_closed(client: KazooClient) -> bool:
    """Return whether nothing of the client's connection is left."""
    connection = client._connection
    return not connection._connection_routine and connection._write_sock is None


def _nap(_: float) -> None:
    gevent.sleep(0.001)  # the rounds are many and short


ROUNDS: dict[str, Callable[[str, random.Random], None]] = {
    "whole": whole_round,
    "without a server": round_without_a_server,
    "stopped anywhere": round_that_is_stopped_anywhere,
    "stopped at exit": round_that_is_stopped_at_exit,
}


def run(kind: str, rounds: int, hosts: str, seed: int) -> None:
    """Print what the process holds before and after the rounds; a fifth more come first."""
    chance = random.Random(seed)

    def run_rounds(number: int) -> None:
        for _ in range(number):
            ROUNDS[kind](hosts, chance)

    run_rounds(max(10, rounds // 5))
    gevent.sleep(0.1)  # what was closed is forgotten at the loop's next turns
    before = resources()
    begin = time.monotonic()
    run_rounds(rounds)
    elapsed = time.monotonic() - begin
    wait_until(
        lambda: resources().counts() == before.counts(),
        5.0,
        gevent.sleep,
        lambda: f"{before} became {resources()}",
    )
    after = resources()
    print(json.dumps({"before": asdict(before), "after": asdict(after), "seconds": elapsed}))

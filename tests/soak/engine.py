"""A run: servers, network, application and faults, and the evidence that they leave."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from kazoo.client import KazooClient
from kazoo.handlers.threading import SequentialThreadingHandler

from tests import children
from tests.soak import paths, transactions
from tests.soak.checks import DOCUMENTED, Evidence, Remains
from tests.soak.crew import HISTORY, STOP
from tests.soak.faults import FAULTS, Scene
from tests.soak.history import Fault, Hung, Recorder, load
from tests.soak.network import Network
from tests.support import ROOT, wait_until
from tests.zookeeper import Ensemble

SESSION_TIMEOUT: Final = 4.0
_START_TIMEOUT: Final = 60.0
_END_TIMEOUT: Final = 150.0
"""Seconds: the last turns of all workers, the watchers, and the clients' stop."""
_REST: Final = (2.0, 4.0)
_LOG_TAIL_LINES: Final = 40
_APPLICATION: Final = f"{__package__}.application"
LOG: Final = "log"


@dataclass(frozen=True)
class Plan:
    """What a run is to be."""

    handler: str
    seed: int
    faults: Sequence[Callable[[Scene], None]] = FAULTS
    seconds: float | None = None
    """How long things are broken, in an order of the seed's; without it, once each in order."""
    log: Path | None = None
    """Where the log of the application is kept."""

    def __iter__(self) -> Iterator[Callable[[Scene], None]]:
        """Give the faults until the time is over."""
        if self.seconds is None:
            yield from self.faults
            return
        generator = random.Random(self.seed)
        deadline = time.monotonic() + self.seconds
        while True:
            for fault in generator.sample(self.faults, len(self.faults)):
                if time.monotonic() > deadline:
                    return
                yield fault


Say = Callable[[str], None]


def run(
    plan: Plan, allowed: Collection[str] = DOCUMENTED, say: Say = lambda text: None
) -> Evidence:
    """Run, and return all that can be known of it."""
    with TemporaryDirectory(prefix="soak-") as name, Ensemble() as ensemble:
        directory = Path(name)
        _prepare(ensemble.hosts)
        ports = [server.port for server in ensemble.servers]
        with (
            Network(ports, plan.seed, directory / "proxy.log") as network,
            _application(plan, directory, network.hosts) as application,
        ):
            scene = Scene(
                ensemble, network, application.pid, SESSION_TIMEOUT, random.Random(plan.seed)
            )
            with closing(Recorder(directory / HISTORY)) as recorder:
                _break(plan, scene, recorder, say)
                say("the last turns")
                (directory / STOP).touch()
                _wait_for_end(application, recorder, plan.log or directory / LOG)
        say("what is left, by the servers' account")
        remains = _remains(ensemble.hosts)
        ensemble.stop()
        logs = [log for server in ensemble.servers for log in server.transaction_logs()]
        lives = transactions.lives(transactions.merged(logs, paths.is_guard))
        return Evidence(load(directory / HISTORY), remains, lives, SESSION_TIMEOUT, allowed)


@contextmanager
def _application(plan: Plan, directory: Path, hosts: str) -> Iterator[subprocess.Popen[bytes]]:
    arguments = [plan.handler, str(directory), str(plan.seed), str(SESSION_TIMEOUT), hosts]
    log = plan.log or directory / LOG
    with log.open("wb") as output:
        process = children.spawn(
            [sys.executable, "-X", "faulthandler", "-m", _APPLICATION, *arguments],
            stdout=output,
            cwd=ROOT,
        )
    try:
        wait_until(
            lambda: is_working(directory) or process.poll() is not None,
            _START_TIMEOUT,
            message=lambda: f"the application does not work:\n{_tail(log)}",
        )
        yield process
    finally:
        children.kill(process)


def is_working(directory: Path) -> bool:
    """Return whether the workers have begun."""
    history = directory / HISTORY
    return history.exists() and bool(load(history).samples)


def _break(plan: Plan, scene: Scene, recorder: Recorder, say: Say) -> None:
    """Break one thing after the other, with a rest for the application in between."""
    time.sleep(_REST[0])
    for fault in plan:
        say(fault.__name__.replace("_", " "))
        began = time.monotonic()
        fault(scene)
        recorder.add(Fault(fault.__name__, began, time.monotonic()))
        time.sleep(scene.random.uniform(*_REST))


def _wait_for_end(application: subprocess.Popen[bytes], recorder: Recorder, log: Path) -> None:
    try:
        status = application.wait(_END_TIMEOUT)
    except subprocess.TimeoutExpired:
        children.abort(application)  # which has it print its stacks
        recorder.add(Hung("the application", _tail(log)))
    else:
        if status:
            raise RuntimeError(f"the application ended with status {status}:\n{_tail(log)}")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:])


@contextmanager
def _client(hosts: str) -> Iterator[KazooClient]:
    # The handler is explicit so that a patch, if one is on, does not reach this client.
    client = KazooClient(hosts, handler=SequentialThreadingHandler())
    client.start()
    try:
        yield client
    finally:
        client.stop()
        client.close()


def _prepare(hosts: str) -> None:
    with _client(hosts) as client:
        for result in [client.create_async(path) for path in paths.initial()]:
            result.get()


def _remains(hosts: str) -> Remains:
    with _client(hosts) as client:
        client.sync(paths.ROOT)
        created = {
            f"{paths.CREATED}/{worker}/{name}"
            for worker in client.get_children(paths.CREATED)
            for name in client.get_children(f"{paths.CREATED}/{worker}")
        }
        counters = {
            path: int(client.get(path)[0] or 0)
            for path in (f"{paths.COUNTERS}/{name}" for name in paths.LOCK_NAMES)
        }
        entries = f"{paths.QUEUE}/entries"
        queued = {
            client.get(f"{entries}/{name}")[0].decode() for name in client.get_children(entries)
        }
    return Remains(created, counters, queued)

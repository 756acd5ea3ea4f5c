"""What is broken, and mended again: servers, the application's process, the network."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.soak.network import Network
from tests.soak.proxy import DIRECTIONS
from tests.zookeeper import Ensemble, ZooKeeper

_DOWN: Final = 3.0
_SLOW: Final = 6.0
_CUTTING: Final = 4.0
_BLACK_HOLE_TIMEOUTS: Final = 1.5
_CUT_SHARE: Final = 0.5


@dataclass(frozen=True)
class Scene:
    """What can be broken."""

    ensemble: Ensemble
    network: Network
    application: int
    """The process id."""
    session_timeout: float
    random: random.Random


def _kill(scene: Scene, *victims: ZooKeeper) -> None:
    for victim in victims:
        victim.kill()
    time.sleep(_DOWN)
    scene.ensemble.start()


def kill_leader(scene: Scene) -> None:
    """Kill the leader, and start it again."""
    scene.ensemble.wait_until_complete()
    _kill(scene, scene.ensemble.leader())


def kill_follower(scene: Scene) -> None:
    """Kill a follower, and start it again."""
    scene.ensemble.wait_until_complete()
    _kill(scene, scene.random.choice(scene.ensemble.followers()))


def lose_quorum(scene: Scene) -> None:
    """Kill two servers of three, and start them again."""
    _kill(scene, *scene.random.sample(scene.ensemble.servers, 2))


def _pause_leader(scene: Scene, timeouts: float) -> None:
    scene.ensemble.wait_until_complete()
    leader = scene.ensemble.leader()
    leader.pause()
    time.sleep(timeouts * scene.session_timeout)
    leader.resume()
    scene.ensemble.wait_until_complete()


def pause_leader_briefly(scene: Scene) -> None:
    """Stop the leader's process for half a session time-out."""
    _pause_leader(scene, 0.5)


def pause_leader_past_the_time_out(scene: Scene) -> None:
    """Stop the leader's process for one and a half session time-outs.

    It comes back, and tells clients that their sessions have ended. The next leader, which has them
    still, knows nothing of that.
    """
    _pause_leader(scene, 1.5)


def pause_leader_for_long(scene: Scene) -> None:
    """Stop the leader's process for three session time-outs."""
    _pause_leader(scene, 3)


def _pause_application(scene: Scene, timeouts: float) -> None:
    os.kill(scene.application, signal.SIGSTOP)
    time.sleep(timeouts * scene.session_timeout)
    os.kill(scene.application, signal.SIGCONT)


def pause_application_briefly(scene: Scene) -> None:
    """Stop the application's process for half a session time-out."""
    _pause_application(scene, 0.5)


def pause_application_for_long(scene: Scene) -> None:
    """Stop the application's process for three session time-outs: its sessions are gone."""
    _pause_application(scene, 3)


def reset_connections(scene: Scene) -> None:
    """Reset every connection."""
    scene.network.reset()


def slow_down(scene: Scene) -> None:
    """Let everything take 200 ms longer, give or take 100."""
    scene.network.change(latency=0.2, jitter=0.1)
    time.sleep(_SLOW)
    scene.network.change()


def cut_connections(scene: Scene) -> None:
    """Cut half of the connections within a frame; at all times, 1 % of the new ones are."""
    scene.network.doom(_CUT_SHARE)
    scene.network.change(cut_share=_CUT_SHARE)
    time.sleep(_CUTTING)
    scene.network.change()


def black_hole(scene: Scene) -> None:
    """Let nothing arrive, in one direction, from or at one server."""
    server = scene.random.randrange(len(scene.ensemble.servers))
    scene.network.change(server, held=scene.random.choice(DIRECTIONS))
    time.sleep(_BLACK_HOLE_TIMEOUTS * scene.session_timeout)
    scene.network.change(server)


def half_open(scene: Scene) -> None:
    """Leave every client with a connection of which the server knows nothing."""
    scene.network.orphan()


FAULTS: Final[tuple[Callable[[Scene], None], ...]] = (
    kill_leader,
    kill_follower,
    lose_quorum,
    pause_leader_briefly,
    pause_leader_past_the_time_out,
    pause_leader_for_long,
    pause_application_briefly,
    pause_application_for_long,
    reset_connections,
    slow_down,
    cut_connections,
    black_hole,
    half_open,
)

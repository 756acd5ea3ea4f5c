"""uWSGI in every way: it forks without Python's hooks unless it is told to call them.

The table in docs/servers.md has what is found here.
"""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.process.uwsgi_server import Cell, lines_of, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

WAYS = list(itertools.product([True, False], repeat=3))
WITHOUT, CELLS = (
    [
        Cell(switch, lazy, hooks, early, start)
        for switch, (lazy, hooks, early), start in itertools.product(switches, WAYS, starts)
    ]
    for switches, starts in (
        (["monkey", "nothing"], ["request"]),
        (["line", "environment"], ["import", "request"]),
    )
)
AT_ONCE = 4


def is_too_early(cell: Cell) -> bool:
    """Return whether the client is started before gevent patches anything, on kazoo's threads.

    In the master they now and then leave the lock of the interpreter to nobody when it forks, with
    kazoo alone as well. In a worker, whether they stand gevent's late patching is not ours to say.
    """
    return cell.switch == "environment" and not cell.early and cell.start == "import"


@pytest.fixture(scope="module")
def usual_lines(zookeeper_hosts: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Give the lines that uWSGI without us logs, in any of its ways."""
    directory = tmp_path_factory.mktemp("uwsgi")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = [
            pool.submit(run, cell, Path(directory, str(number)), zookeeper_hosts)
            for number, cell in enumerate(WITHOUT)
        ]
    return {line: 1 for outcome in outcomes for line in lines_of(outcome.result().log)}


@pytest.mark.parametrize("cell", [cell for cell in CELLS if not is_too_early(cell)], ids=str)
def test_every_worker_has_a_session_of_its_own_on_our_handler(
    zookeeper_hosts: str, tmp_path: Path, usual_lines: dict[str, int], cell: Cell
) -> None:
    """Two workers, and two more after a reload; the log has nothing that is not uWSGI's own."""
    outcome = run(cell, tmp_path / "uwsgi", zookeeper_hosts)
    before, after = outcome.workers
    assert len(before | after) == 4, outcome.log
    sessions = {(answer["pid"], answer["session"]) for answer in outcome.answers}
    assert len({session for _, session in sessions}) == len(sessions) == 4, outcome.answers
    assert outcome.threads == 1, "a worker that is forked while another thread runs hangs"
    handlers = {answer["handler"] for answer in outcome.answers}
    unusual = outcome.unlike(usual_lines)
    assert handlers == {"kazoo_gevent_patch.handler.sequential"}
    assert unusual == [], outcome.log

"""The Celery example is run as its text says, by a real worker."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.process.programs import Program
from tests.support import ROOT, run_python

EXAMPLE = ROOT / "examples" / "celery"
TASKS = 40
SEND = f"""
    import json, sys
    sys.path.insert(0, {str(EXAMPLE)!r})
    from app import increment
    results = [increment.delay() for _ in range({TASKS})]
    print(json.dumps([result.get(timeout=60, interval=0.05) for result in results]))
"""


def _results(pool: tuple[str, ...], tmp_path: Path, hosts: str) -> list[dict[str, Any]]:
    """Have a worker do all tasks, and end well; return what they returned."""
    env = {"ZK_HOSTS": hosts, "CELERY_FILES": str(tmp_path)}
    options = ["--without-gossip", "--without-mingle", "--loglevel", "info"]
    worker = Program(
        ["-m", "celery", "-A", "app", "worker", *pool, *options],
        cwd=EXAMPLE,
        log=tmp_path / "log",
        env=env,
    )
    with worker:
        worker.wait_for(lambda output: " ready." in output, timeout=60)
        try:
            answer = run_python(SEND, env=env, timeout=500)
        except AssertionError as error:
            raise AssertionError(f"{error}\n--- worker ---\n{worker.output}") from None
        assert worker.end(signal.SIGTERM) == 0, worker.output
        assert "Traceback" not in worker.output
    results: list[dict[str, Any]] = json.loads(answer.stdout)
    return results


@pytest.mark.parametrize(
    ("pool", "processes"),
    [(("-P", "gevent", "-c", "50"), 1), (("-P", "prefork", "-c", "2"), 2)],
    ids=["gevent", "prefork"],
)
def test_tasks_take_turns_at_a_lock_on_our_handler(
    pool: tuple[str, ...], processes: int, tmp_path: Path, zookeeper_hosts: str, chroot: str
) -> None:
    """Children of a worker that forks have a session each, of a client that was started before."""
    results = _results(pool, tmp_path, zookeeper_hosts + chroot)
    assert sorted(result["number"] for result in results) == list(range(1, TASKS + 1))
    assert {result["handler"] for result in results} == {"kazoo_gevent_patch.handler.sequential"}
    assert len({(result["pid"], result["session"]) for result in results}) == processes
    assert len({result["session"] for result in results}) == processes


def test_its_files_are_where_nobody_else_can_write(tmp_path: Path) -> None:
    """A folder in the one for temporary files may be there already, and somebody else's."""
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    for folder in (home, temporary):
        folder.mkdir()
    program = f"import sys; sys.path.insert(0, {str(EXAMPLE)!r}); import app; print(app.FILES)"
    files = Path(run_python(program, {"HOME": str(home), "TMPDIR": str(temporary)}).stdout.strip())
    assert files.is_relative_to(home)
    assert files.stat().st_mode & 0o077 == 0
    assert list(temporary.iterdir()) == []

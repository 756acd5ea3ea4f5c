"""The gunicorn example is run as its text says."""

from __future__ import annotations

from pathlib import Path

from tests.process.gunicorn_server import Gunicorn
from tests.support import ROOT

EXAMPLE = ROOT / "examples" / "gunicorn"


def test_the_example_serves_with_a_session_for_each_worker(
    tmp_path: Path, zookeeper_hosts: str, chroot: str
) -> None:
    """Both workers answer on our handler, are registered, and count without a gap."""
    server = Gunicorn(
        tmp_path,
        application=(EXAMPLE / "application.py").read_text(),
        configuration=(EXAMPLE / "gunicorn.conf.py").read_text(),
        env={"ZK_HOSTS": zookeeper_hosts + chroot},
    )
    with server:
        answers: list[dict[str, object]] = []
        server.answers_of_workers(lambda latest: len(latest) == 2, key="worker", seen=answers)
        assert {answer["handler"] for answer in answers} == {
            "kazoo_gevent_patch.handler.sequential"
        }
        assert len({answer["session"] for answer in answers}) == 2
        assert [answer["count"] for answer in answers] == list(range(1, len(answers) + 1))
        assert answers[-1]["workers"] == sorted({int(str(answer["worker"])) for answer in answers})
        assert server.stop() < 60
        assert "Traceback" not in server.log

"""Every way of switching the shim on in gunicorn, with real workers."""

from __future__ import annotations

import itertools
import os
import platform
import re
import signal
import time
import urllib.error
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.process.gunicorn_server import APPLICATION, Answer, Gunicorn
from tests.support import ROOT

THREADS = "kazoo.handlers.threading.SequentialThreadingHandler"
CONFIGURATION = r"^```python\n(from kazoo_gevent_patch\.gunicorn.*?)^```"
OURS = "kazoo_gevent_patch.handler.sequential.SequentialGeventHandler"
PATCH = "from kazoo_gevent_patch import patch_all; patch_all()"

CONFIGURATIONS = {
    "top of the configuration": PATCH,
    "post_fork imported": "from kazoo_gevent_patch.gunicorn import post_fork",
    "own post_fork": f"""
        def post_fork(server, worker):
            {PATCH}
    """,
    "first line of the application": "",
    "environment variable": "",
}
WAYS = list(
    itertools.product(
        CONFIGURATIONS,
        ("no preload", "preload"),
        ("started at import", "started at first request"),
        ("gevent", "gunicorn.workers.ggevent.GeventPyWSGIWorker"),
    )
)
QUICK = {
    ("top of the configuration", "preload", "started at import", "gevent"),
    ("post_fork imported", "preload", "started at import", "gevent"),
    ("post_fork imported", "no preload", "started at first request", "gevent"),
    ("own post_fork", "preload", "started at first request", "gevent"),
    ("first line of the application", "preload", "started at import", WAYS[1][3]),
    ("environment variable", "preload", "started at import", "gevent"),
    ("environment variable", "no preload", "started at import", WAYS[1][3]),
}


def ways() -> list[object]:
    """Return the 40 ways; all but a quick few are slow."""
    return [
        pytest.param(*way, marks=() if way in QUICK else pytest.mark.slow, id=", ".join(way))
        for way in WAYS
    ]


def gunicorn(
    directory: Path, hosts: str, way: tuple[str, str, str, str], **environment: str
) -> Gunicorn:
    """Return a gunicorn, not started yet, that switches the shim on in the given way."""
    how, preload, started, worker_class = way
    application = APPLICATION.format(
        first_line=PATCH if how == "first line of the application" else "",
        at_import="zk.start()" if started == "started at import" else "",
        at_request="zk.connected or zk.start()" if started == "started at first request" else "",
    )
    return Gunicorn(
        directory,
        application=application,
        configuration=CONFIGURATIONS[how],
        arguments=("-k", worker_class, *(["--preload"] if preload == "preload" else [])),
        env={
            "TEST_HOSTS": hosts,
            "KAZOO_GEVENT_PATCH": "1" if how == "environment variable" else "",
            **environment,
        },
    )


@pytest.mark.parametrize(("how", "preload", "started", "worker_class"), ways())
def test_every_worker_has_a_session_of_its_own(
    tmp_path: Path,
    zookeeper_hosts: str,
    chroot: str,
    how: str,
    preload: str,
    started: str,
    worker_class: str,
) -> None:
    """Two workers on ours, one session each; a killed one is replaced; a graceful stop."""
    way = (how, preload, started, worker_class)
    with gunicorn(tmp_path, zookeeper_hosts + chroot, way) as server:
        first = server.answers_of_workers(lambda answers: len(answers) == 2)
        latest = {answer["pid"]: answer for answer in (server.get() for _ in range(20))}
        assert latest.keys() <= first.keys()
        assert_sessions_of_their_own({**first, **latest})

        victim, survivor = first
        os.kill(victim, signal.SIGKILL)
        after = server.answers_of_workers(lambda answers: len(answers.keys() - {victim}) == 2)
        after.pop(victim, None)
        assert_sessions_of_their_own(after)
        assert after[survivor]["session"] == first[survivor]["session"]
        new_sessions = {answer["session"] for answer in after.values()}
        assert first[victim]["session"] not in new_sessions

        server.stop()
        assert "Traceback" not in server.log


def assert_sessions_of_their_own(answers: dict[int, Answer]) -> None:
    """Check what each worker answered, and that no two share a session."""
    assert len({answer["session"] for answer in answers.values()}) == len(answers) == 2
    for answer in answers.values():
        assert answer["handler"] == OURS
        assert "lock-" in str(answer["children"])
        assert answer["acquired"] is False


def test_the_hook_leaves_other_workers_alone(
    tmp_path: Path, zookeeper_hosts: str, chroot: str
) -> None:
    """With a sync worker post_fork only logs one line for each, and kazoo is kazoo's."""
    server = Gunicorn(
        tmp_path,
        application=APPLICATION.format(first_line="", at_import="zk.start()", at_request=""),
        configuration=CONFIGURATIONS["post_fork imported"],
        env={"TEST_HOSTS": zookeeper_hosts + chroot},
    )
    with server:
        for answer in server.answers_of_workers(lambda answers: len(answers) == 2).values():
            assert answer["handler"] == THREADS
        assert server.log.count("kazoo_gevent_patch leaves kazoo alone: SyncWorker") == 2


def test_the_hook_says_once_in_each_worker_that_the_patch_is_on(
    tmp_path: Path, zookeeper_hosts: str, chroot: str
) -> None:
    """With the options that hold, those of the environment too, and the versions."""
    way = ("post_fork imported", "preload", "started at import", "gevent")
    with gunicorn(
        tmp_path, zookeeper_hosts + chroot, way, KAZOO_GEVENT_PATCH_KEEP_SESSIONS="30"
    ) as server:
        server.answers_of_workers(lambda answers: len(answers) == 2)
        on = "kazoo_gevent_patch is on (replace_explicit=False, fork=reconnect, keep_sessions=30.0)"
        lines = [line for line in server.log.splitlines() if "kazoo_gevent_patch is" in line]
        assert len(lines) == 2
        for line in lines:
            assert (
                f"{on}, with Python {platform.python_version()}, kazoo {version('kazoo')}" in line
            )


def test_the_hook_says_once_in_each_worker_that_the_environment_rules_the_patch_out(
    tmp_path: Path, zookeeper_hosts: str, chroot: str
) -> None:
    """And the workers serve on kazoo's own handler."""
    way = ("post_fork imported", "no preload", "started at first request", "gevent")
    with gunicorn(tmp_path, zookeeper_hosts + chroot, way, KAZOO_GEVENT_PATCH="0") as server:
        for answer in server.answers_of_workers(lambda answers: len(answers) == 2).values():
            assert answer["handler"] == THREADS
        assert server.log.count("kazoo_gevent_patch is off: KAZOO_GEVENT_PATCH=0") == 2


def test_the_first_worker_alone_is_patched_as_docs_say(
    tmp_path: Path, zookeeper_hosts: str, chroot: str
) -> None:
    """The worker that replaces it is not."""
    page = (ROOT / "docs" / "production.md").read_text()
    [configuration] = re.findall(CONFIGURATION, page, re.MULTILINE | re.DOTALL)
    server = Gunicorn(
        tmp_path,
        application=APPLICATION.format(
            first_line="", at_import="", at_request="zk.connected or zk.start()"
        ),
        configuration=configuration,
        arguments=("-k", "gevent"),
        env={"TEST_HOSTS": zookeeper_hosts + chroot},
    )
    with server:
        first = server.answers_of_workers(lambda answers: len(answers) == 2)
        handlers = {answer["handler"]: pid for pid, answer in first.items()}
        assert handlers.keys() == {OURS, THREADS}
        os.kill(handlers[OURS], signal.SIGKILL)
        after = server.answers_of_workers(lambda answers: bool(answers.keys() - first.keys()))
        assert {answer["handler"] for answer in after.values()} == {THREADS}


def test_the_hook_does_not_disturb_gevents_patching(
    tmp_path: Path, zookeeper_hosts: str, chroot: str
) -> None:
    """gunicorn 2023, dify 26056: no warning of gevent's, and the worker is monkey patched.

    The hook runs before gevent has patched the worker; it must import nothing that minds.
    """
    application = (
        "import gevent.monkey, socket, ssl, threading\n"
        "assert gevent.monkey.is_module_patched('ssl')\n"
        "assert 'gevent' in socket.socket.__module__\n"
    ) + APPLICATION.format(first_line="", at_import="zk.start()", at_request="")
    server = Gunicorn(
        tmp_path,
        application=application,
        configuration=CONFIGURATIONS["post_fork imported"],
        arguments=("-k", "gevent"),
        env={"TEST_HOSTS": zookeeper_hosts + chroot, "PYTHONWARNINGS": "always"},
    )
    with server:
        server.answers_of_workers(lambda answers: len(answers) == 2)
        assert "MonkeyPatchWarning" not in server.log
        assert "Traceback" not in server.log


def test_requests_are_served_while_a_worker_restarts(
    tmp_path: Path, zookeeper_hosts: str, chroot: str
) -> None:
    """Killing both workers in turn loses no more than the requests they were serving."""
    with gunicorn(tmp_path, zookeeper_hosts + chroot, WAYS[0]) as server:
        first = server.answers_of_workers(lambda answers: len(answers) == 2)
        for victim in first:
            os.kill(victim, signal.SIGKILL)
        after = server.answers_of_workers(lambda answers: len(answers.keys() - first.keys()) == 2)
        deadline = time.monotonic() + 10
        served = 0
        while served < 20 and time.monotonic() < deadline:
            try:
                served += server.get()["pid"] in after
            except urllib.error.URLError:
                continue
        assert served == 20

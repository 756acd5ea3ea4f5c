"""``kazoo-gevent-patch doctor`` on real servers: what it finds, and how it says so."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from kazoo.security import READ_ACL_UNSAFE

from kazoo_gevent_patch.patching.versions import TESTED, beyond_tested
from tests.ports import free_block
from tests.server.doctor import children_of, client_of, doctor, findings
from tests.support import COMMAND, run_command
from tests.zookeeper import ZooKeeper

HIDE_KAZOO = """
import importlib.machinery, importlib.metadata
version = importlib.metadata.version

def of_what_is_there(name):
    if name == "kazoo":
        raise importlib.metadata.PackageNotFoundError(name)
    return version(name)

importlib.metadata.version = of_what_is_there
find = importlib.machinery.PathFinder.find_spec
importlib.machinery.PathFinder.find_spec = lambda name, path=None, target=None: (
    None if name.partition(".")[0] == "kazoo" else find(name, path, target)
)
"""

STEPS = ("resolve", "connect", "session", "path", "round trips", "temporary node", "watch", "lock")


def test_all_is_ok_with_a_server(zookeeper_hosts: str, chroot: str) -> None:
    """Every step is ok, tells what it measured, and the temporary node is gone."""
    found = doctor("--hosts", zookeeper_hosts + chroot, code=0)
    assert found["server"]["text"].startswith(f"{zookeeper_hosts}: ZooKeeper ")
    assert set(STEPS) | {"heartbeat", "clean-up"} <= set(found)
    assert found["session"]["values"]["handler"].startswith(
        "kazoo_gevent_patch.handler.sequential."
    )
    trips = found["round trips"]["values"]
    assert trips["count"] == 100
    assert 0 < trips["median"] <= trips["p99"]
    heartbeat = found["heartbeat"]["values"]
    assert heartbeat["seconds"] > found["session"]["values"]["session_timeout"]
    assert children_of(zookeeper_hosts + chroot) == []


@pytest.mark.slow
def test_text_and_json_say_the_same(zookeeper_hosts: str, chroot: str) -> None:
    """Each finding is a line: its level, its check, its text; without control codes."""
    arguments = ["--hosts", zookeeper_hosts + chroot]
    text = run_command(["doctor", *arguments]).stdout
    found = doctor(*arguments, code=0)
    assert "\x1b" not in text
    assert "\r" not in text
    lines = [line.split(None, 1) for line in text.splitlines()[:-2]]
    assert {level for level, _ in lines} == {"ok"}
    for check, finding in found.items():
        (line,) = [rest for _, rest in lines if rest.startswith(check)][-1:]
        assert _without_numbers(line) == _without_numbers(f"{check:<16}  {finding['text']}")
    assert text.splitlines()[-1] == f"{len(lines)} ok, 0 warnings, 0 problems"


def _without_numbers(text: str) -> str:
    return re.sub(r"0x[0-9a-f]+|[0-9a-f]{32}|[0-9.]+", "N", text)


def test_no_server_is_a_clear_line(free_port: int) -> None:
    """The connection is refused; what needs a server is named and not tried."""
    found = doctor("--hosts", f"127.0.0.1:{free_port}", "--timeout", "5", code=2)
    assert found["connect"]["level"] == "problem"
    assert f"127.0.0.1:{free_port}" in found["connect"]["text"]
    assert "refused" in found["connect"]["text"]
    assert found["connect"]["advice"]
    assert found["not checked"]["text"].startswith("session, path, round trips")


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on."""
    return free_block([0])


def test_a_server_that_does_not_answer_costs_the_time_given_and_no_more(
    zk_server: ZooKeeper,
) -> None:
    """A paused server takes connections, but gives no session."""
    zk_server.pause()
    begin = time.monotonic()
    found = doctor("--hosts", zk_server.hosts, "--timeout", "2", code=2)
    assert found["connect"]["level"] == "ok"
    assert found["session"]["level"] == "problem"
    assert found["session"]["text"].startswith("none in 2 s")
    # Three steps, each with its grace, and the start of a process on a busy machine.
    assert time.monotonic() - begin < 60


def test_one_server_of_several_that_is_down_is_a_warning(
    zookeeper_hosts: str, chroot: str, free_port: int
) -> None:
    """The rest is checked all the same."""
    hosts = f"{zookeeper_hosts},127.0.0.1:{free_port}{chroot}"
    found = doctor("--hosts", hosts, "--timeout", "10", code=1)
    assert found["connect"]["level"] == "warning"
    assert found["lock"]["level"] == "ok"


def test_kazoo_that_is_missing_is_to_be_installed(tmp_path: Path) -> None:
    """It is not called old, and the servers that are named are not checked."""
    (tmp_path / "sitecustomize.py").write_text(HIDE_KAZOO)
    found = findings("--hosts", "h:2181", code=2, env={"PYTHONPATH": str(tmp_path)})
    lines = [f"{one['level']} {one['text']} -> {one['advice']}" for one in found]
    assert "problem kazoo is not installed -> install kazoo" in lines
    assert "warning the servers -> first do what is said above" in lines
    assert not [line for line in lines if "older" in line or "upgrade" in line]


def test_a_name_that_is_not_known_is_a_problem() -> None:
    """The line names it."""
    found = doctor("--hosts", "no-such-host.invalid:2181", "--timeout", "5", code=2)
    assert found["resolve"]["level"] == "problem"
    assert "no-such-host.invalid:2181" in found["resolve"]["text"]


@pytest.mark.parametrize("where", ["chroot", "path"])
def test_a_path_that_does_not_exist_is_a_problem(
    where: str, zookeeper_hosts: str, chroot: str
) -> None:
    """A wrong chroot, or a wrong --path; nothing is created."""
    arguments = ["--hosts", f"{zookeeper_hosts}{chroot}/missing"]
    if where == "path":
        arguments = ["--hosts", zookeeper_hosts + chroot, "--path", "/missing"]
    found = doctor(*arguments, code=2)
    assert found["path"]["level"] == "problem"
    assert "/missing does not exist" in found["path"]["text"]
    assert "heartbeat" in found  # the other steps are done
    assert children_of(zookeeper_hosts + chroot) == []


@pytest.mark.slow
def test_an_acl_that_forbids_writing_is_a_warning(zookeeper_hosts: str, chroot: str) -> None:
    """Reading and the heartbeat are checked; the cure is a path where one may write."""
    with client_of(zookeeper_hosts + chroot) as client:
        client.create("/closed", acl=READ_ACL_UNSAFE)
        client.create("/open")
    hosts = zookeeper_hosts + chroot
    found = doctor("--hosts", hosts, "--path", "/closed", code=1)
    assert found["temporary node"]["level"] == "warning"
    assert "the ACL of /closed forbids" in found["temporary node"]["text"]
    assert found["round trips"]["level"] == found["heartbeat"]["level"] == "ok"
    assert found["not checked"]["text"] == "watch, lock"
    found = doctor("--hosts", hosts, "--path", "/open", code=0)
    assert "/open/kazoo-gevent-patch-doctor-" in found["temporary node"]["text"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--hosts", "host:port"], "argument --hosts: 'host:port' is not host:port,.../chroot"),
        (["--hosts", ""], "argument --hosts: '' is not"),
        (["--hosts", "h", "--timeout", "0"], "argument --timeout: '0' is not a number of seconds"),
        (["--hosts", "h", "--timeout", "nan"], "argument --timeout: 'nan' is not a number"),
        (["--hosts", "h", "--path", "x"], "argument --path: 'x' does not begin with /"),
        (["--hosts", "h", "--path", "x" * 100_000], "does not begin with /"),
        (
            ["--hosts", f"host:{'x' * 100_000}"],
            "is not host:port,.../chroot: Port could not be cast",
        ),
        (["--hosts", "h", "--tls", "--ca", "/none"], "argument --ca: there is no file '/none'"),
        (["--hosts", "h", "--tls", "--cert", __file__], "--cert needs --key"),
        (["--hosts", "h", "--no-verify"], "--no-verify needs --tls"),
        (["--tls"], "--tls needs --hosts"),
        (["--hosts", "h", "--tls", "--no-verify", "--check-hostname"], "--check-hostname cannot"),
    ],
)
def test_bad_input_is_one_clear_line(arguments: list[str], complaint: str) -> None:
    """After argparse's usage; no traceback, nothing on standard output, exit code 2."""
    result = run_command(["doctor", *arguments], check=False)
    assert result.returncode == 2
    assert complaint in result.stderr.splitlines()[-1]
    assert len(result.stderr.splitlines()[-1]) < 1000
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_without_hosts_the_process_is_checked() -> None:
    """Versions, environment, what was imported and patched before, and the patch."""
    found = doctor(code=0)
    assert set(found) == {"version", "environment", "kazoo", "gevent", "patch", "sessions"}
    assert found["sessions"]["text"].startswith("kept as long as the process lives")
    assert re.search(r"(\d+) of \1 changes applied", found["patch"]["text"])
    assert found["gevent"]["text"].startswith("not patched when the doctor began")


@pytest.mark.parametrize(
    ("variable", "value", "level"),
    [
        ("KAZOO_GEVENT_PATCH", "1", "ok"),
        ("KAZOO_GEVENT_PATCH", "0", "ok"),
        ("KAZOO_GEVENT_PATCH", "yes", "warning"),
        ("KAZOO_GEVENT_PATCH_STALLS", "", "ok"),
        ("KAZOO_GEVENT_PATHC", "1", "warning"),
        ("KAZOO_GEVENT_PATCH_KEEP_SESSIONS", "30", "ok"),
        ("KAZOO_GEVENT_PATCH_KEEP_SESSIONS", "long", "warning"),
    ],
)
def test_variables_that_are_set_wrong_are_told(variable: str, value: str, level: str) -> None:
    """A value that is not understood, and a name that is not ours."""
    found = doctor(code=int(level == "warning"), env={variable: value})
    assert found["environment"]["level"] == level
    assert variable in found["environment"]["text"]


@pytest.mark.parametrize("value", ["x" * 100_000, "1." + "0" * 100_000], ids=["wrong", "right"])
def test_a_long_value_is_not_shown_whole(value: str) -> None:
    """Be it understood or not."""
    code = int(value.startswith("x"))
    found = doctor(code=code, env={"KAZOO_GEVENT_PATCH_KEEP_SESSIONS": value})
    assert len(found["environment"]["text"]) < 500


def test_modules_that_were_imported_too_early_are_told(tmp_path: Path) -> None:
    """One that holds what gevent replaces, as gevent itself warns; kazoo itself is no problem."""
    (tmp_path / "early.py").write_text("from ssl import SSLContext\nimport kazoo.client\n")
    (tmp_path / "sitecustomize.py").write_text("import early\n")
    path = os.pathsep.join([str(tmp_path), *sys.path[:1], os.environ.get("PYTHONPATH", "")])
    found = doctor(code=1, env={"PYTHONPATH": path})
    assert found["gevent"]["level"] == "warning"
    assert "imported too early" in found["gevent"]["text"]
    assert "early" in found["gevent"]["text"]
    assert "kazoo.client" in found["kazoo"]["text"]


def test_under_run_the_doctor_finds_the_patches_in_place() -> None:
    """``run -m kazoo_gevent_patch doctor`` tells what a program would find."""
    text = run_command(["run", "-m", "kazoo_gevent_patch", "doctor"]).stdout
    assert "the standard library was patched before the doctor began" in text
    assert "patch_all() was on when the doctor began" in text


def test_versions_beyond_the_tested_range_are_told() -> None:
    """A bound stands for every release that begins with it."""
    oldest, newest = TESTED["kazoo"]
    assert beyond_tested("kazoo", oldest) == beyond_tested("kazoo", newest) == ""
    assert beyond_tested("kazoo", "2.7.9") == "older"
    assert beyond_tested("kazoo", f"{newest}.post1") == ""
    assert beyond_tested("kazoo", "99.0") == "newer"
    assert beyond_tested("Python", f"{TESTED['Python'][1]}.9") == ""
    assert beyond_tested("Python", "3.99.0") == "newer"
    assert beyond_tested("greenlet", "99") == ""


@pytest.mark.parametrize(
    ("version", "code", "text"),
    [("99.0", 0, "newer than tested, no trouble known"), ("1.0", 2, "is older")],
)
def test_a_version_that_is_not_tested(tmp_path: Path, version: str, code: int, text: str) -> None:
    """A newer one is no trouble; an older one is a problem."""
    information = tmp_path / f"gunicorn-{version}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Name: gunicorn\nVersion: {version}\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    result = run_command(["doctor"], env={"PYTHONPATH": path}, check=False)
    assert result.returncode == code, result.stdout
    [line] = [line for line in result.stdout.splitlines() if f"gunicorn {version}" in line]
    assert text in line


def test_a_free_threaded_build_is_a_problem(tmp_path: Path) -> None:
    """The build says so of itself, in the variables that it was configured with."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sysconfig; sysconfig.get_config_vars()['Py_GIL_DISABLED'] = 1\n"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    result = run_command(["doctor"], env={"PYTHONPATH": path}, check=False)
    assert result.returncode == 2
    assert "free-threaded build, which gevent does not support" in result.stdout


@pytest.mark.parametrize("no_color", ["", "1"])
def test_colours_are_for_terminals_that_want_them(no_color: str) -> None:
    """On a terminal lines are coloured, unless NO_COLOR says otherwise."""
    text = _on_terminal([COMMAND, "doctor"], {"NO_COLOR": no_color, "TERM": "xterm"})
    assert "changes applied" in text
    assert ("\x1b[32mok" in text) == (not no_color)
    assert "\x1b" not in _on_terminal([COMMAND, "doctor"], {"TERM": "dumb"})


def _on_terminal(command: list[str], env: dict[str, str]) -> str:
    """Run a command with a terminal as its standard output, and return what it wrote."""
    ours, theirs = pty.openpty()
    try:
        with os.fdopen(theirs, "wb") as terminal:
            process = subprocess.Popen(command, stdout=terminal, env={**os.environ, **env})
        written = b""
        with suppress(OSError):  # what Linux raises when the other side is closed
            while piece := os.read(ours, 1 << 16):
                written += piece
        assert process.wait(timeout=60) == 0
    finally:
        os.close(ours)
    return written.decode()

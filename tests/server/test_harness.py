"""The servers of the harness are real, keep their data, and leave nothing behind."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from kazoo.client import KazooClient

from tests.support import ROOT, run_python, wait_until
from tests.zookeeper import Ensemble, StartError, ZooKeeper

pytestmark = pytest.mark.usefixtures("own_servers")


@contextmanager
def connected(hosts: str) -> Iterator[KazooClient]:
    client = KazooClient(hosts, timeout=5.0)
    client.start()
    try:
        yield client
    finally:
        client.stop()
        client.close()


def is_alive(pid: int) -> bool:
    # An orphan that was killed can stay a zombie where the first process reaps none.
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_server_answers(zk_server: ZooKeeper) -> None:
    assert zk_server.four_letter("ruok") == "imok"
    assert zk_server.mode() == "standalone"
    with connected(zk_server.hosts) as client:
        assert client.get_children("/") == ["zookeeper"]


def test_the_shared_server_has_the_test_path(zookeeper_hosts: str, chroot: str) -> None:
    with connected(zookeeper_hosts + chroot) as client:
        assert client.get_children("/") == []


def test_a_killed_server_has_its_data_when_it_is_back(zk_server: ZooKeeper) -> None:
    hosts = zk_server.hosts
    with connected(hosts) as client:
        client.create("/kept", b"data")
    zk_server.kill()
    assert not zk_server.is_running
    with pytest.raises(ConnectionRefusedError):
        zk_server.four_letter("ruok")
    zk_server.start()
    assert zk_server.hosts == hosts
    with connected(hosts) as client:
        assert client.get("/kept")[0] == b"data"


def test_a_paused_server_answers_when_it_is_resumed(zk_server: ZooKeeper) -> None:
    zk_server.pause()
    with socket.create_connection(("127.0.0.1", zk_server.port), timeout=0.5) as connection:
        connection.sendall(b"ruok")
        with pytest.raises(TimeoutError):
            connection.recv(4)
        zk_server.resume()
        connection.settimeout(5.0)
        assert connection.recv(4) == b"imok"


def test_a_paused_server_can_be_stopped(zk_server: ZooKeeper) -> None:
    pid = zk_server.pid
    zk_server.pause()
    zk_server.stop()
    assert not is_alive(pid)


def test_short_sessions_and_big_nodes_are_allowed() -> None:
    with ZooKeeper(jute_maxbuffer=4_000_000) as server, connected(server.hosts) as client:
        assert "minSessionTimeout=1000" in server.four_letter("conf")
        client.create("/big", b"x" * 2_000_000)


def test_a_server_that_cannot_start_shows_its_log() -> None:
    server = ZooKeeper(extra_config={"tickTime": "often"})
    with pytest.raises(StartError, match=r'(?s)did not come up.*"often"'):
        server.start()
    server.close()


def test_a_taken_port_is_left_to_its_owner() -> None:
    server = ZooKeeper()
    with socket.create_server(("127.0.0.1", server.port)) as owner:
        server.start()
        assert server.port != owner.getsockname()[1]
        assert server.four_letter("ruok") == "imok"
        server.close()


def test_an_ensemble_has_one_leader(ensemble: Ensemble) -> None:
    assert ensemble.leader() in ensemble.servers
    assert len(ensemble.followers()) == 2


def test_an_ensemble_elects_a_leader_when_it_loses_one(ensemble: Ensemble) -> None:
    with connected(ensemble.hosts) as client:
        client.create("/kept", b"data")
    old_leader = ensemble.leader()
    old_leader.kill()
    wait_until(
        lambda: sorted(server.mode() for server in ensemble.servers) == ["", "follower", "leader"],
        timeout=20.0,
        message="no new leader",
    )
    old_leader.start()
    assert old_leader.mode() == "follower"
    with connected(old_leader.hosts) as client:
        client.sync("/kept")
        assert client.get("/kept")[0] == b"data"


def test_nothing_is_left_of_a_closed_server() -> None:
    server = ZooKeeper()
    server.start()
    pid = server.pid
    home = Path(server.four_letter("conf").partition("dataDir=")[2].partition("\n")[0]).parents[1]
    assert home.exists()
    server.close()
    assert not is_alive(pid)
    assert not home.exists()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_of_a_test_run_that_is_ended(
    number: signal.Signals, workers: int, tmp_path: Path
) -> None:
    """No server and no temporary file, be it killed; in the home folder nothing is ever put."""
    pid_file = tmp_path / "pid"
    test = tmp_path / "test_hang.py"
    test.write_text(
        f"""
import time
from pathlib import Path

def test_hang(zk_server, tmp_path):
    (tmp_path / "file").touch()
    Path({str(pid_file)!r}).write_text(str(zk_server.pid))
    time.sleep(600)
"""
    )
    places = {"TMPDIR": tmp_path / "temporary", "HOME": tmp_path / "home"}
    for place in places.values():
        place.mkdir()
    pytest_run = ["-m", "pytest", "-q", "-n", str(workers), "-p", "tests.conftest"]
    process = subprocess.Popen(
        [sys.executable, *pytest_run, "-p", "no:cacheprovider", str(test)],
        cwd=ROOT,
        env={**os.environ, **{name: str(place) for name, place in places.items()}},
    )
    try:
        pid = int(wait_until(lambda: pid_file.exists() and pid_file.read_text()))
        process.send_signal(number)
        process.wait(60)
        wait_until(lambda: not is_alive(pid), message="the server outlived the test run")
        wait_until(
            lambda: not any(any(place.iterdir()) for place in places.values()),
            message=lambda: str([str(path) for path in tmp_path.rglob("*")]),
        )
    finally:
        process.kill()
        process.wait()


def test_run_python_takes_what_the_snippet_started_with_it() -> None:
    result = run_python("""
        import subprocess, sys
        print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid)
    """)
    pid = int(result.stdout)
    wait_until(lambda: not is_alive(pid), message="the snippet's child outlived it")


def test_run_python_shows_where_a_snippet_hangs() -> None:
    with pytest.raises(AssertionError, match=r"(?s)did not end in 1 s.*in stuck"):
        run_python("def stuck():\n    while True: pass\nstuck()", timeout=1.0)


def test_run_python_shows_why_a_snippet_failed() -> None:
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        run_python("1 / 0")
    assert run_python("1 / 0", check=False).returncode == 1
    assert run_python(["-c", "import os; print(os.environ['A'])"], env={"A": "b"}).stdout == "b\n"
    assert Path(run_python("import os; print(os.getcwd())").stdout.strip()) == Path(os.getcwd())

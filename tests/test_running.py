"""How the tests are run: side by side or alone, leaving nothing, with the reasons at the end."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT, run_python, wait_until

TURN = """
import sys
from pathlib import Path
from tests import neighbours
name, folder, is_alone = sys.argv[1], Path(sys.argv[2]), sys.argv[3] == "alone"
neighbours._FOLDER = folder
with open(folder / "log", "a", buffering=1) as log:
    print("ready", flush=True)
    with neighbours.turn(is_alone=is_alone):
        print(name, "begins", file=log)
        sys.stdin.readline()
        print(name, "ends", file=log)
"""
OWN_FOLDER = """
import os, sys, tempfile
from pathlib import Path
from tests.temporary import use_own_folder
remove = use_own_folder()
Path(tempfile.mkdtemp(), "file").touch()
print("ready", flush=True)
sys.stdin.readline()
remove()
"""
SHELL_FOLDER = """
source .ci/setup.sh
own_temporary_folder
touch "$(mktemp -d)/file"
echo ready
read -r line
"""

PREREQUISITES = """
source .ci/setup.sh
usable_python() { false; }
PATH=$1
ensure zookeeper python compiler
"""
INSTALLER = """
source "$0/.ci/setup.sh"
quietly sh -c 'seq 100; exit 3' && echo goes on || echo "status $?"
"""


def start(*command: str, **variables: str) -> subprocess.Popen[str]:
    """Start a program that says that it is ready, and goes on when it is told a line."""
    environment = {**os.environ, **variables}
    environment.pop("KAZOO_TESTS_HAVE_TURN", None)
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command, stdin=pipe, stdout=pipe, env=environment, cwd=ROOT, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_a_test_that_is_alone_has_no_neighbour(tmp_path: Path) -> None:
    """It waits for those that have begun, and others wait for it."""
    log = tmp_path / "log"

    def takes_turn(name: str, how: str) -> subprocess.Popen[str]:
        return start(sys.executable, "-c", TURN, name, str(tmp_path), how)

    def door_is_shut() -> bool:
        with (tmp_path / "door").open("w") as door:
            try:
                fcntl.flock(door, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    two = [takes_turn("first", "beside"), takes_turn("second", "beside")]
    wait_until(lambda: log.read_text().count("begins") == 2)
    alone = takes_turn("alone", "alone")
    wait_until(door_is_shut)
    late = takes_turn("late", "beside")
    for process in (*two, alone, late):
        process.communicate("\n", timeout=30)
    said = log.read_text().splitlines()
    assert {*said[:4]} == {"first begins", "first ends", "second begins", "second ends"}
    assert said[4:] == ["alone begins", "alone ends", "late begins", "late ends"]


@pytest.mark.parametrize(
    "command",
    [(sys.executable, "-c", OWN_FOLDER), ("bash", "-c", SHELL_FOLDER)],
    ids=["pytest", "shell"],
)
@pytest.mark.parametrize("ending", ["by itself", signal.SIGTERM, signal.SIGKILL])
def test_no_temporary_file_is_left(
    tmp_path: Path, command: tuple[str, ...], ending: signal.Signals | str
) -> None:
    """However the run ends, its folder goes, with what is in it."""
    process = start(*command, TMPDIR=str(tmp_path))
    [folder] = tmp_path.iterdir()
    assert list(folder.rglob("file"))
    if isinstance(ending, signal.Signals):
        process.send_signal(ending)
    process.communicate("\n", timeout=30)
    wait_until(lambda: not list(tmp_path.iterdir()), message=lambda: str(list(folder.rglob("*"))))


def test_all_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    """On a machine that lacks everything, and where nothing can be installed."""
    environment = {name: value for name, value in os.environ.items() if name != "ZK_HOSTS"}
    result = subprocess.run(
        ["bash", "-c", PREREQUISITES, "examples/demo.sh", str(tmp_path)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    [command] = [line for line in result.stderr.splitlines() if "apt-get update && " in line]
    lacking = {"default-jre-headless", "python3", "python3-venv", "gcc", "libc6-dev", "python3-dev"}
    assert lacking <= set(command.split())
    assert "ZK_HOSTS=127.0.0.1:2181 examples/demo.sh" in result.stderr
    assert result.stderr.count("error:") == 1


def test_an_installer_writes_into_a_log_that_is_named_when_it_fails(tmp_path: Path) -> None:
    """Its last lines are shown, and the script has its status."""
    command = ["bash", "-c", INSTALLER, str(ROOT)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert result.stdout == "status 3\n"
    assert "\n81\n" in f"\n{result.stderr}"
    assert "\n80\n" not in f"\n{result.stderr}"
    log = tmp_path / "build" / "setup.log"
    assert result.stderr.rstrip().endswith(f"all that was printed is in {log}")
    assert "\n1\n2\n" in log.read_text()


def parts(logs: Path, *named: str) -> subprocess.CompletedProcess[str]:
    return run_python(["-m", "tests.parts", f"--logs={logs}", *named], env={"CI": "1"}, check=False)


def pytest_of(directory: Path, name: str, *bodies: str) -> str:
    """Return a part that runs tests with those bodies."""
    test = directory / f"test_{name}.py"
    test.write_text(
        "".join(f"def test_{name}_{number}(): {body}\n" for number, body in enumerate(bodies))
    )
    return f"{name}={sys.executable} -m pytest -q -c {os.devnull} -p no:cacheprovider {test}"


def test_the_last_line_says_what_passed(tmp_path: Path) -> None:
    """In all parts together; a part that counts nothing adds nothing."""
    one = pytest_of(tmp_path, "one", "pass", "pass")
    other = pytest_of(tmp_path, "other", "pass", "import pytest; pytest.skip('x')")
    result = parts(tmp_path, one, "lint=true", other)
    assert result.returncode == 0
    assert result.stdout.splitlines()[-1] == "3 passed, 0 failed, 1 skipped"


def test_the_last_ten_lines_say_what_failed_and_why(tmp_path: Path) -> None:
    """Whatever was written before, and the failure of kazoo alone is the first of them."""
    many = pytest_of(tmp_path, "many", "print('x\\n' * 1000); assert 1 == 2", *["assert 0"] * 20)
    alone = pytest_of(tmp_path, "kazoo")
    (tmp_path / "test_kazoo.py").write_text(
        "import pytest\ndef test_kazoo_passes_alone(): pytest.fail('kazoo alone', pytrace=False)\n"
    )
    result = parts(tmp_path, many, alone, "lint=sh -c 'exit 5'", "good=true")
    assert result.returncode == 1
    last = result.stdout.splitlines()[-10:]
    assert last[0].startswith("kazoo: FAILED")
    assert last[0].endswith("test_kazoo_passes_alone - Failed: kazoo alone")
    assert last[1].startswith("many: FAILED")
    assert "assert 1 == 2" in last[1]
    assert last[8].startswith("... and ")
    assert last[9].startswith("failed: many, kazoo, lint;")


def test_a_part_that_is_no_test_says_why_in_its_last_words(tmp_path: Path) -> None:
    """As a linter does."""
    result = parts(tmp_path, "lint=sh -c 'echo line 5 is too long; exit 3'")
    assert "lint: line 5 is too long" in result.stdout.splitlines()[-2:]


def test_an_interrupt_ends_the_parts(tmp_path: Path) -> None:
    """And what they have started."""
    pid_file = tmp_path / "pid"
    sleep = f"sleep=sh -c 'sleep 600 & echo $! > {pid_file}; wait'"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.parts", f"--logs={tmp_path}", sleep], cwd=ROOT
    )
    pid = int(wait_until(lambda: pid_file.exists() and pid_file.read_text().strip()))
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGINT
    wait_until(lambda: not Path(f"/proc/{pid}").exists() or "zombie" in _state(pid))


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text()

"""``kazoo-gevent-patch run``: a program cannot tell it from ``python``, but for the patch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests import children
from tests.ports import free_block
from tests.support import ROOT, wait_until

RUN = ("-m", "kazoo_gevent_patch", "run")

NAMESPACE = """
import __main__, os, pickle, sys

class Thing:
    pass

mine = {name: value for name, value in globals().items() if name.startswith("__")}
mine["__builtins__"] = type(__builtins__)
for name in ("__loader__", "__spec__"):
    mine[name] = (type(mine[name]), getattr(mine[name], "name", None))
print(sorted((name, str(value)) for name, value in mine.items()))
print(sys.argv, sys.path[0], __name__, __main__.Thing is Thing)
print(type(pickle.loads(pickle.dumps(Thing()))) is Thing)
"""

ENDINGS = {
    "it returns": "print('here')",
    "exit code": "raise SystemExit(7)",
    "exit text": "raise SystemExit('why')",
    "exit without": "raise SystemExit",
    "exit, deeper": "import sys\ndef f(): sys.exit(3)\nf()",
    "error": "def f():\n    raise ValueError('it')\nf()",
    "error with a cause": "try:\n    1 / 0\nexcept ArithmeticError:\n    raise KeyError('it')",
    "syntax": "print('not this')\ndef f(:\n    pass",
    "interrupt": "raise KeyboardInterrupt",
    "its own hook": "import sys\nsys.excepthook = lambda *a: print(a[0], a[2].tb_lineno)\n1 / 0",
    "the hook it finds": "import sys\nprint(sys.excepthook is sys.__excepthook__)",
    "exit handler": "import __main__, atexit\nx = 5\natexit.register(lambda: print(__main__.x))",
    "killed": "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)",
    "aborted": "import os\nos.abort()",
}


def _python(
    arguments: Sequence[str], directory: Path, given: bytes = b""
) -> subprocess.CompletedProcess[str]:
    """Run Python in a directory; ``given`` is its standard input."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    result = subprocess.run(
        [sys.executable, *arguments],
        input=given,
        capture_output=True,
        timeout=60,
        check=False,
        cwd=directory,
        env={**os.environ, "PYTHONPATH": path},
    )
    out, err = result.stdout.decode(), result.stderr.decode()
    return subprocess.CompletedProcess(result.args, result.returncode, out, err)


def _assert_same(arguments: Sequence[str], directory: Path, given: bytes = b"") -> str:
    """Fail unless `run` does with a program what `python` does; return the standard output."""
    plain = _python(arguments, directory, given)
    ours = _python([*RUN, *arguments], directory, given)
    assert ours.stdout == plain.stdout
    assert ours.stderr == plain.stderr
    assert ours.returncode == plain.returncode
    return ours.stdout


@pytest.mark.parametrize("ending", list(ENDINGS))
def test_a_script_ends_as_under_python(ending: str, tmp_path: Path) -> None:
    """Output, exit code or signal, and the traceback to the letter."""
    (tmp_path / "script.py").write_text(ENDINGS[ending])
    _assert_same(["script.py"], tmp_path)


@pytest.mark.parametrize("ending", ["exit code", "error", "syntax", "interrupt"])
def test_a_module_ends_as_under_python(ending: str, tmp_path: Path) -> None:
    """Also with -m, where python's own traceback begins with runpy."""
    (tmp_path / "script.py").write_text(ENDINGS[ending])
    _assert_same(["-m", "script"], tmp_path)


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A directory with the same program in every form that python takes."""
    (tmp_path / "script.py").write_text(NAMESPACE)
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("import sys\nprint(sys.argv)")
    (package / "__main__.py").write_text(NAMESPACE)
    (package / "inner.py").write_text(NAMESPACE)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "link.py").symlink_to(tmp_path / "script.py")
    with zipfile.ZipFile(tmp_path / "program.zip", "w") as archive:
        archive.writestr("__main__.py", NAMESPACE)
    return tmp_path


@pytest.mark.parametrize(
    "program",
    [
        "script.py",
        "./script.py",
        "elsewhere/link.py",
        "package",
        "program.zip",
        "-",
        "-m script",
        "-m package",
        "-m package.inner",
    ],
)
def test_a_program_finds_itself_as_under_python(program: str, programs: Path) -> None:
    """Arguments, import path, and everything in ``__main__``, which can be imported and pickled."""
    out = _assert_same([*program.split(), "--help", "-m", "x"], programs, NAMESPACE.encode())
    assert "'--help', '-m', 'x'] " in out
    assert out.endswith("True\nTrue\n")


@pytest.mark.parametrize("source", [NAMESPACE, ENDINGS["error"], ENDINGS["interrupt"]])
def test_the_installed_command_does_the_same(source: str, tmp_path: Path) -> None:
    """Its directory is not on the program's import path, nor are its frames in a traceback."""
    project = (ROOT / "pyproject.toml").read_text()
    _, _, entry_point = project.partition('\nkazoo-gevent-patch = "')
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "kazoo-gevent-patch"
    module, function = entry_point.split('"')[0].split(":")
    command.write_text(f"import sys\nfrom {module} import {function}\nsys.exit({function}())")
    (tmp_path / "script.py").write_text(source)
    plain = _python(["script.py", "x"], tmp_path)
    ours = _python([str(command), "run", "script.py", "x"], tmp_path)
    assert (ours.stdout, ours.stderr) == (plain.stdout, plain.stderr)
    assert ours.returncode == plain.returncode


def test_a_compiled_script_runs(programs: Path) -> None:
    """A .pyc is run as python runs it."""
    _python(["-m", "compileall", "-b", "-q", "script.py"], programs)
    assert "script.pyc" in _assert_same(["script.pyc"], programs)


@pytest.mark.parametrize("program", ["-m not_there", "elsewhere", "-m package.not_there"])
def test_a_module_that_is_not_there_is_reported_as_by_python(program: str, programs: Path) -> None:
    """Python's own line, and its exit code."""
    _assert_same(program.split(), programs)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["run"], "what to run is missing: a SCRIPT, or -m and a MODULE"),
        (["run", "-m"], "what to run is missing: a SCRIPT, or -m and a MODULE"),
        (["run", "--nonsense", "script.py"], "unrecognized arguments: --nonsense"),
        (["run", "not_there.py"], "not_there.py': [Errno 2] No such file or directory"),
        (["nonsense"], "invalid choice: 'nonsense'"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_bad_input_is_one_clear_line(arguments: list[str], complaint: str, tmp_path: Path) -> None:
    """After argparse's usage; no traceback, and exit code 2."""
    result = _python(["-m", "kazoo_gevent_patch", *arguments], tmp_path)
    assert result.returncode == 2
    assert complaint in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["doctor", "--help"]])
def test_help_is_plain_text(arguments: list[str], tmp_path: Path) -> None:
    """Each command explains itself, without control codes where there is no terminal."""
    result = _python(["-m", "kazoo_gevent_patch", *arguments], tmp_path)
    assert result.returncode == 0
    assert result.stdout.startswith("usage: kazoo-gevent-patch")
    assert "\x1b" not in result.stdout


def test_the_standard_library_and_kazoo_are_patched(tmp_path: Path) -> None:
    """Before the program's first line; with --no-monkey, only kazoo."""
    (tmp_path / "script.py").write_text(
        "import gevent.monkey\n"
        "from kazoo.client import KazooClient\n"
        "print(gevent.monkey.is_module_patched('socket'), type(KazooClient().handler).__module__)"
    )
    ours = "kazoo_gevent_patch.handler.sequential\n"
    assert _python([*RUN, "script.py"], tmp_path).stdout == f"True {ours}"
    assert _python([*RUN, "--no-monkey", "script.py"], tmp_path).stdout == f"False {ours}"
    assert _python([*RUN, "--no-monkey", "-m", "script"], tmp_path).stdout == f"False {ours}"


def test_a_kazoo_that_cannot_be_patched_is_one_clear_line(tmp_path: Path) -> None:
    """The program does not run."""
    pretend = (
        "import importlib.metadata as metadata; version = metadata.version\n"
        "metadata.version = lambda name: '2.7.0' if name == 'kazoo' else version(name)\n"
        "from kazoo_gevent_patch.__main__ import main; main(['run', 'script.py'])"
    )
    (tmp_path / "script.py").write_text("print('ran')")
    result = _python(["-c", pretend], tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == (
        "kazoo-gevent-patch run: kazoo 2.7.0 is installed; "
        "kazoo_gevent_patch needs 2.8.0 or newer: upgrade kazoo, "
        "or set KAZOO_GEVENT_PATCH=0 to go on without the patch\n"
    )


def test_a_process_that_multiprocessing_spawns_finds_the_script(tmp_path: Path) -> None:
    """It imports the script by its path, as always; and it is an unpatched process."""
    # A duplex pipe is a pair of sockets, which multiprocessing cannot use once gevent has patched.
    (tmp_path / "script.py").write_text(
        "import multiprocessing, kazoo_gevent_patch\n"
        "def work(pipe):\n"
        "    pipe.send((__name__, kazoo_gevent_patch.is_patched()))\n"
        "if __name__ == '__main__':\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    ours, theirs = context.Pipe(duplex=False)\n"
        "    process = context.Process(target=work, args=(theirs,))\n"
        "    process.start()\n"
        "    print(ours.recv())\n"
        "    process.join()\n"
        "    print(process.exitcode)\n"
    )
    result = _python([*RUN, "script.py"], tmp_path)
    assert result.stdout == "('__mp_main__', False)\n0\n", result.stderr


class _Background:
    """A program of Python that goes on, with its output."""

    def __init__(self, arguments: Sequence[str], directory: Path) -> None:
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self._log = directory / "output.log"
        with self._log.open("wb") as log:
            self.process = children.spawn(
                [sys.executable, *arguments],
                stdout=log,
                env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
                cwd=directory,
            )

    @property
    def output(self) -> str:
        """What it has printed."""
        return self._log.read_text(errors="replace")

    def wait_for(self, text: str, timeout: float = 60.0) -> None:
        """Wait until it has printed the text; fail when it ends before."""

        def printed() -> bool:
            ended = self.process.poll() is not None
            found = text in self.output
            assert found or not ended, self.output
            return found

        wait_until(printed, timeout=timeout, message=lambda: self.output)


@pytest.fixture
def background() -> Iterator[list[_Background]]:
    """A list of programs that are killed after the test."""
    started: list[_Background] = []
    yield started
    for program in started:
        children.kill(program.process)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_waiting_script_dies_of_a_signal_as_under_python(
    number: signal.Signals, tmp_path: Path, background: list[_Background]
) -> None:
    """SIGTERM kills it, and SIGINT does after KeyboardInterrupt has passed through it."""
    (tmp_path / "script.py").write_text(
        "import time\ntry:\n    print('ready')\n    time.sleep(60)\nfinally:\n    print('left')"
    )
    for command in (["script.py"], [*RUN, "script.py"]):
        program = _Background(command, tmp_path)
        background.append(program)
        program.wait_for("ready")
        program.process.send_signal(number)
        assert program.process.wait(timeout=300) == -number
        assert ("left" in program.output) == (number == signal.SIGINT)
        assert ("KeyboardInterrupt" in program.output) == (number == signal.SIGINT)
        assert "kazoo_gevent_patch" not in program.output


def test_gunicorn_serves_on_our_handler(
    tmp_path: Path, zookeeper_hosts: str, chroot: str, background: list[_Background]
) -> None:
    """``run -m gunicorn -k gevent``: its workers have clients of ours, and it stops gracefully."""
    (tmp_path / "application.py").write_text(
        "from kazoo.client import KazooClient\n"
        f"zk = KazooClient({zookeeper_hosts + chroot!r})\n"
        "zk.start()\n"
        "def app(environ, start_response):\n"
        "    zk.get_children('/')\n"
        "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
        "    return [type(zk.handler).__module__.encode()]\n"
    )
    bind = f"127.0.0.1:{free_block([0])}"
    arguments = ["-k", "gevent", "-w", "2", "-b", bind, "application:app"]
    program = _Background([*RUN, "-m", "gunicorn", *arguments], tmp_path)
    background.append(program)
    program.wait_for("Listening at")
    with urllib.request.urlopen(f"http://{bind}/", timeout=120) as response:
        assert response.read() == b"kazoo_gevent_patch.handler.sequential"
    program.process.send_signal(signal.SIGTERM)
    assert program.process.wait(timeout=300) == 0, program.output
    assert "Traceback" not in program.output


CELERY = """
from celery import Celery
from kazoo.client import KazooClient

app = Celery("tasks", broker="filesystem://", backend="cache+memory://")
app.conf.broker_transport_options = {{
    "data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control",
}}

@app.task
def look():
    zk = KazooClient({hosts!r})
    zk.start()
    zk.get_children("/")
    print("done on " + type(zk.handler).__module__)
    zk.stop()
"""


def test_a_celery_worker_runs_its_tasks_on_our_handler(
    tmp_path: Path, zookeeper_hosts: str, chroot: str, background: list[_Background]
) -> None:
    """``run -m celery worker -P gevent``: a task's client is ours, and it stops at SIGTERM."""
    for name in ("queue", "control"):
        (tmp_path / name).mkdir()
    (tmp_path / "tasks.py").write_text(CELERY.format(hosts=zookeeper_hosts + chroot))
    arguments = ["-m", "celery", "-A", "tasks", "worker", "-P", "gevent", "-c", "2", "-l", "info"]
    program = _Background([*RUN, *arguments], tmp_path)
    background.append(program)
    sent = _python(["-c", "from tasks import look; look.delay()"], tmp_path)
    assert sent.returncode == 0, sent.stderr
    program.wait_for("done on kazoo_gevent_patch.handler.sequential")
    program.process.send_signal(signal.SIGTERM)
    assert program.process.wait(timeout=300) == 0, program.output

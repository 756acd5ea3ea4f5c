"""``kazoo-gevent-patch run``: a program cannot tell it from ``python``, but for the patch."""

from __future__ import annotations

import signal
import sys
import zipfile
from pathlib import Path

import pytest

from tests.process.command import Background, assert_same, ours, python
from tests.support import COMMAND

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


NO_CODE = {
    "syntax": b"x = 1\ndef f(:\n    pass\n",
    "tabs": b"if 1:\n        x = 1\n\ty = 2\n",
    "null byte": b"x = 1\n\0\n",
    "unknown coding": b"# coding: nonsense\n",
    "no UTF-8": b"x = '\xe9'\n",
}


@pytest.mark.parametrize("ending", list(ENDINGS))
def test_a_script_ends_as_under_python(ending: str, tmp_path: Path) -> None:
    """Output, exit code or signal, and the traceback to the letter."""
    (tmp_path / "script.py").write_text(ENDINGS[ending])
    assert_same(["script.py"], tmp_path)


@pytest.mark.parametrize(
    ("source", "program"), [*((source, "script.py") for source in NO_CODE), ("null byte", "-")]
)
def test_a_script_that_is_no_code_is_an_error(source: str, program: str, tmp_path: Path) -> None:
    """SyntaxError with the file's name and exit code 1, where it once was a segmentation fault."""
    (tmp_path / "script.py").write_bytes(NO_CODE[source])
    result = ours(["run", program], tmp_path, NO_CODE[source])
    assert result.returncode == 1, result.stderr
    name = "<stdin>" if program == "-" else str(tmp_path / "script.py")
    first, *_, last = result.stderr.splitlines()
    assert first.startswith(f'  File "{name}", line ')
    assert last.startswith(("SyntaxError: ", "TabError: "))
    assert result.stdout == ""


@pytest.mark.parametrize("ending", ["exit code", "error", "syntax", "interrupt"])
def test_a_module_ends_as_under_python(ending: str, tmp_path: Path) -> None:
    """Also with -m, where python's own traceback begins with runpy."""
    (tmp_path / "script.py").write_text(ENDINGS[ending])
    assert_same(["-m", "script"], tmp_path)


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
    out = assert_same([*program.split(), "--help", "-m", "x"], programs, NAMESPACE.encode())
    assert "'--help', '-m', 'x'] " in out
    assert out.endswith("True\nTrue\n")


@pytest.mark.parametrize("given", [("-c",), ("-c", "x", "-m"), ("-c", "--help", "-c")])
def test_a_text_runs_as_under_python(given: tuple[str, ...], tmp_path: Path) -> None:
    """With -c: its arguments, import path and ``__main__`` are the same."""
    option, *arguments = given
    assert assert_same([option, NAMESPACE, *arguments], tmp_path).endswith("True\nTrue\n")


@pytest.mark.parametrize("ending", ["exit code", "error", "syntax", "interrupt"])
def test_a_text_ends_as_under_python(ending: str, tmp_path: Path) -> None:
    """Output, exit code or signal, and the traceback to the letter."""
    assert_same(["-c", ENDINGS[ending]], tmp_path)


@pytest.mark.parametrize("program", ["-mscript", "-cimport script", "-- script.py", "-- -m script"])
def test_options_are_read_as_python_reads_them(program: str, programs: Path) -> None:
    """A value may follow its letter at once, and ``--`` ends our options."""
    given = [program] if program.startswith("-c") else program.split()
    plain = python([part for part in given if part != "--"] + ["--help"], programs)
    result = ours(["run", "--no-monkey", *given, "--help"], programs)
    assert (result.stdout, result.stderr) == (plain.stdout, plain.stderr)


@pytest.mark.parametrize("arguments", [["script.py", "x"], ["-c", "1 / 0"], ["-m", "script"]])
def test_the_package_is_the_command_too(arguments: list[str], programs: Path) -> None:
    """``python -m kazoo_gevent_patch run`` does what the installed command does."""
    (programs / "script.py").write_text(f"{NAMESPACE}\n1 / 0")
    module = python(["-m", "kazoo_gevent_patch", "run", *arguments], programs)
    command = ours(["run", *arguments], programs)
    assert (module.stdout, module.stderr) == (command.stdout, command.stderr)
    assert module.returncode == command.returncode == 1


def test_a_compiled_script_runs(programs: Path) -> None:
    """A .pyc is run as python runs it."""
    python(["-m", "compileall", "-b", "-q", "script.py"], programs)
    assert "script.pyc" in assert_same(["script.pyc"], programs)


@pytest.mark.parametrize("program", ["-m not_there", "elsewhere", "-m package.not_there"])
def test_a_module_that_is_not_there_is_reported_as_by_python(program: str, programs: Path) -> None:
    """Python's own line, and its exit code."""
    assert_same(program.split(), programs)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["run"], "run: error: what to run is missing: a SCRIPT, or -m and a MODULE"),
        (["run", "-m"], "run: error: what to run is missing: a SCRIPT, or -m and a MODULE"),
        (["run", "-c"], "run: error: what to run is missing: a SCRIPT, or -m and a MODULE"),
        (["run", "--no-monkey", "--"], "run: error: what to run is missing"),
        (["run", "--nonsense", "x.py"], "run: error: unrecognized arguments: --nonsense"),
        (["doctor", "--nonsense"], "doctor: error: unrecognized arguments: --nonsense"),
        (["doctor", "nonsense"], "doctor: error: unrecognized arguments: nonsense"),
        (["--nonsense", "doctor"], "kazoo-gevent-patch: error: unrecognized arguments: --nonsense"),
        (["nonsense"], "invalid choice: 'nonsense'"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_bad_input_is_one_clear_line(arguments: list[str], complaint: str, tmp_path: Path) -> None:
    """After the usage of the command that it belongs to; no traceback, and exit code 2."""
    result = ours(arguments, tmp_path)
    assert result.returncode == 2
    usage, *_, last = result.stderr.splitlines()
    assert complaint in last
    assert usage.startswith(f"usage: {last.partition(': error: ')[0]} ")
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_a_script_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    """The words and the exit code are python's."""
    result = ours(["run", "not_there.py"], tmp_path)
    assert result.returncode == 2
    [line] = result.stderr.splitlines()
    assert f"can't open file '{tmp_path}/not_there.py': [Errno 2] No such file or directory" in line


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["doctor", "--help"], ["inspect", "--help"]]
)
def test_help_is_plain_text(arguments: list[str], tmp_path: Path) -> None:
    """Each command explains itself, without control codes where there is no terminal."""
    result = ours(arguments, tmp_path)
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
    handler = "kazoo_gevent_patch.handler.sequential\n"
    assert ours(["run", "script.py"], tmp_path).stdout == f"True {handler}"
    for program in (["script.py"], ["-m", "script"], ["-c", "import script"]):
        result = ours(["run", "--no-monkey", *program], tmp_path)
        assert result.stdout == f"False {handler}"


def test_a_kazoo_that_cannot_be_patched_is_one_clear_line(tmp_path: Path) -> None:
    """The program does not run."""
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.metadata as metadata; version = metadata.version\n"
        "metadata.version = lambda name: '2.7.0' if name == 'kazoo' else version(name)\n"
    )
    (tmp_path / "script.py").write_text("print('ran')")
    result = ours(["run", "script.py"], tmp_path, env={"PYTHONPATH": str(tmp_path)})
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
    result = ours(["run", "script.py"], tmp_path)
    assert result.stdout == "('__mp_main__', False)\n0\n", result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_waiting_script_dies_of_a_signal_as_under_python(
    number: signal.Signals, tmp_path: Path, background: list[Background]
) -> None:
    """SIGTERM kills it, and SIGINT does after KeyboardInterrupt has passed through it."""
    (tmp_path / "script.py").write_text(
        "import time\ntry:\n    print('ready')\n    time.sleep(60)\nfinally:\n    print('left')"
    )
    for command in ([sys.executable, "script.py"], [COMMAND, "run", "script.py"]):
        program = Background(command, tmp_path)
        background.append(program)
        program.wait_for("ready")
        program.process.send_signal(number)
        assert program.process.wait(timeout=300) == -number
        assert ("left" in program.output) == (number == signal.SIGINT)
        assert ("KeyboardInterrupt" in program.output) == (number == signal.SIGINT)
        assert "kazoo_gevent_patch" not in program.output

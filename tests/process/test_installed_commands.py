"""``kazoo-gevent-patch run gunicorn``: an installed command runs in the process of ``run``."""

from __future__ import annotations

import os
import signal
import sys
import sysconfig
import urllib.request
from pathlib import Path

import pytest

from tests.ports import free_block
from tests.process.command import Background, assert_same, ours, python, run
from tests.support import COMMAND

SCRIPTS = sysconfig.get_path("scripts")

PROGRAM = """
import sys
from kazoo_gevent_patch import is_patched
print(__name__, __file__, sys.argv, sys.path[0], is_patched())
"""

SHELL = """#!/bin/sh
'''exec' "{python}" "$0" "$@"
' '''
"""


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """An empty folder for commands."""
    folder = tmp_path / "commands"
    folder.mkdir()
    return folder


def install(folder: Path, name: str, first_lines: str) -> str:
    """Make a command, and return its path."""
    path = folder / name
    path.write_text(first_lines + PROGRAM)
    path.chmod(0o755)
    return str(path)


def run_with(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Run what is given while the folder is the first on PATH."""
    env = {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    result = ours(["run", *arguments], folder.parent, env=env)
    return result.returncode, result.stdout, result.stderr


@pytest.mark.parametrize(
    "first_lines",
    [
        f"#!{sys.executable}\n",
        f"#! {sys.executable} -u\n",
        "#!/usr/bin/env python3\n",
        "#!/usr/bin/env -S python3 -u\n",
        SHELL.format(python=sys.executable),
    ],
    ids=["python", "option", "env", "env with options", "shell"],
)
def test_a_command_on_the_path_runs_here(first_lines: str, commands: Path) -> None:
    """Whatever way its first line names Python; argv and import path are as it has them alone."""
    path = install(commands, "our-command", first_lines)
    expected = f"__main__ {path} ['{path}', '--help', '-x'] {commands} True\n"
    assert run_with(commands, "our-command", "--help", "-x") == (0, expected, "")


@pytest.mark.parametrize("kind", ["file", "directory", "zip file"])
def test_a_file_of_that_name_comes_first(kind: str, commands: Path) -> None:
    """As under python; a directory counts where it is a program."""
    install(commands, "our-command", f"#!{sys.executable}\n")
    here = commands.parent / "our-command"
    if kind == "file":
        here.write_text("print('here')")
    elif kind == "directory":
        here.mkdir()
        (here / "__main__.py").write_text("print('here')")
    else:
        (commands / "__main__.py").write_text("print('here')")
        python(["-m", "zipfile", "-c", str(here), str(commands / "__main__.py")], commands)
    assert run_with(commands, "our-command") == (0, "here\n", "")


def test_a_directory_that_is_no_program_hides_no_command(commands: Path) -> None:
    """A project may have a folder ``gunicorn`` of its own."""
    install(commands, "our-command", f"#!{sys.executable}\n")
    (commands.parent / "our-command").mkdir()
    code, out, _ = run_with(commands, "our-command")
    assert (code, out.split()[0]) == (0, "__main__")
    (commands / "our-command").unlink()
    assert_same(["our-command"], commands.parent)


def test_the_commands_of_this_environment_come_before_the_path(commands: Path) -> None:
    """A virtual environment need not be on PATH, nor be the first on it."""
    install(commands, "pytest", "#!/bin/sh\n")
    code, out, err = run_with(commands, "pytest", "--version")
    assert (code, (out + err).split()[0]) == (0, "pytest")


@pytest.mark.parametrize(
    ("first_lines", "complaint"),
    [
        ("#!/bin/sh\n", "which is not a Python script: it cannot run in this process"),
        ("#!/usr/bin/env bash\n", "which is not a Python script"),
        ("\x7fELF", "which is not a Python script"),
        ("", "which is not a Python script"),
        ("#!/another/bin/python3\n", f"which /another/bin/python3 runs, and this is {sys.prefix}"),
        (SHELL.format(python="/a b/python3"), "which /a b/python3 runs, and this is"),
    ],
    ids=["shell", "bash", "binary", "nothing", "another Python", "another Python, by the shell"],
)
def test_a_command_that_cannot_run_here_is_refused(
    first_lines: str, complaint: str, commands: Path
) -> None:
    """One line says why; nothing of it runs."""
    path = install(commands, "our-command", first_lines)
    code, out, err = run_with(commands, "our-command")
    [line] = err.splitlines()
    assert (code, out) == (2, "")
    assert line.startswith(f"kazoo-gevent-patch run: our-command is {path}, {complaint}")


def test_a_command_of_another_environment_is_refused(commands: Path) -> None:
    """Its packages are others, though both environments were made with the same Python."""
    environment = commands.parent / "other"
    python(["-m", "venv", "--without-pip", str(environment)], commands)
    path = install(environment / "bin", "our-command", f"#!{environment}/bin/python\n")
    code, out, err = run_with(environment / "bin", "our-command")
    assert (code, out) == (2, "")
    assert f"our-command is {path}, which {environment}/bin/python runs" in err
    assert run_with(commands, path)[:2] == (0, f"__main__ {path} ['{path}'] {path[:-12]} True\n")


def test_a_name_that_nothing_has_is_one_clear_line(commands: Path) -> None:
    """It tells that no command has it either, and that python itself is not needed."""
    code, _, err = run_with(commands, "no-such-command")
    assert code == 2
    assert err.endswith("directory, and no installed command is called no-such-command\n")
    code, _, err = run_with(commands, "python3", "script.py")
    assert code == 2
    assert err.endswith("leave out python3, and name its program: this process is Python\n")


def test_the_command_runs_itself_without_a_warning(tmp_path: Path) -> None:
    """``run -m kazoo_gevent_patch doctor``, as the documents have it, and the command by name."""
    strict = {"PYTHONWARNINGS": "error"}
    for program in (["-m", "kazoo_gevent_patch"], ["kazoo-gevent-patch"]):
        result = ours(["run", *program, "doctor"], tmp_path, env=strict)
        assert (result.returncode, result.stderr) == (0, "")
        assert "patch_all() was on when the doctor began" in result.stdout
    module = run([sys.executable, "-m", "kazoo_gevent_patch", "run", *program, "doctor"], tmp_path)
    assert (module.returncode, module.stderr) == (0, "")


@pytest.mark.parametrize("program", [["gunicorn"], ["-m", "gunicorn"]], ids=["name", "module"])
def test_gunicorn_serves_on_our_handler(
    program: list[str],
    tmp_path: Path,
    zookeeper_hosts: str,
    chroot: str,
    background: list[Background],
) -> None:
    """``run gunicorn -k gevent``: its workers have clients of ours, and it stops gracefully."""
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
    server = Background([COMMAND, "run", *program, *arguments], tmp_path)
    background.append(server)
    server.wait_for("Listening at")
    with urllib.request.urlopen(f"http://{bind}/", timeout=120) as response:
        assert response.read() == b"kazoo_gevent_patch.handler.sequential"
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(timeout=300) == 0, server.output
    assert "Traceback" not in server.output


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
    tmp_path: Path, zookeeper_hosts: str, chroot: str, background: list[Background]
) -> None:
    """``run celery worker -P gevent``: a task's client is ours, and it stops at SIGTERM."""
    for name in ("queue", "control"):
        (tmp_path / name).mkdir()
    (tmp_path / "tasks.py").write_text(CELERY.format(hosts=zookeeper_hosts + chroot))
    arguments = ["celery", "-A", "tasks", "worker", "-P", "gevent", "-c", "2", "-l", "info"]
    program = Background([COMMAND, "run", *arguments], tmp_path)
    background.append(program)
    sent = python(["-c", "from tasks import look; look.delay()"], tmp_path)
    assert sent.returncode == 0, sent.stderr
    program.wait_for("done on kazoo_gevent_patch.handler.sequential")
    program.process.send_signal(signal.SIGTERM)
    assert program.process.wait(timeout=300) == 0, program.output

"""Where it cannot work, and where it must not, one line says why, and nothing is half done."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.support import run_command, run_python

LACKS = {
    "PyPy": ("sys.implementation.name = 'pypy'", "needs CPython"),
    "os.register_at_fork": (
        "import os; del os.register_at_fork, os.fork",
        "needs os.register_at_fork",
    ),
    "select.poll": ("import select; del select.poll", "needs select.poll"),
    "kazoo": ("hide('kazoo')", "kazoo is not installed: install kazoo 2.8.0 or newer"),
    "a kazoo that is new enough": ("pretend('kazoo', '2.7.0')", "kazoo 2.7.0 is installed"),
}

BEGINNING = """
import importlib.metadata, importlib.util, logging, sys
logging.basicConfig(format="%(name)s %(levelname)s %(message)s")

def pretend(package, release):
    version = importlib.metadata.version
    importlib.metadata.version = lambda name: release if name == package else version(name)

def hide(package):
    version = importlib.metadata.version
    def missing(name):
        if name == package:
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)
    importlib.metadata.version = missing
    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] == package:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    sys.meta_path.insert(0, Finder())
    find_spec = importlib.util.find_spec
    importlib.util.find_spec = lambda name: None if name == package else find_spec(name)

"""

REFUSED = """
from kazoo_gevent_patch import is_patched, patch_all, patched, status, unpatch_all
from kazoo_gevent_patch.errors import CannotPatchError
for _ in range(2):
    try:
        patch_all()
    except CannotPatchError as error:
        print(error)
    else:
        raise AssertionError("no error")
try:
    with patched():
        raise AssertionError("the block was entered")
except CannotPatchError:
    pass
assert not is_patched() and not status().applied and not status().armed
unpatch_all()
"""

FORBIDDEN = """
from kazoo_gevent_patch import is_patched, patch_all, patched, status, unpatch_all
assert patch_all().applied == ()
now = patch_all(fork="stop")
with patched() as inside:
    assert not inside.patched
assert not now.patched and not is_patched() and not now.armed, now
assert now.refused == "KAZOO_GEVENT_PATCH=0 in the environment: patch_all() changes nothing"
assert now.refused in str(now)
unpatch_all()
try:
    patch_all(fork="never")
except ValueError:
    print("went on")
"""


@pytest.mark.parametrize("lack", LACKS)
def test_what_is_missing_is_said_in_one_line(lack: str) -> None:
    """By the first call, not by the import; with what to do, and how to go on without."""
    prepare, complaint = LACKS[lack]
    lines = run_python(f"{BEGINNING}{prepare}\n{REFUSED}").stdout.splitlines()
    assert len(lines) == 2
    assert lines[0] == lines[1]
    assert complaint in lines[0]
    assert lines[0].endswith("or set KAZOO_GEVENT_PATCH=0 to go on without the patch")


@pytest.mark.parametrize("lack", [*LACKS, "nothing"])
def test_the_variable_lets_the_program_go_on_without(lack: str) -> None:
    """KAZOO_GEVENT_PATCH=0 wins over the code everywhere: nothing changes, and one line says so."""
    prepare, _ = LACKS.get(lack, ("", ""))
    kazoo_works = (
        "from kazoo.client import KazooClient; print(type(KazooClient().handler).__module__)"
    )
    program = BEGINNING + prepare + FORBIDDEN + (kazoo_works if lack != "kazoo" else "")
    result = run_python(program, env={"KAZOO_GEVENT_PATCH": "0"})
    expected = ["went on", *["kazoo.handlers.threading"][: lack != "kazoo"]]
    assert result.stdout.splitlines() == expected
    assert result.stderr.splitlines() == [
        "kazoo_gevent_patch WARNING KAZOO_GEVENT_PATCH=0 in the environment: "
        "patch_all() changes nothing"
    ]


def test_the_variable_wins_in_each_process_that_is_forked() -> None:
    """A worker says it too; so its own log has the line."""
    program = (
        f"{BEGINNING}import os\nfrom kazoo_gevent_patch import patch_all\n"
        "patch_all(), patch_all()\n"
        "if not os.fork():\n    patch_all(), patch_all()\n    os._exit(0)\nos.wait()"
    )
    result = run_python(program, env={"KAZOO_GEVENT_PATCH": "0"})
    assert result.stderr.count("patch_all() changes nothing") == 2


def test_run_goes_on_without_the_patch_when_the_variable_says_so(tmp_path: Path) -> None:
    """The program runs, with gevent's patching as always, and its clients are on threads."""
    (tmp_path / "program.py").write_text(
        "import gevent.monkey\nfrom kazoo.client import KazooClient\n"
        "print(gevent.monkey.is_module_patched('socket'), type(KazooClient().handler).__module__)"
    )
    arguments = ["run", str(tmp_path / "program.py")]
    result = run_command(arguments, env={"KAZOO_GEVENT_PATCH": "0"})
    assert result.stdout == "True kazoo.handlers.threading\n"
    assert "patch_all() changes nothing" in result.stderr


def test_the_doctor_says_so_in_the_same_words() -> None:
    """It is no fault, for it was done on purpose; but nothing is claimed to be applied."""
    arguments = ["doctor"]
    result = run_command(arguments, env={"KAZOO_GEVENT_PATCH": "0"})
    (line,) = [line for line in result.stdout.splitlines() if " patch  " in line]
    assert line.startswith("ok")
    assert "KAZOO_GEVENT_PATCH=0 in the environment: patch_all() changes nothing" in line
    assert "changes applied" not in result.stdout


def doctor(prepare: str, directory: Path) -> list[str]:
    (directory / "sitecustomize.py").write_text(BEGINNING + prepare)
    result = run_command(["doctor"], env={"PYTHONPATH": str(directory)}, check=False)
    assert result.returncode == 2, result.stderr
    return result.stdout.splitlines()


def test_the_doctor_says_that_kazoo_is_not_installed(tmp_path: Path) -> None:
    """And that it is to be installed, not upgraded."""
    lines = doctor("hide('kazoo')", tmp_path)
    assert not [line for line in lines if "is older" in line or "upgrade" in line]
    assert any(re.match("problem +version +kazoo is not installed", line) for line in lines)
    assert any("-> install kazoo" in line for line in lines)


def test_the_doctor_names_what_has_moved(tmp_path: Path) -> None:
    """In the words of the error and of status(), once; nothing is called shadowed."""
    lines = doctor(
        "import kazoo.client\nkazoo.client.KazooClient.__getattr__ = "
        "lambda self, name: None\ndel kazoo.client.KazooClient._call",
        tmp_path,
    )
    (line,) = [line for line in lines if "there is no kazoo.client.KazooClient._call" in line]
    assert line.startswith("problem  patch")
    assert "nothing is patched" in line
    assert not [line for line in lines if "shadowed" in line]


def test_the_package_is_imported_where_nothing_forks() -> None:
    """As on Windows; only the call is refused."""
    prepare = "import os, select; del os.register_at_fork, os.fork, select.poll, select.epoll"
    run_python(f"{prepare}\nimport kazoo_gevent_patch.plugin, kazoo_gevent_patch.gunicorn")


def test_this_is_cpython() -> None:
    """Or the tests above would not show what they claim."""
    assert sys.implementation.name == "cpython"


@pytest.mark.parametrize(
    "mocked",
    [
        '"kazoo.client.KazooClient"',
        '"kazoo.client.KazooClient", autospec=True',
        '"kazoo.recipe.lock.Lock"',
    ],
)
def test_a_class_that_is_mocked_is_refused_and_named(mocked: str) -> None:
    """And patch_all() works when the mock is gone."""
    program = f"""
from unittest import mock
import kazoo.client, kazoo.recipe.lock
from kazoo_gevent_patch import is_patched, patch_all
from kazoo_gevent_patch.errors import UnsupportedKazooError
with mock.patch({mocked}):
    try:
        patch_all()
    except UnsupportedKazooError as error:
        print(error, is_patched())
patch_all()
print(is_patched())
"""
    first, second = run_python(program).stdout.splitlines()
    assert f"A mock stands in the place of {mocked.split(chr(34))[1]}: call" in first
    assert (first.rpartition(" ")[2], second) == ("False", "True")

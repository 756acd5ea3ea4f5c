"""The entry point for gevent: an environment variable instead of a line."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path

import pytest

import kazoo_gevent_patch
from tests.support import run_python

PROGRAM = """
import logging, sys
logging.basicConfig(stream=sys.stderr, format="%(name)s %(levelname)s %(message)s")
import gevent.monkey
gevent.monkey.patch_all()
gevent.monkey.patch_all()
import socket
assert gevent.monkey.is_module_patched("socket")
from kazoo.client import KazooClient
print(type(KazooClient().handler).__module__)
"""

MODULES = """
import json, sys
if sys.argv[1:] == ["without"]:
    from importlib import metadata
    metadata.entry_points = lambda **chosen: ()
import gevent.monkey
gevent.monkey.patch_all()
print(json.dumps(sorted(sys.modules)))
"""

OURS = "kazoo_gevent_patch.handler.sequential"
THEIRS = "kazoo.handlers.threading"


@pytest.mark.parametrize(
    ("value", "module"), [("1", OURS), ("0", THEIRS), ("", THEIRS), (None, THEIRS)]
)
def test_the_variable_switches_the_shim_on(value: str | None, module: str) -> None:
    """KAZOO_GEVENT_PATCH=1, and gevent.monkey.patch_all() does it; else nothing happens."""
    env = {} if value is None else {"KAZOO_GEVENT_PATCH": value}
    result = run_python(PROGRAM, env=env)
    assert result.stdout.strip() == module
    assert "kazoo_gevent_patch" not in result.stderr


@pytest.mark.parametrize("value", ["yes", "2", "true", " 1"])
def test_a_bad_value_is_one_warning_and_breaks_nothing(value: str) -> None:
    """The warning names the variable, the value and what is allowed."""
    result = run_python(PROGRAM, env={"KAZOO_GEVENT_PATCH": value})
    assert result.stdout.strip() == THEIRS
    (line,) = [line for line in result.stderr.splitlines() if "KAZOO_GEVENT_PATCH" in line]
    assert f"kazoo_gevent_patch WARNING KAZOO_GEVENT_PATCH={value!r}" in line
    assert "for the patch set 1, or 0" in line


def test_an_unsupported_kazoo_does_not_break_monkey_patching() -> None:
    """The error is logged, and the standard library is patched all the same."""
    pretend = """
import importlib.metadata
version = importlib.metadata.version
importlib.metadata.version = lambda name: "2.7.0" if name == "kazoo" else version(name)
"""
    result = run_python(pretend + PROGRAM, env={"KAZOO_GEVENT_PATCH": "1"})
    assert result.stdout.strip() == THEIRS
    assert "kazoo 2.7.0 is installed" in result.stderr


@pytest.mark.parametrize("value", ["0", ""])
def test_a_program_that_does_not_ask_for_the_patch_imports_nothing_of_it(value: str) -> None:
    """Nor of what it needs: only the two modules that gevent itself asks for."""
    env = {"KAZOO_GEVENT_PATCH": value}
    with_entry_point, without = (
        set(json.loads(run_python(["-c", MODULES, *how], env=env).stdout))
        for how in ([], ["without"])
    )
    assert "gevent.monkey" in without
    more = with_entry_point - without
    if sys.version_info >= (3, 15):  # there the standard library needs more of its own for this
        more = {name for name in more if name.partition(".")[0] not in sys.stdlib_module_names}
    assert more == {"kazoo_gevent_patch", "kazoo_gevent_patch.plugin"}


@pytest.fixture(scope="module")
def python_without_wrapt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the interpreter of an environment with gevent and this package, and nothing else."""
    root = tmp_path_factory.mktemp("without-wrapt")
    venv.create(root, symlinks=True, with_pip=False)
    [packages] = root.glob("lib/python*/site-packages")
    wanted = {Path(kazoo_gevent_patch.__file__).parent}
    for name in ("gevent", "greenlet", "zope.event", "zope.interface", "kazoo-gevent-patch"):
        installed = metadata.distribution(name)
        tops = {file.parts[0] for file in installed.files or () if file.suffix != ".pth"}
        wanted |= {Path(str(installed.locate_file(top))) for top in tops - {".."}}
    for path in wanted:
        (packages / path.name).symlink_to(path)
    return root / "bin" / "python"


@pytest.mark.parametrize("value", ["0", "1", "yes"])
def test_a_gevent_program_starts_where_wrapt_is_missing(
    python_without_wrapt: Path, value: str
) -> None:
    """Monkey patching is done; what is not done is one line on standard error."""
    result = subprocess.run(
        [
            python_without_wrapt,
            "-c",
            "import gevent.monkey; gevent.monkey.patch_all(); print('on')",
        ],
        env={"KAZOO_GEVENT_PATCH": value},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert result.stdout == "on\n"
    expected = {
        "0": "",
        "1": "KAZOO_GEVENT_PATCH=1, but kazoo could not be patched: No module named 'wrapt'\n",
        "yes": "KAZOO_GEVENT_PATCH='yes' is not understood and ignored; "
        "for the patch set 1, or 0\n",
    }
    assert result.stderr == expected[value]


def test_a_long_value_is_not_logged_whole() -> None:
    """A line that says which variable is wrong does not need all of it."""
    result = run_python(PROGRAM, env={"KAZOO_GEVENT_PATCH": "x" * 100_000})
    assert result.stdout.strip() == THEIRS
    assert "KAZOO_GEVENT_PATCH='xxx" in result.stderr
    assert len(result.stderr) < 500

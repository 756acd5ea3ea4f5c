"""The entry point for gevent: an environment variable instead of a line."""

from __future__ import annotations

import pytest

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

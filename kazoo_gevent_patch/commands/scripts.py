"""Finding the commands that are installed as Python scripts, such as ``gunicorn``."""

from __future__ import annotations

import os
import re
import shutil
import sys
import sysconfig
from typing import Final

from kazoo_gevent_patch.settings.environment import PATCH

_PYTHON: Final = re.compile(r"(python|pypy)[\d.]*t?$")
# An option of the interpreter may follow; env has one of its own, and then the interpreter.
_FIRST_LINE: Final = re.compile(rb"#! *(\S+)(?: +(?:-S +)?([^-\s]\S*))?")
# What pip and uv write where the interpreter's path has spaces, or is too long for a first line.
_SHELL_LINE: Final = re.compile(rb"#!/bin/sh\n'''exec' [\"']?(.+?)[\"']? \"\$0\" \"\$@\"\n")
_MOST_READ: Final = 4096


class NotForUsError(Exception):
    """There is such a command, and this interpreter cannot run it; the text says why."""


def find(name: str) -> str | None:
    """Return the path of a command's script, or None if there is no such command.

    The commands of this environment come first: a virtual environment is often used without
    having its folder on ``PATH``.

    :raises NotForUsError: the command is no Python script, or one of another environment.
    """
    if _PYTHON.match(name):
        raise NotForUsError(f"leave out {name}, and name its program: this process is Python")
    folders = [sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)]
    path = shutil.which(name, path=os.pathsep.join(folders))
    if path is None:
        return None
    with open(path, "rb") as file:
        interpreter = _interpreter(file.read(_MOST_READ))
    if not _PYTHON.match(os.path.basename(interpreter)):
        raise NotForUsError(
            f"{name} is {path}, which is not a Python script: it cannot run in this process. If it "
            f"starts Python programs that use gevent, set {PATCH.variable}=1 in its environment"
        )
    if os.path.isabs(interpreter) and _environment(interpreter) != _environment(sys.executable):
        raise NotForUsError(
            f"{name} is {path}, which {interpreter} runs, and this is {sys.executable}: "
            f"install {name} here, or give the whole path to run that file here all the same"
        )
    return path


def _interpreter(script: bytes) -> str:
    """Return the path of a script's interpreter, or its name alone where ``env`` finds it."""
    if found := _SHELL_LINE.match(script):
        return os.fsdecode(found[1])
    if not (found := _FIRST_LINE.match(script)):
        return ""
    command, argument = found.groups(b"")
    return os.fsdecode(argument if os.path.basename(command) == b"env" else command)


def _environment(interpreter: str) -> tuple[str, str]:
    """Return what tells apart two interpreters that find other packages."""
    home = os.path.dirname(os.path.dirname(os.path.abspath(interpreter)))
    is_virtual = os.path.exists(os.path.join(home, "pyvenv.cfg"))
    return os.path.realpath(interpreter), os.path.realpath(home) if is_virtual else ""

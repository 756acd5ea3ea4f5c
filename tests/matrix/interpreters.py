"""Interpreters that the machine does not have, from Debian's unstable suite, in build/.

    python -m tests.matrix.interpreters VERSION...

Needs patchelf on the path. An interpreter that cannot be had is named, and is no failure: its
cells are skipped.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests import debian
from tests.support import ROOT

COMMANDS: Final = ROOT / "build" / "interpreters" / "bin"
"""The folder for the path."""

_SUITE: Final = "sid"


def fetch(version: str) -> str:
    """Make ``python`` and the version a command in that folder, unless one runs; say what it is."""
    name = f"python{version}"
    for found in filter(None, (shutil.which(name), shutil.which(name, path=str(COMMANDS)))):
        if says := _says(found):
            return f"{says}: {found}"
    root = COMMANDS.parent / version
    try:
        debian.unpack(_SUITE, [name], root, dependencies=True)
    except debian.UnavailableError as error:
        return f"no {name}, whose cells are skipped: {error}"
    command = root / "usr" / "bin" / name
    _point_to_own_libraries(command, root)
    COMMANDS.mkdir(exist_ok=True)
    (COMMANDS / name).unlink(missing_ok=True)
    (COMMANDS / name).symlink_to(command)
    return f"{_says(str(command)) or f'{name} does not run'}: {command}"


def _point_to_own_libraries(command: Path, root: Path) -> None:
    """Make it run with the C library and the loader that it came with, not the machine's."""
    [loader] = root.glob("usr/lib/*/ld-linux*.so.*")
    # The old kind of path also holds for the libraries that an extension module asks for.
    where = ["--force-rpath", "--set-rpath", str(loader.parent)]
    subprocess.run(["patchelf", "--set-interpreter", str(loader), *where, str(command)], check=True)


def _says(command: str) -> str:
    """Return the interpreter's version, or the empty string where it does not run."""
    # pyenv's commands exist for versions that do not.
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def main(wanted: Sequence[str]) -> None:
    """Fetch each, and print what came of it."""
    for version in wanted:
        print(fetch(version), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

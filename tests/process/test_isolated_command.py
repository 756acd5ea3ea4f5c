"""``python -I``, and ``run`` under it: neither puts the program's folder on the import path."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = "import sys\nprint(__file__, sys.argv, sys.path)"


def _output(arguments: list[str], directory: Path, given: str) -> str:
    command = [sys.executable, "-I", *arguments]
    return subprocess.run(
        command, cwd=directory, input=given, capture_output=True, text=True, timeout=60, check=True
    ).stdout


@pytest.mark.parametrize("program", ["script.py", "package", "-", "-m site"])
def test_an_isolated_program_has_the_import_path_that_python_gives_it(
    program: str, tmp_path: Path
) -> None:
    """Only a folder with a ``__main__.py`` is on it, first; nothing that was there is gone."""
    (tmp_path / "package").mkdir()
    for name in ("script.py", "package/__main__.py"):
        (tmp_path / name).write_text(PROGRAM)
    arguments = program.split()
    plain = _output(arguments, tmp_path, PROGRAM)
    ours = _output(["-m", "kazoo_gevent_patch", "run", *arguments], tmp_path, PROGRAM)
    assert ours == plain

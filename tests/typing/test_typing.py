"""What type checkers say of a user's program, and of one that is wrong in every line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import ROOT, run_python

HERE = Path(__file__).parent
Found = set[tuple[int, str]]


def mypy(program: Path) -> Found:
    """Return the lines and the codes of mypy's errors."""
    result = run_python(
        ["-m", "mypy", "--strict", "--output=json", str(program)], timeout=110, check=False
    )
    assert result.returncode in (0, 1), result.stdout + result.stderr
    errors = map(json.loads, filter(None, result.stdout.splitlines()))
    return {(error["line"], error["code"]) for error in errors if error["severity"] == "error"}


def pyright(program: Path) -> Found:
    """Return the lines and the rules of pyright's errors."""
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    result = subprocess.run(
        [*command, str(program)], check=False, capture_output=True, text=True, timeout=110, cwd=ROOT
    )
    assert result.returncode in (0, 1), result.stdout + result.stderr
    found = json.loads(result.stdout)["generalDiagnostics"]
    return {
        (error["range"]["start"]["line"] + 1, error["rule"])
        for error in found
        if error["severity"] == "error"
    }


CHECKERS = pytest.mark.parametrize("check", [mypy, pyright])


@CHECKERS
def test_a_users_program_is_accepted(check: Callable[[Path], Found]) -> None:
    """Everything public is used as the documents show it."""
    assert check(HERE / "checks.py") == set()


@CHECKERS
def test_each_mistake_is_an_error_of_its_kind(check: Callable[[Path], Found]) -> None:
    """The errors are those that the program itself names, no less and no more."""
    program = HERE / "rejects.py"
    lines = enumerate(program.read_text().splitlines(), start=1)
    named = re.compile(rf"# .*{check.__name__}: ([\w-]+)")
    expected = {(number, match[1]) for number, line in lines if (match := named.search(line))}
    assert len(expected) > 10
    assert check(program) == expected

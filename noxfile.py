"""Runs the suite on the tested versions, and on the package as it is shipped.

``nox -s cell`` runs every cell of ``tests/matrix``, ``nox -s table`` writes their results to
``docs/versions.md``, ``nox -s package`` checks and tests what a release would upload, and
``nox -s docs`` builds the documents.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))  # nox's own command does not look here

from tests.matrix import CELLS, CORNERS, Cell  # noqa: E402
from tests.matrix.results import record  # noqa: E402

SUITE = [
    "tests/unit",
    "tests/server",
    "tests/process/test_forks.py",
    "tests/process/test_gunicorn.py",
    "tests/process/test_orders.py",
    "tests/process/test_plugin.py",
    # The suite leaves out tests of the tests, and slow tests that no version affects.
    "--ignore=tests/server/test_faults.py",
    "--ignore=tests/server/test_harness.py",
    "--ignore=tests/unit/test_docs.py",
    "--ignore=tests/unit/test_schedules.py",
]
RESULTS = ROOT / "build" / "matrix"
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
REQUIREMENTS = nox.project.dependency_groups(PROJECT, "suite")

nox.options.sessions = ["cell", "table"]
nox.options.stop_on_first_error = False
if shutil.which("pyenv"):
    # pyenv's commands only run the versions that it is told to use: all, the newest first.
    listed = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, check=True)
    os.environ["PYENV_VERSION"] = ":".join(reversed(listed.stdout.decode().split()))


def run_suite(session: nox.Session, *arguments: str) -> None:
    """Run the suite where it finds the installed package and no source."""
    elsewhere = Path(session.create_tmp()) / "suite"
    shutil.rmtree(elsewhere, ignore_errors=True)
    elsewhere.mkdir()
    for name in ("examples", "tests"):
        shutil.copytree(ROOT / name, elsewhere / name)
    for name in ("CHANGELOG.md", "README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, elsewhere)
    with session.chdir(elsewhere):
        session.run(
            "python",
            "-c",
            "import kazoo_gevent_patch as package; print(package.__file__); "
            "assert 'site-packages' in package.__file__",
        )
        session.run("python", "-m", "pytest", *SUITE, *arguments)


def _parameters() -> list[object]:
    return [
        nox.param(cell.python, cell, id=cell.name, tags=["corner"] if cell in CORNERS else [])
        for cell in CELLS
    ]


@nox.session
@nox.parametrize("python,cell", _parameters())
def cell(session: nox.Session, cell: Cell) -> None:
    """Run the suite on one combination of versions, and keep the result."""
    session.install(".", *cell.pins, *REQUIREMENTS)
    session.log(f"cell {CELLS.index(cell) + 1} of {len(CELLS)}")
    RESULTS.mkdir(parents=True, exist_ok=True)
    report = RESULTS / f"{cell.name}.xml"
    report.unlink(missing_ok=True)
    result = report.with_suffix(".json")
    result.unlink(missing_ok=True)
    try:
        run_suite(session, "-q", f"--junit-xml={report}", *session.posargs)
    finally:
        if report.exists():
            session.run("python", "-m", "tests.matrix.results", str(report), str(result))


@nox.session(python=False)
def table(session: nox.Session) -> None:
    """Write the results of the cells that were run to docs/versions.md."""
    found = {path.stem: json.loads(path.read_text()) for path in RESULTS.glob("*.json")}
    record(found)
    session.log(f"docs/versions.md: {len(found)} new results")


@nox.session
def package(session: nox.Session) -> None:
    """Build the sdist and from that the wheel, check both, and run the suite on the wheel."""
    session.install("build", "twine")
    built = Path(session.create_tmp()) / "dist"
    shutil.rmtree(built, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(built))
    session.run("python", "-m", "twine", "check", "--strict", *map(str, built.iterdir()))
    session.install(*map(str, built.glob("*.whl")), "gunicorn", *REQUIREMENTS)
    run_suite(session, "-q", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documents into build/site; a link or an anchor that leads nowhere fails."""
    session.install(*nox.project.dependency_groups(PROJECT, "docs"))
    session.run("mkdocs", "build", "--strict", env={"NO_MKDOCS_2_WARNING": "1"})

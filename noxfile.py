"""Runs the suite on the tested versions, and on the package as it is shipped.

``nox -s cell`` runs every cell of ``tests/matrix``, ``nox -s servers`` the tests with a server on
each ZooKeeper, ``nox -s table`` writes their results to ``docs/versions.md``, ``nox -s
interpreters`` brings those that the machine lacks, ``nox -s package`` checks and tests what a
release would upload, ``nox -s docs`` builds the documents and looks at them in a browser,
``nox -s bandit`` looks for unsafe code, ``nox -s audit`` for known vulnerabilities of what
``.ci/locked`` has, and ``nox -s lock`` writes that.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess  # nosec B404 # for commands that this file names
import sys
import tarfile
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
OF_THE_SOURCES = [
    "--ignore=tests/unit/test_docs.py",
    "--ignore=tests/unit/test_english.py",
    "--ignore=tests/unit/test_schedules.py",
]
SUITE = [
    "tests/unit",
    "tests/server",
    "tests/process/test_forks.py",
    "tests/process/test_gunicorn.py",
    "tests/process/test_isolated_command.py",
    "tests/process/test_orders.py",
    "tests/process/test_plugin.py",
    # The suite leaves out tests of the tests, and slow tests that no version affects.
    "--ignore=tests/server/test_benchmark_floor.py",
    "--ignore=tests/server/test_faults.py",
    "--ignore=tests/server/test_harness.py",
    *OF_THE_SOURCES,
]
# What can go wrong in packing: files that are missing, entry points, an order of imports.
OF_A_PACKAGE = [
    "tests/unit",
    "tests/server/test_doctor.py",
    "tests/server/test_doctor_servers.py",
    "tests/server/test_doctor_credentials.py",
    "tests/process/test_command_line.py",
    "tests/process/test_gunicorn.py",
    "tests/process/test_inspect.py",
    "tests/process/test_orders.py",
    "tests/process/test_plugin.py",
    *OF_THE_SOURCES,
]
RESULTS = ROOT / "build" / "matrix"
LOCKED = ROOT / ".ci" / "locked"
LOCKS = {  # each group, and the one whose versions it takes over
    "build": None,
    "test": "build",
    **dict.fromkeys(("benchmarks", "demo", "docs", "suite", "tools"), "test"),
}
WITHOUT_THE_PACKAGE = ("build", "docs", "tools")
DISTRIBUTIONS = ROOT / "build" / "dist"
KNOWN_TO_BE_VULNERABLE = "jinja2==2.4.1"
CODE = ["kazoo_gevent_patch", "examples", ".ci", "noxfile.py"]
# Tests assert, have passwords, run code and programs, ask servers of their own, and read what they
# have written.
EXPECTED_OF_TESTS = "B101,B102,B105,B106,B107,B301,B310,B311,B314,B403,B404,B405,B603,B607"
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
REQUIREMENTS = nox.project.dependency_groups(PROJECT, "suite")

nox.options.sessions = ["interpreters", "cell", "servers", "table"]
nox.options.stop_on_first_error = False
if shutil.which("pyenv"):
    # pyenv's commands only run the versions that it is told to use: all, the newest first.
    command = ["pyenv", "versions", "--bare"]
    listed = subprocess.run(command, capture_output=True, check=True)  # nosec B603 # as nox does
    os.environ["PYENV_VERSION"] = ":".join(reversed(listed.stdout.decode().split()))
# Behind the machine's own.
os.environ["PATH"] += os.pathsep + str(COMMANDS)


def install_locked(session: nox.Session, *groups: str) -> None:
    """Install dependency groups in the versions, and from the files, of .ci/locked."""
    for group in groups:
        lock = str(LOCKED / f"{group}.txt")
        session.install("--require-hashes", "--no-build-isolation", "--requirement", lock)


def run_suite(session: nox.Session, *arguments: str) -> None:
    """Run tests where they find the installed package and no source."""
    elsewhere = Path(session.create_tmp()) / "suite"
    # The path of a socket has 107 bytes, and nox's folder is deep.
    session.env["TMPDIR"] = tempfile.gettempdir()
    shutil.rmtree(elsewhere, ignore_errors=True)
    elsewhere.mkdir()
    for name in ("docs", "examples", "tests"):
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
    install_locked(session, "tools")
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
    install_locked(session, "build", "suite")
    session.install("--no-deps", "--no-build-isolation", ".")
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

    They are built twice: the same sources make the same files, wherever and whenever. The corners
    run the whole suite on a wheel; here are the tests of what packing can spoil.
    """
    install_locked(session, "build", "test")
    shutil.rmtree(DISTRIBUTIONS, ignore_errors=True)
    hashes = build(session, ROOT, DISTRIBUTIONS)
    files = sorted(map(str, DISTRIBUTIONS.iterdir()))
    with tempfile.TemporaryDirectory() as elsewhere:
        again = build(session, copy_of_the_sources(Path(elsewhere)), Path(elsewhere) / "dist")
    if again != hashes:
        session.error(f"two builds of the same sources differ: {hashes}, then {again}")
    session.log(f"two builds, the same files: {hashes}")
    session.run("python", "-m", "twine", "check", "--strict", *files)
    session.install("--no-deps", *(name for name in files if name.endswith(".whl")))
    run_suite(session, *OF_A_PACKAGE, *session.posargs)


def build(session: nox.Session, sources: Path, directory: Path) -> dict[str, str]:
    """Build both files with the date of the commit; return their hashes."""
    date = session.run("git", "log", "-1", "--format=%ct", external=True, silent=True)
    session.env["SOURCE_DATE_EPOCH"] = str(date).strip()
    where = ("--outdir", str(directory), str(sources))
    session.run("python", "-m", "build", "--no-isolation", *where)
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()
    }


def copy_of_the_sources(directory: Path) -> Path:
    """Unpack the sdist as a stranger would: other times of files, nobody else may read them."""
    [sdist] = DISTRIBUTIONS.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(directory, filter="data")
    sources = directory / sdist.name.removesuffix(".tar.gz")
    (sources / "PKG-INFO").unlink()  # it is no source
    for path in sources.rglob("*"):
        path.chmod(path.stat().st_mode & 0o700)
        os.utime(path)
    return sources


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documents into build/site, and look at them in a browser.

    A link or an anchor that leads nowhere fails, and so does a page that a phone cuts, or in which
    axe finds a fault. ``nox -s docs -- --pictures FOLDER`` takes a picture of each page.
    """
    install_locked(session, "docs")
    session.run("mkdocs", "build", "--strict", env={"NO_MKDOCS_2_WARNING": "1"})
    session.run("python", "-m", "tests.site", *session.posargs)


@nox.session
def bandit(session: nox.Session) -> None:
    """Look for unsafe code; what is safe all the same says why, where it is."""
    install_locked(session, "tools")
    session.run("bandit", "--quiet", "--recursive", *CODE)
    session.run("bandit", "--quiet", "--recursive", "--skip", EXPECTED_OF_TESTS, "tests")


@nox.session
def audit(session: nox.Session) -> None:
    """Look for known vulnerabilities of what .ci/locked has.

    It is skipped where no service that knows them can be reached.
    """
    install_locked(session, "tools")
    audited = [f"--requirement={path}" for path in sorted(LOCKED.glob("*.txt"))]
    for service in ("pypi", "osv"):
        if knows_vulnerabilities(session, service):
            options = ("--vulnerability-service", service, "--strict", "--require-hashes")
            session.run("pip-audit", *options, "--disable-pip", *audited)
            return
    session.skip("neither PyPI's list of known vulnerabilities nor OSV's can be reached")


def knows_vulnerabilities(session: nox.Session, service: str) -> bool:
    """Return whether a service finds fault with a release that is known for it.

    A mirror of PyPI may have files and no such list. pip-audit then finds all in order.
    """
    known = Path(session.create_tmp()) / "known.txt"
    known.write_text(KNOWN_TO_BE_VULNERABLE)
    options = ("--vulnerability-service", service, "--no-deps", "--disable-pip", "--format", "json")
    command = ("pip-audit", *options, "--requirement", str(known))
    said = session.run(
        *command, silent=True, log=False, stderr=subprocess.DEVNULL, success_codes=(0, 1)
    )
    try:
        return any(found.get("vulns") for found in json.loads(str(said))["dependencies"])
    except ValueError:  # it says so in words
        return False


@nox.session
def lock(session: nox.Session) -> None:
    """Write .ci/locked: versions for all interpreters, with the hashes of all their files.

    What is locked stays as it is where pyproject.toml allows it; ``nox -s lock -- --upgrade``
    takes the newest of everything.
    """
    install_locked(session, "tools")
    for group, other in LOCKS.items():
        sources = [] if group in WITHOUT_THE_PACKAGE else ["pyproject.toml"]
        same = ["--constraint", f".ci/locked/{other}.txt"] if other else []
        session.run(
            *("uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.10"),
            *("--generate-hashes", "--no-emit-index-url"),
            *("--custom-compile-command", ".venv/bin/nox --session lock"),
            *("--group", group, *sources, *same, *session.posargs),
            *("--output-file", f".ci/locked/{group}.txt"),
        )

"""What a release would upload: built from a copy of the tracked files, and looked into."""

from __future__ import annotations

import email
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support import ROOT, run_python
from tests.temporary import users_environment

NAME = "kazoo_gevent_patch"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sdist, and from that the wheel."""
    if not (ROOT / ".git").exists():
        pytest.skip("compares with what git tracks, and this is no repository")
    directory = tmp_path_factory.mktemp("built")
    command = ["-m", "build", "--no-isolation", "--outdir", str(directory), str(ROOT)]
    run_python(command, users_environment(), timeout=500)
    return directory


def tracked(*paths: str) -> set[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *paths]
    listed = subprocess.run(
        command, cwd=ROOT, env=users_environment(), check=True, capture_output=True, text=True
    )
    return {name for name in listed.stdout.splitlines() if (ROOT / name).exists()}


def test_the_wheel_contains_the_package_and_nothing_else(built: Path) -> None:
    """Every file of the package, the metadata with the licence, and no test."""
    (wheel,) = built.glob("*.whl")
    info = f"{NAME}-{wheel.name.split('-')[1]}.dist-info"
    metadata = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        assert names == tracked(NAME) | {f"{info}/{name}" for name in metadata}
        assert f"{NAME}/py.typed" in names
        described = email.message_from_bytes(archive.read(f"{info}/METADATA"))
    assert described["Requires-Python"] == ">=3.10"
    assert {line.split(">=")[0] for line in described.get_all("Requires-Dist", [])} == {
        "gevent",
        "kazoo",
        "wrapt",
    }


def test_the_sdist_contains_what_is_tracked(built: Path) -> None:
    """The sources, the tests and the documents: enough to build and test it elsewhere."""
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names - {"PKG-INFO"} == tracked()


def test_an_index_would_accept_both(built: Path) -> None:
    """`twine check --strict` finds nothing in their metadata."""
    files = [str(path) for path in sorted(built.iterdir())]
    assert len(files) == 2
    result = run_python(["-m", "twine", "check", "--strict", *files])
    assert result.stdout.count("PASSED") == 2

"""What is installed for the tests has the versions, and comes from the files, of .ci/locked."""

from __future__ import annotations

import hashlib
import re
import subprocess
import venv
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import nox
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.matrix import LEVELS
from tests.support import ROOT
from tests.temporary import users_environment

LOCKS = sorted((ROOT / ".ci" / "locked").glob("*.txt"))
PROJECT: dict[str, Any] = nox.project.load_toml(ROOT / "pyproject.toml")
WITHOUT_THE_PACKAGE = {"build", "docs", "tools"}

_LOCKED = re.compile(r"^(\S+==[^\\\n]+?) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.M)
_COMMENT = re.compile(r"^ *#.*\n", re.M)


def locked(lock: Path) -> list[Requirement]:
    return [Requirement(found[1]) for found in _LOCKED.finditer(lock.read_text())]


def asked_for(group: str) -> Iterator[Requirement]:
    """Give what pyproject.toml says of a group, and of the package if that belongs to it."""
    yield from map(Requirement, nox.project.dependency_groups(PROJECT, group))
    if group not in WITHOUT_THE_PACKAGE:
        yield from map(Requirement, PROJECT["project"]["dependencies"])


def holds(requirement: Requirement, python: str) -> bool:
    environment = {"python_version": python, "python_full_version": f"{python}.99"}
    return requirement.marker is None or requirement.marker.evaluate(environment)


def test_each_group_has_a_lock() -> None:
    """And no lock is left of a group that is gone."""
    assert {lock.stem for lock in LOCKS} == set(PROJECT["dependency-groups"])


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_lock_has_versions_with_hashes_and_nothing_else(lock: Path) -> None:
    """It names no place to get them from: that is the user's choice."""
    assert _COMMENT.sub("", _LOCKED.sub("", lock.read_text())) == ""
    assert len(locked(lock)) > 1


@pytest.mark.parametrize("python", LEVELS["python"])
@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_lock_is_what_the_project_asks_for_on_each_interpreter(lock: Path, python: str) -> None:
    """Otherwise run ``nox --session lock``."""
    versions = {
        canonicalize_name(found.name): str(found.specifier).removeprefix("==")
        for found in locked(lock)
        if holds(found, python)
    }
    for wanted in asked_for(lock.stem):
        if holds(wanted, python):
            assert versions.get(canonicalize_name(wanted.name), "none") in wanted.specifier, wanted


@pytest.mark.parametrize("group", ["build", "test"])
def test_this_environment_has_the_locked_versions(group: str) -> None:
    """So a failure here is one that others see."""
    for wanted in locked(ROOT / ".ci" / "locked" / f"{group}.txt"):
        if wanted.marker is None or wanted.marker.evaluate():
            assert metadata.version(wanted.name) in wanted.specifier


@pytest.mark.slow
def test_a_file_with_another_hash_is_not_installed(tmp_path: Path) -> None:
    """The set-up of the tests and the demo ends there."""
    wheel = tmp_path / "harmless-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("harmless.py", "")
        about = "harmless-1.0.dist-info"
        archive.writestr(
            f"{about}/METADATA", "Metadata-Version: 2.1\nName: harmless\nVersion: 1.0\n"
        )
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
        archive.writestr(f"{about}/RECORD", "")
    venv.create(tmp_path / ".venv", with_pip=True)
    (tmp_path / ".ci" / "locked").mkdir(parents=True)
    (tmp_path / ".ci" / "setup.sh").write_bytes((ROOT / ".ci" / "setup.sh").read_bytes())
    right = hashlib.sha256(wheel.read_bytes()).hexdigest()
    for digest, status in (("0" * 64, 1), (right, 0)):
        line = f"harmless @ {wheel.as_uri()} --hash=sha256:{digest}\n"
        (tmp_path / ".ci" / "locked" / "harmless.txt").write_text(line)
        done = subprocess.run(
            ["bash", "-c", "set -euo pipefail; source .ci/setup.sh; install_locked harmless"],
            cwd=tmp_path,
            env=users_environment(),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == status, done.stderr
        [python] = (tmp_path / ".venv" / "bin").glob("python")
        found = subprocess.run([python, "-c", "import harmless"], capture_output=True, check=False)
        assert found.returncode == status

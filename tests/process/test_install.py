"""The package is installed as README and docs say, each way in a fresh virtual environment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.temporary import users_environment

FOLDER = "/path/to/kazoo-gevent-patch"
SOURCES = ("LICENSE", "README.md", "pyproject.toml", "kazoo_gevent_patch")
PATCHES = """
from kazoo_gevent_patch import patch_all
from kazoo.client import KazooClient
print(patch_all().patched, type(KazooClient().handler).__module__)
"""


def ways(document: str) -> list[list[str]]:
    """Return the commands in the section "Install" of a document, a list for each block."""
    text = (ROOT / document).read_text()
    section = re.split(r"^## .*\n", text.partition("\n## Install\n")[2], flags=re.MULTILINE)[0]
    blocks = re.findall(r"^```console\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return [[line.removeprefix("$ ") for line in block.splitlines()] for block in blocks]


WAYS = {
    f"{document}, {number}": way
    for document in ("README.md", "docs/index.md")
    for number, way in enumerate(ways(document), 1)
}


def test_there_are_ways_to_try() -> None:
    """Or the next test would hold whatever the documents say."""
    assert [name.partition(",")[0] for name in WAYS] == ["README.md", *["docs/index.md"] * 3]
    assert all("pip install" in " ".join(way) for way in WAYS.values())


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_the_lines_install_a_package_that_works(way: list[str], tmp_path: Path) -> None:
    """To the letter, but for the folder of the sources; then the one line patches kazoo."""
    sources = tmp_path / "sources"
    sources.mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, sources / name)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    environment = {**users_environment(), "PATH": f"{tmp_path}/venv/bin:{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    is_inside = not any(FOLDER in command for command in way)
    cwd = sources if is_inside else tmp_path

    def run(*command: str) -> str:
        result = subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
        return result.stdout

    for command in way:
        run("bash", "-c", command.replace(FOLDER, str(sources)))
    cwd = tmp_path  # where the sources are not found
    assert run("python", "-c", PATCHES) == "True kazoo_gevent_patch.handler.sequential\n"
    assert "0 problems" in run("kazoo-gevent-patch", "doctor")

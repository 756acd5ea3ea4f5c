"""Packages of any suite of Debian, unpacked beside the machine's own: nothing is installed.

For what a test matrix wants in a version that the machine does not have. Needs apt and dpkg; the
mirrors, the proxies and the keys are those of the machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

_KEYS: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"
_TIMEOUT: Final = 900.0


class UnavailableError(RuntimeError):
    """This machine cannot get the packages of another suite; the message says why."""


def unpack(suite: str, packages: Sequence[str], target: Path, *, dependencies: bool) -> None:
    """Unpack a suite's packages into a new folder, with what they depend on if wished.

    The folder is there whole or not at all. Raises ``UnavailableError``.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as name:
        work = Path(name)
        options = _apt_options(work, _sources(suite))
        _run("apt-get", *options, "update")
        if dependencies:
            _run("apt-get", *options, "install", "--yes", "--download-only", *packages)
        else:
            _run("apt-get", *options, "download", *packages, cwd=work / "archives")
        for archive in sorted(work.glob("archives/*.deb")):
            _run("dpkg-deb", "--extract", str(archive), str(work / "root"))
        try:
            (work / "root").rename(target)
        except OSError:
            if not target.exists():  # another process was not quicker
                raise


def _sources(suite: str) -> list[str]:
    """Return lines of a sources.list: the suite on the mirrors that the machine uses."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb") and Path(_KEYS).exists()):
        raise UnavailableError("no Debian: apt-get, dpkg-deb or Debian's keys are missing")
    form = "$(REPO_URI) $(RELEASE)"
    listed = _run("apt-get", "indextargets", "--format", form, "Created-By: Packages")
    found = {line.split()[1]: line.split()[0] for line in listed.splitlines() if " " in line}
    own = _codename()
    wanted = {suite: found.get(own)}
    if suite != "sid":
        wanted[f"{suite}-security"] = found.get(f"{own}-security")
    lines = [f"deb [signed-by={_KEYS}] {uri} {name} main" for name, uri in wanted.items() if uri]
    if not lines:
        raise UnavailableError(f"apt's sources have no mirror of Debian {own}")
    return lines


def _codename() -> str:
    values = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if line
    )
    return str(values.get("VERSION_CODENAME", "").strip('"'))


def _apt_options(work: Path, sources: Sequence[str]) -> list[str]:
    for folder in ("lists/partial", "archives/partial", "root"):
        (work / folder).mkdir(parents=True)
    (work / "status").touch()  # as if nothing were installed
    (work / "sources.list").write_text("\n".join([*sources, ""]))
    settings = {
        "Dir::Etc::sourcelist": work / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "Dir::State::lists": work / "lists",
        "Dir::State::status": work / "status",
        "Dir::Cache::archives": work / "archives",
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "",  # whose account could not write into the folder
        "Debug::NoLocking": "true",
    }
    return ["-q", *(f"-o{name}={value}" for name, value in settings.items())]


def _run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-5:])
        raise UnavailableError(f"{' '.join(command[:1])} failed with {done.returncode}:\n{tail}")
    return done.stdout

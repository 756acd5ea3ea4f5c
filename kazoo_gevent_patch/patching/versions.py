"""The versions of what this package works with."""

from __future__ import annotations

import platform
import re
from importlib import metadata
from typing import Final

from kazoo_gevent_patch.errors import UnsupportedKazooError

OLDEST_KAZOO: Final = "2.8.0"
"""The oldest kazoo that the tests pass with; ``pyproject.toml`` requires it too."""

TESTED: Final = {
    "Python": ("3.10", "3.13"),
    "kazoo": (OLDEST_KAZOO, "2.11.0"),
    "gevent": ("23.9.1", "26.9.0"),
    "wrapt": ("1.16.0", "2.5.2"),
    "gunicorn": ("21.2.0", "27.0.1"),
}
"""The oldest and the newest release of each that the tests pass with."""


def installed(distribution: str) -> str | None:
    """Return the installed version, or None if there is no record of one."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def check_kazoo() -> None:
    """Raise ``UnsupportedKazooError`` if kazoo is installed and too old, without importing it."""
    version = installed("kazoo")
    if version is not None and _numbers(version) < _numbers(OLDEST_KAZOO):
        raise UnsupportedKazooError(
            f"kazoo {version} is installed; kazoo_gevent_patch needs {OLDEST_KAZOO} or newer"
        )


def compares_host_names() -> bool:
    """Return whether this kazoo knows ``check_hostname``, as it does since 2.11."""
    version = installed("kazoo")
    return version is None or _numbers(version) >= (2, 11)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(digits) for digits in re.findall(r"\d+", version)[:3])


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that matter here."""
    packages = ("kazoo", "gevent", "wrapt", "kazoo-gevent-patch")
    return {
        "Python": platform.python_version(),
        **{name: installed(name) or "not found" for name in packages},
    }


def beyond_tested(name: str, version: str) -> str:
    """Return ``"older"`` or ``"newer"`` than the releases tested, or the empty string.

    A bound stands for all releases that begin with its numbers. What has no bounds is never
    beyond them.
    """
    if name not in TESTED:
        return ""
    oldest, newest = map(_numbers, TESTED[name])
    numbers = _numbers(version)
    if numbers < oldest:
        return "older"
    return "newer" if numbers[: len(newest)] > newest else ""

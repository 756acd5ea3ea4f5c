"""The versions of what this package works with."""

from __future__ import annotations

import os
import platform
import re
import select
import sys
import sysconfig
from collections.abc import Iterable
from importlib import metadata
from importlib.util import find_spec
from typing import Final

from kazoo_gevent_patch.errors import UnsupportedKazooError, UnsupportedPlatformError
from kazoo_gevent_patch.settings.environment import PATCH

OLDEST_KAZOO: Final = "2.8.0"
"""The oldest kazoo that the tests pass with; ``pyproject.toml`` requires it too."""

NOT_FOUND: Final = "not found"
"""Stands for the version of what there is no record of."""

TESTED: Final = {
    "Python": ("3.10", "3.15"),
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


_OR_GO_ON: Final = f"or set {PATCH.variable}=0 to go on without the patch"


def check_platform() -> None:
    """Raise ``UnsupportedPlatformError`` where this package cannot work at all."""
    if sys.implementation.name != "cpython":
        raise UnsupportedPlatformError(
            f"kazoo_gevent_patch needs CPython, and this is {platform.python_implementation()}: "
            f"run the program on CPython, {_OR_GO_ON}"
        )
    for module, name in ((os, "register_at_fork"), (select, "poll")):
        if not hasattr(module, name):
            raise UnsupportedPlatformError(
                f"kazoo_gevent_patch needs {module.__name__}.{name}, which is missing on "
                f"{sys.platform}: run the program on Linux, {_OR_GO_ON}"
            )


def check_kazoo() -> None:
    """Raise ``UnsupportedKazooError`` if kazoo is missing or too old, without importing it."""
    version = installed("kazoo")
    if version is not None and _numbers(version) < _numbers(OLDEST_KAZOO):
        raise UnsupportedKazooError(
            f"kazoo {version} is installed; kazoo_gevent_patch needs {OLDEST_KAZOO} or newer: "
            f"upgrade kazoo, {_OR_GO_ON}"
        )
    if version is None and "kazoo" not in sys.modules and find_spec("kazoo") is None:
        raise UnsupportedKazooError(
            f"kazoo is not installed: install kazoo {OLDEST_KAZOO} or newer, {_OR_GO_ON}"
        )


def does_not_fit(misfits: Iterable[str]) -> str:
    """Return a text that names all that is wrong with the kazoo that is imported."""
    version = getattr(sys.modules.get("kazoo.version"), "__version__", None) or installed("kazoo")
    tested = " to ".join(TESTED["kazoo"])
    return (
        f"kazoo {version} with gevent {installed('gevent')} is not what kazoo_gevent_patch knows, "
        f"and nothing is patched: {'; '.join(misfits)}. Install a kazoo of {tested}, {_OR_GO_ON}"
    )


def compares_host_names() -> bool:
    """Return whether this kazoo knows ``check_hostname``, as it does since 2.11."""
    version = installed("kazoo")
    return version is None or _numbers(version) >= (2, 11)


def is_free_threaded() -> bool:
    """Return whether this Python was built to run without the GIL, as ``python3.14t`` is."""
    return bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(digits) for digits in re.findall(r"\d+", version)[:3])


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that matter here."""
    packages = ("kazoo", "gevent", "wrapt", "kazoo-gevent-patch")
    return {
        "Python": platform.python_version(),
        **{name: installed(name) or NOT_FOUND for name in packages},
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

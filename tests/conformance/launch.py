"""Run kazoo's own tests in a process that is set up in one of several ways.

    python -m tests.conformance.launch MODE RECORD [PYTEST OPTION...]

RECORD is a JSON file that says afterwards which handler classes the clients ran on. Nothing but
the standard library may be imported up here: what is imported first is what the modes differ in.
"""

import importlib
import json
import os
import pkgutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any


def vanilla() -> None:
    """Leave the process as kazoo's developers have it."""


def patch_first() -> None:
    """Patch before kazoo is imported."""
    _patch_standard_library()
    _patch_kazoo()


def kazoo_first() -> None:
    """Import kazoo after the standard library is patched, and patch it then."""
    _patch_standard_library()
    _import_kazoo()
    _patch_kazoo()


def late_monkey() -> None:
    """Import kazoo into an unpatched process, and patch all after it."""
    _import_kazoo()
    _patch_standard_library()
    _patch_kazoo()


def no_monkey() -> None:
    """Patch kazoo, and leave the standard library as it is."""
    _patch_kazoo()


MODES: dict[str, Callable[[], None]] = {
    "vanilla": vanilla,
    "patch-first": patch_first,
    "kazoo-first": kazoo_first,
    "late-monkey": late_monkey,
    "no-monkey": no_monkey,
}


class HandlerRecord:
    """A pytest plugin that counts clients by handler class, given and default ones apart."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._counts: dict[str, Counter[str]] = {"default": Counter(), "explicit": Counter()}

    def pytest_sessionstart(self) -> None:
        import wrapt

        wrapt.wrap_function_wrapper("kazoo.client", "KazooClient.__init__", self._count)

    def pytest_sessionfinish(self) -> None:
        self._path.write_text(json.dumps(self._counts, indent=2))

    def _count(
        self,
        wrapped: Callable[..., None],
        client: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        wrapped(*args, **kwargs)
        # The parameters are (hosts, timeout, client_id, handler, ...).
        given = args[3] if len(args) > 3 else kwargs.get("handler")
        handler = type(client.handler)
        name = f"{handler.__module__}.{handler.__qualname__}"
        self._counts["default" if given is None else "explicit"][name] += 1


def main(mode: str, record: str, *options: str) -> int:
    """Set the process up, and run pytest in it."""
    MODES[mode]()
    import kazoo
    import pytest

    package = Path(kazoo.__file__).parent
    arguments = [
        # A path and no configuration file: else pytest would take this project's configuration,
        # and its conftest.py with a fixture that unpatches kazoo after each test.
        *(str(package / "tests"), "-c", os.devnull, "--rootdir", str(package.parent)),
        # kazoo counts objects by the name TreeNode, and Hypothesis's plugin makes some.
        *("--disable-plugin-autoload", "-p", "pytest_timeout"),
    ]
    return pytest.main([*arguments, *options], [HandlerRecord(Path(record))])


def _patch_standard_library() -> None:
    from gevent import monkey

    monkey.patch_all()


def _patch_kazoo() -> None:
    import kazoo_gevent_patch

    kazoo_gevent_patch.patch_all()


def _import_kazoo() -> None:
    import kazoo

    for module in pkgutil.walk_packages(kazoo.__path__, "kazoo."):
        # The tests belong to pytest, which rewrites their assertions; eventlet is not installed.
        if not module.name.startswith(("kazoo.tests", "kazoo.handlers.eventlet")):
            importlib.import_module(module.name)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""What a program, a person and an editor see of the package: what is public, and no more."""

from __future__ import annotations

import ast
import importlib
import inspect
import rlcompleter
from pathlib import Path

import kazoo_gevent_patch
from tests.support import run_python

NAMES = [
    "AsyncResult",
    "SequentialGeventHandler",
    "is_patched",
    "patch_all",
    "patched",
    "status",
    "unpatch_all",
]
MODULES = ["errors", "gunicorn"]


def test_the_package_shows_its_names_and_its_public_modules() -> None:
    """After every wing has been imported too."""
    for path in Path(kazoo_gevent_patch.__file__).parent.rglob("*.py"):
        if path.stem not in ("__main__", "__init__"):
            parts = path.relative_to(Path(kazoo_gevent_patch.__file__).parent.parent).parts
            importlib.import_module(".".join(parts).removesuffix(".py"))
    assert sorted(kazoo_gevent_patch.__all__) == NAMES
    assert dir(kazoo_gevent_patch) == sorted([*NAMES, *MODULES])
    assert [name for name, _ in inspect.getmembers(kazoo_gevent_patch)] == dir(kazoo_gevent_patch)


def test_completion_offers_the_same() -> None:
    """In Python's own prompt."""
    completer = rlcompleter.Completer({"package": kazoo_gevent_patch})
    offered: list[str] = []
    while word := completer.complete("package.", len(offered)):
        offered.append(word)
    names = {word.removeprefix("package.").rstrip("()") for word in offered}
    assert names == {*NAMES, *MODULES}


def test_a_name_of_the_package_itself_is_public_or_begins_with_an_underscore() -> None:
    """An editor reads the source, where ``__dir__`` says nothing."""
    tree = ast.parse(Path(kazoo_gevent_patch.__file__).read_text())
    names = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert {name for name in names if not name.startswith("_")} == set(NAMES)


def test_a_public_module_is_there_without_an_import_of_its_own() -> None:
    """What is shown can be used at once; kazoo stays out of it, and another name is an error."""
    run_python(
        "import sys, kazoo_gevent_patch as package\n"
        "package.gunicorn.post_fork, package.errors.CannotPatchError\n"
        "assert not [name for name in sys.modules if name.partition('.')[0] == 'kazoo']\n"
        "try:\n"
        "    package.nonsense\n"
        "except AttributeError as error:\n"
        "    assert 'nonsense' in str(error)\n"
    )

"""The contract: it holds here, each row of it can fail, and the sources lean on nothing else."""

from __future__ import annotations

import ast
import importlib
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import gevent._hub_local
import gevent.socket
import kazoo.client  # noqa: F401 - its import triggers every row
import pytest
from kazoo.client import KazooClient

import kazoo_gevent_patch
from kazoo_gevent_patch import patch_all, status
from kazoo_gevent_patch.errors import UnsupportedKazooError
from kazoo_gevent_patch.patching.check import misfits
from kazoo_gevent_patch.patching.contract import CONTRACT
from kazoo_gevent_patch.patching.needs import Need
from kazoo_gevent_patch.patching.table import PATCHES

PACKAGE = Path(kazoo_gevent_patch.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))

PYTHONS = {"_thread", "_initializing", "_run_module_as_main", "_getframe", "_current_frames"}
"""Private names of the standard library, which this test is not about."""

LISTED = {
    *(name for need in CONTRACT for name in re.findall(r"\w+", f"{need.owner} {need.names}")),
    *(name for row in PATCHES for name in row.target.split(".")),
}
PRIVATE = re.compile(r"_(?!kazoo_gevent_patch)[a-z]\w*")
FULL_NAME = re.compile(r"(kazoo|gevent|wrapt)(\.[\w<>]+)+")

every_need = pytest.mark.parametrize(
    "need", CONTRACT, ids=lambda need: f"{need.path} {need.kind.name} {need.names}"
)


@pytest.fixture(autouse=True)
def _imported() -> None:
    for need in CONTRACT:
        importlib.import_module(need.module)


def is_private(name: str) -> bool:
    return PRIVATE.fullmatch(name) is not None and not name.endswith("__")


def defined(tree: ast.Module) -> Iterator[str]:
    """Return the names that a module defines: functions, variables, attributes of ``self``."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
                yield node.attr
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__slots__":
            texts: list[Any] = [text for text in ast.walk(node.value) if is_text(text)]
            yield from (text.value for text in texts)


def is_text(node: Any) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def touched(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Return the private names that a module reads or writes of whatever object, and the lines."""
    nodes: list[Any] = list(ast.walk(tree))
    for node in nodes:
        names: list[str] = []
        if isinstance(node, ast.Attribute):
            names = [node.attr]
        elif is_text(node):
            names = node.value.split(".") if FULL_NAME.fullmatch(node.value) else [node.value]
        elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("kazoo_gev"):
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [part for alias in node.names for part in alias.name.split(".")]
        yield from ((name, node.lineno) for name in names if is_private(name))


def inherited(tree: ast.Module) -> Iterator[str]:
    """Return what the modules of ours define from which this one derives classes."""
    bases = {
        base.id
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for base in node.bases
        if isinstance(base, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and bases & {alias.name for alias in node.names}:
            source = PACKAGE.parent.joinpath(*(node.module or "").split(".")).with_suffix(".py")
            if source in SOURCES:
                yield from defined(ast.parse(source.read_text()))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_private_name_is_touched_that_is_not_listed(path: Path) -> None:
    """Attributes, and texts that are names: ours, the standard library's, or in the contract."""
    tree = ast.parse(path.read_text())
    known = {*defined(tree), *inherited(tree), *LISTED, *PYTHONS}
    unlisted = [f"{name}, line {line}" for name, line in touched(tree) if name not in known]
    assert not unlisted, "add them to patching/contract.py"


def test_a_private_name_is_found_however_it_is_touched() -> None:
    """Or the test above would hold whatever the sources do."""
    source = (
        "import a._b\nfrom c._d import _e\nf._g\nh._i = getattr(j, '_k')\n"
        "NAMES = {'kazoo.client.KazooClient._l.<locals>.m', '_kazoo_gevent_patch_n'}"
    )
    found = {name for name, _ in touched(ast.parse(source))}
    assert found == {"_b", "_d", "_e", "_g", "_i", "_k", "_l"}
    assert "_x" not in set(defined(ast.parse("client._x = 1")))


def test_the_contract_holds_here() -> None:
    """For the releases that are installed."""
    assert misfits(CONTRACT) == []


@every_need
def test_a_need_that_is_not_met_is_found(need: Need) -> None:
    """None is skipped: each row's owner can be judged, and each row says why it is there."""
    (told,) = misfits([need._replace(names="no_such_name=")])
    assert told.startswith(("there is no", "an instance of", "no method of", need.path))
    assert need.path in told
    assert need.why.endswith(".")
    assert re.fullmatch(r"\d+\.\d+\.\d+", need.since)


def test_an_owner_or_a_module_that_is_gone_is_told_once() -> None:
    """However many rows are about it."""
    needs = [need for need in CONTRACT if need.path.endswith(".KazooClient")]
    moved = [need._replace(owner="kazoo.client:Nobody") for need in needs]
    assert misfits(moved) == ["there is no kazoo.client.Nobody"]
    gone = [need._replace(owner="kazoo.nowhere:KazooClient") for need in needs]
    assert misfits(gone) == ["there is no module kazoo.nowhere"]


def without_global(function: FunctionType) -> FunctionType:
    """Return the function with another name for a global one."""
    names = tuple(f"{name}_moved" for name in function.__code__.co_names)
    return FunctionType(function.__code__.replace(co_names=names), function.__globals__)


@pytest.mark.parametrize(
    ("module", "name"),
    [(gevent._hub_local, "get_hub_if_exists"), (gevent.socket, "create_connection")],
)
def test_a_gevent_that_has_moved_is_refused_too(
    module: ModuleType, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the same error, which names it and gevent's release."""
    if module is gevent.socket:
        monkeypatch.setattr(module, name, without_global(getattr(module, name)))
    else:
        monkeypatch.delattr(module, name)
    with pytest.raises(UnsupportedKazooError, match=rf"with gevent {gevent.__version__}.*{name}"):
        patch_all()
    assert not status().applied


def test_the_check_asks_nobody_on_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor for the name of this machine, which kazoo's recipes look up: that may take seconds."""
    for name in ("getfqdn", "getaddrinfo", "gethostbyaddr", "socket"):
        monkeypatch.setattr(socket, name, lambda *_: pytest.fail("asked"))
    before = threading.active_count()
    assert misfits(CONTRACT) == []
    assert threading.active_count() == before


def test_the_check_runs_nothing_that_somebody_has_put_over_kazoo(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A wrapper of a constructor might start the client; what it hides is not judged."""
    original = KazooClient.__init__

    def starts(self: Any, *args: Any, **kwargs: Any) -> None:
        pytest.fail("called by the check")

    monkeypatch.setattr(KazooClient, "__init__", starts)
    assert misfits(CONTRACT) == []
    starts.__wrapped__ = original  # type: ignore[attr-defined]
    assert misfits(CONTRACT) == []

"""Copies of kazoo in which something has moved, and what becomes of a program that meets one.

The copy works as before with its own handler: names are changed in all places at once.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import kazoo

from kazoo_gevent_patch.patching.contract import CONTRACT
from kazoo_gevent_patch.patching.needs import Kind, Need
from kazoo_gevent_patch.patching.table import PATCHES, Patch
from tests.support import run_python

ORDERS = ("patch first", "kazoo first")
_KAZOO = Path(kazoo.__file__).parent

Change = Callable[[Path], None]


@dataclass(frozen=True)
class Move:
    """One change of a copy, and what the error must name."""

    what: str
    named: str
    change: Change


def moves() -> list[Move]:
    """Return one for each name of the contract and each row of the patch table, and some more."""
    return [
        *(move for need in CONTRACT if need.module.startswith("kazoo.") for move in _of_need(need)),
        *map(_of_row, PATCHES),
        Move("a module", "there is no module kazoo.recipe.barrier", _move_module),
        Move("a class", "there is no kazoo.protocol.connection.ConnectionHandler", _move_class),
    ]


def _of_need(need: Need) -> Iterator[Move]:
    file = need.module.removeprefix("kazoo.").replace(".", "/") + ".py"
    if need.kind in (Kind.begins, Kind.takes):
        yield Move(need.path, need.path, _SIGNATURES[need.path])
        return
    for name in need.names.split():
        first = name.partition("|")[0]
        named = first if name != need.owner else need.path
        if need.kind in (Kind.shares, Kind.uses):
            change = partial(rename_in_function, file, need.in_module.rpartition(".")[2], first)
        elif name.startswith("__"):
            change = partial(_with_slots, without=name)
        elif need.kind is Kind.has or "_" in name:
            change = partial(rename, name)
        else:
            change = partial(_rename_own, file, first)
        yield Move(f"{need.path}: {name}", named, change)


def _of_row(row: Patch) -> Move:
    file = row.module.removeprefix("kazoo.").replace(".", "/") + ".py"
    owner, _, name = row.target.rpartition(".")
    if name == "__defaults__":
        return Move(row.name, row.name, _with_named_sleep)
    if row.name == "kazoo.client.KazooClient.__init__":
        return Move(row.name, row.name, _SIGNATURES[row.name])
    if name == "__init__":
        return Move(row.name, f"{row.module}.{owner}", partial(rename, owner))
    if not owner:
        return Move(row.name, row.name, partial(rename, name))
    return Move(row.name, row.name, partial(_hide_method, file, owner, name))


def copy_with(move: Move, folder: Path) -> Path:
    """Make a copy of kazoo in the folder, change it, and return the folder to import it from."""
    # With what is compiled already, which holds for the files that do not change.
    shutil.copytree(_KAZOO, folder / "kazoo", ignore=shutil.ignore_patterns("tests", "testing"))
    move.change(folder / "kazoo")
    return folder


def rename(name: str, copy: Path) -> None:
    """Rename a name, or each of several (``a|b``), in the whole of kazoo."""
    for path in copy.rglob("*.py"):
        _edit(path, lambda text: re.sub(rf"(?<!threading\.)\b({name})\b", r"\1_moved", text))


def rename_in_function(file: str, function: str, name: str, copy: Path) -> None:
    """Rename what a function, or one inside it, calls so.

    A global name, or that of a method, has both names then.
    """
    tree = ast.parse((copy / file).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == function:
            _Renaming(name).generic_visit(node)
    alias = (
        f"try:\n    {name}_moved = {name}\nexcept NameError:\n    pass\n"
        f"for _kind in [_kind for _kind in globals().values() if hasattr(_kind, {name!r})]:\n"
        f"    if isinstance(_kind, type) and _kind.__module__ == __name__:\n"
        f"        _kind.{name}_moved = _kind.{name}\n"
    )
    (copy / file).write_text(f"{ast.unparse(tree)}\n{alias}")


class _Renaming(ast.NodeTransformer):
    def __init__(self, name: str) -> None:
        self._names = {name: f"{name}_moved"}

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = self._names.get(node.id, node.id)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            node.attr = self._names.get(node.attr, node.attr)
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.arg = self._names.get(node.arg, node.arg)
        return node

    def visit_Nonlocal(self, node: ast.Nonlocal) -> ast.Nonlocal:
        node.names = [self._names.get(name, name) for name in node.names]
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.name = self._names.get(node.name, node.name)
        return self.generic_visit(node)


def _rename_own(file: str, name: str, copy: Path) -> None:
    _edit(copy / file, lambda text: re.sub(rf"\bself\.{name}\b", f"self.{name}_moved", text))


def _replace(file: str, old: str, new: str, copy: Path) -> None:
    def change(text: str) -> str:
        assert re.search(old, text), (file, old)
        return re.sub(old, new, text)

    _edit(copy / file, change)


def _edit(path: Path, change: Callable[[str], str]) -> None:
    text = path.read_text()
    changed = change(text)
    if changed != text:
        path.write_text(changed)


def _with_slots(copy: Path, *, without: str) -> None:
    names = set(re.findall(r"self\.(\w+)\b", (copy / "client.py").read_text()))
    slots = {"__dict__", "__weakref__"} - {without}
    if without == "__dict__":
        slots |= {name for name in names if not hasattr(_client_class(), name)}
    _replace(
        "client.py",
        r"(class KazooClient\(object\):\n)",
        rf"\1    __slots__ = {tuple(sorted(slots))!r}\n",
        copy,
    )


def _client_class() -> type:
    from kazoo.client import KazooClient

    kind: type = KazooClient
    return kind


def _with_named_sleep(copy: Path) -> None:
    _replace("retry.py", r"(def __init__\(\s*self,)", r"\1 *,", copy)


def _hide_method(file: str, owner: str, name: str, copy: Path) -> None:
    """Take a method out of its class; on instances it is still found."""
    with (copy / file).open("a") as source:
        source.write(
            f"\n_hidden = {owner}.{name}\ndel {owner}.{name}\n"
            f"def _find(self, name):\n    if name != {name!r}:\n"
            f"        raise AttributeError(name)\n    return _hidden.__get__(self)\n"
            f"{owner}.__getattr__ = _find\n"
        )


def _move_module(copy: Path) -> None:
    (copy / "recipe" / "barrier.py").rename(copy / "recipe" / "barriers.py")
    _replace("client.py", r"kazoo\.recipe\.barrier\b", "kazoo.recipe.barriers", copy)


def _move_class(copy: Path) -> None:
    (copy / "protocol" / "connection.py").rename(copy / "protocol" / "link.py")
    (copy / "protocol" / "connection.py").write_text("")
    _replace("client.py", r"kazoo\.protocol\.connection\b", "kazoo.protocol.link", copy)


def _another_constructor(copy: Path) -> None:
    file = "protocol/connection.py"
    _replace(file, r"(def __init__\([^)]*?)\blogger=None", r"\1log_to=None", copy)
    _replace(file, r"logger or log", "log_to or log", copy)
    _replace("client.py", r"logger=self\.logger", "log_to=self.logger", copy)


_SIGNATURES: dict[str, Change] = {
    "kazoo.client.KazooClient.__init__": partial(
        _replace,
        "client.py",
        r"(timeout=10\.0,)\s*(client_id=None,)\s*(handler=None,)",
        r"\1 \3 \2",
    ),
    "kazoo.client.KazooClient._call": partial(
        _replace,
        "client.py",
        r"def _call\(self, request, async_object\):",
        "def _call(self, request, result):\n        async_object = result",
    ),
    "kazoo.protocol.connection.ConnectionHandler": _another_constructor,
    "kazoo.recipe.lock.Lock._inner_acquire": partial(
        _replace,
        "recipe/lock.py",
        r"self, blocking, timeout, ephemeral=True",
        "self, timeout, blocking, ephemeral=True",
    ),
    "kazoo.retry.KazooRetry": partial(rename, "max_delay"),
}


@dataclass(frozen=True)
class Meeting:
    """A program that meets a copy of kazoo."""

    what: str
    named: str
    folder: str
    order: str


def meet(meetings: list[Meeting], hosts: str, folder: Path, timeout: float) -> list[str]:
    """Have each program run in a process of its own, and return what went wrong."""
    plan = folder / "meetings.json"
    plan.write_text(json.dumps([asdict(meeting) for meeting in meetings]))
    arguments = ["-m", "tests.process.meet_moved_kazoo", str(plan), hosts]
    result = run_python(arguments, timeout=timeout)
    outcomes = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(outcomes) == len(meetings), result.stderr
    return [outcome for outcome in outcomes if outcome != "ok"]

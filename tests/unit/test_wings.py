"""The wings of the package: their arrows run one way."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import kazoo_gevent_patch

PACKAGE = Path(kazoo_gevent_patch.__file__).parent
NAME = PACKAGE.name

FLOORS = [
    {"__main__"},
    {"commands"},
    {"__init__", "gunicorn", "plugin"},  # the public face
    {"patching"},
    {"changes"},
    {"handler"},
    {"heartbeats"},
    {"stalls"},
    {"wire"},
    {"inspection"},
    {"inventory"},
    {"loop"},
    {"settings", "functions", "weak"},
    {"errors"},
]
"""The wings, and the modules that stand alone, from the top down. One uses those below it."""

MODULES = sorted(PACKAGE.rglob("*.py"))


def place(module: str) -> str:
    """Return the wing, or the module that stands alone, that a dotted name belongs to."""
    return [*module.split("."), "__init__"][1]


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports(path: Path) -> Iterator[str]:
    """Return the modules of the package that a module imports, wherever it does so."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith(NAME))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(NAME):
            folder = PACKAGE.parent.joinpath(*str(node.module).split("."))
            for alias in node.names:
                is_module = (folder / f"{alias.name}.py").exists()
                yield f"{node.module}.{alias.name}" if is_module else str(node.module)


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_a_wing_uses_only_the_wings_below_it(path: Path) -> None:
    """No import goes up or stays on its floor, other than inside the same wing."""
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    own = place(module_name(path))
    for imported in imports(path):
        other = place(imported)
        assert own == other or floor[own] < floor[other], f"{path.name} imports {imported}"


def test_no_import_goes_in_a_circle() -> None:
    """The modules can be put in an order in which each uses only those before it."""
    uses = {module_name(path): set(imports(path)) - {module_name(path)} for path in MODULES}
    assert len(list(TopologicalSorter(uses).static_order())) >= len(MODULES)


def test_each_wing_says_what_lives_there() -> None:
    """A folder's docstring has at least two sentences: what is there and what is not."""
    for folder in {path.parent for path in MODULES} - {PACKAGE}:
        text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
        if folder.parent == PACKAGE:
            assert text.count(".") >= 2, folder.name

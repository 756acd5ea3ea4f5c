"""The tested versions: every pair is met, every cell passed, and the package claims no more."""

from __future__ import annotations

import json
import re
from itertools import combinations, product

from kazoo_gevent_patch.patching.versions import TESTED
from tests.matrix import CELLS, CORNERS, IMPOSSIBLE, LEVELS, Cell
from tests.matrix.results import RESULTS, SERVERS, TABLE, render
from tests.support import ROOT


def test_every_pair_is_in_a_cell_or_impossible() -> None:
    """Two versions of different things meet in a cell, unless they do not go together."""
    all_pairs = {
        frozenset(pair)
        for one, other in combinations(LEVELS, 2)
        for pair in product(
            ((one, version) for version in LEVELS[one]),
            ((other, version) for version in LEVELS[other]),
        )
    }
    assert set.union(*(cell.pairs for cell in CELLS)) == all_pairs - IMPOSSIBLE.keys()


def test_the_corners_are_the_oldest_and_the_newest() -> None:
    """What continuous integration runs on are the two ends of every list."""
    oldest = Cell(*(versions[0] for versions in LEVELS.values()))
    newest = Cell(*(versions[-1] for versions in LEVELS.values()))
    assert (oldest, newest) == CORNERS


def test_every_run_that_is_recorded_passed() -> None:
    """The committed results are of runs without a failure; other lines are shown as not run."""
    results = json.loads(RESULTS.read_text())
    cells = {cell.name: cell for cell in CELLS}
    assert list(results) == [name for name in (*cells, *SERVERS) if name in results]
    for name, result in results.items():
        assert name in SERVERS or result["python"].startswith(f"{cells[name].python}.")
        assert result["failed"] == 0 < result["passed"]


def test_the_table_shows_the_results() -> None:
    """The page is what `nox -s table` makes of the results."""
    assert TABLE.read_text() == render(json.loads(RESULTS.read_text()))


def test_the_package_requires_the_oldest_tested_versions() -> None:
    """The lower bounds are those that the matrix proves, here and in the package's metadata."""
    project = (ROOT / "pyproject.toml").read_text()
    bounds = dict(re.findall(r'^    "(kazoo|gevent|wrapt)>=([\d.]+)",$', project, re.MULTILINE))
    assert bounds == {name: LEVELS[name][0] for name in ("kazoo", "gevent", "wrapt")}
    for python in LEVELS["python"]:
        oldest = min((cell.gevent for cell in CELLS if cell.python == python), key=_age)
        if oldest != LEVELS["gevent"][0]:
            assert f"gevent>={oldest}; python_version >= '{python}'" in project
        assert f'"Programming Language :: Python :: {python}"' in project
    assert f'requires-python = ">={LEVELS["python"][0]}"' in project


def _age(gevent: str) -> int:
    ages: tuple[str, ...] = LEVELS["gevent"]
    return ages.index(gevent)


def test_the_package_calls_tested_what_the_matrix_tests() -> None:
    """The ranges that the doctor goes by are the two ends of every list."""
    ends = {name: (versions[0], versions[-1]) for name, versions in LEVELS.items()}
    ends["Python"] = ends.pop("python")
    assert ends == TESTED

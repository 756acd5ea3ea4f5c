"""What came out of the cells: kept in a JSON file, shown in a table."""

from __future__ import annotations

import json
import platform
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from tests.matrix import CELLS, IMPOSSIBLE, Cell
from tests.support import ROOT

RESULTS: Final = ROOT / "docs" / "versions.json"
TABLE: Final = ROOT / "docs" / "versions.md"

Results = dict[str, dict[str, str]]
"""For the name of a cell: the exact Python, the outcome and the date."""

_TEXT: Final = """\
# Tested versions

<!-- Made by `nox -s table` from versions.json. -->

Each line is one run of the tests on a real ZooKeeper, with the package installed from its wheel.
Take any two versions from two different columns: at least one line tests them together, unless they
are named below the table. The oldest versions here are the lower bounds of the package. Newer
releases than the newest ones here are allowed, but not tested yet.

{table}

Some versions do not work together:

{impossible}

`nox -s cell` runs each line whose interpreter is installed, and names the lines that it leaves out.
`nox -s table` writes this page.
"""


def outcome(junit_xml: Path) -> dict[str, str]:
    """Return the result of a run: this Python, what pytest counted, and today's date."""
    suite = ElementTree.parse(junit_xml).getroot()[0]
    counts = {key: int(suite.attrib[key]) for key in ("tests", "failures", "errors", "skipped")}
    failed = counts["failures"] + counts["errors"]
    said = [f"{counts['tests'] - failed - counts['skipped']} passed"]
    said += [f"{failed} failed"] if failed else []
    said += [f"{counts['skipped']} skipped"] if counts["skipped"] else []
    return {
        "python": platform.python_version(),
        "outcome": ", ".join(said),
        "date": datetime.now(timezone.utc).date().isoformat(),
    }


def record(results: Results) -> None:
    """Add results to the file, and write the table anew."""
    known: Results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    known.update(results)
    ordered = {cell.name: known[cell.name] for cell in CELLS if cell.name in known}
    RESULTS.write_text(json.dumps(ordered, indent=2) + "\n")
    TABLE.write_text(render(ordered))


def render(results: Results) -> str:
    """Return the page with the table."""
    header = ["CPython", *Cell._fields[1:], "outcome", "date"]
    rows = [header, ["---"] * len(header), *(_row(cell, results.get(cell.name)) for cell in CELLS)]
    reasons = [f"- {_names(pair)}: {why}." for pair, why in IMPOSSIBLE.items()]
    return _TEXT.format(
        table="\n".join(f"| {' | '.join(row)} |" for row in rows),
        impossible="\n".join(reasons),
    )


def _row(cell: Cell, result: dict[str, str] | None) -> list[str]:
    found = result or {"python": cell.python, "outcome": "not run", "date": ""}
    return [found["python"], *cell[1:], found["outcome"], found["date"]]


def _names(pair: frozenset[tuple[str, str]]) -> str:
    return " with ".join(f"{what} {version}" for what, version in sorted(pair))


if __name__ == "__main__":
    # In the Python of a cell: its result goes from pytest's report to a file.
    source, target = map(Path, sys.argv[1:])
    target.write_text(json.dumps(outcome(source)))

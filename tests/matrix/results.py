"""What came out of the cells and of the servers: kept in a JSON file, shown in a page."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

from tests.matrix import CELLS, IMPOSSIBLE, Cell
from tests.support import ROOT
from tests.zookeeper import debian

RESULTS: Final = ROOT / "docs" / "versions.json"
TABLE: Final = ROOT / "docs" / "versions.md"

SERVERS: Final = {f"zookeeper{version}": suite for version, suite in debian.VERSIONS.items()}
"""The names of the results of servers, and the suite of Debian that each server is from."""

Result = dict[str, Any]
"""Exact Python and ZooKeeper, date, ``passed``, ``failed``, and ``skipped`` by reason."""

Results = dict[str, Result]
"""Results by the name of a cell or of a server."""

_TEXT: Final = """\
# Tested versions

<!-- Made by `nox -s table` from versions.json. -->

## CPython and packages

Each line is one run of the tests on a real ZooKeeper, with the package installed from its wheel.
Take any two versions from two different columns: at least one line tests them together, unless they
are named below the table. The oldest versions here are the lower bounds of the package. Newer
releases than the newest ones here are allowed: `kazoo-gevent-patch doctor` says that they are newer
than tested, and does not fail.

{cells}

Some versions do not work together:

{impossible}

No line has a free-threaded build of CPython, such as `python3.14t`: gevent does not support these
builds. The doctor says so.

## ZooKeeper

Each line is one run of `tests/server`, with ensembles of three servers. The servers come from the
suite of Debian that the line names. The Python packages are the newest that install.

{servers}

## Why the numbers differ

{why}

## How to run them

`nox -s cell` runs each line of the first table whose interpreter is installed, and names the lines
that it leaves out. `nox -s interpreters` downloads the interpreters that are missing, if Debian has
them. `nox -s servers` runs the lines of the second table. `nox -s table` writes this page.
`ZK_VERSION={newest} tests/run.sh ARGUMENT...` runs the tests of your choice on a server of the
second table.
"""


def outcome(junit_xml: Path) -> Result:
    """Return the result of a run: its versions, today's date, and what pytest counted."""
    suite = ElementTree.parse(junit_xml).getroot()[0]
    counts = {key: int(suite.attrib[key]) for key in ("tests", "failures", "errors", "skipped")}
    failed = counts["failures"] + counts["errors"]
    reasons = Counter(skip.attrib["message"] for skip in suite.iter("skipped"))
    return {
        "python": platform.python_version(),
        "zookeeper": "" if os.environ.get("ZK_HOSTS") else debian.version(),
        "date": datetime.now(timezone.utc).date().isoformat(),
        "passed": counts["tests"] - failed - counts["skipped"],
        "failed": failed,
        "skipped": dict(sorted(reasons.items())),
    }


def record(results: Results) -> None:
    """Add results to the file, and write the page anew."""
    known: Results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    known.update(results)
    names = [*(cell.name for cell in CELLS), *SERVERS]
    ordered = {name: known[name] for name in names if name in known}
    RESULTS.write_text(json.dumps(ordered, indent=2) + "\n")
    TABLE.write_text(render(ordered))


def render(results: Results) -> str:
    """Return the page with the tables."""
    cells = [
        ["CPython", *Cell._fields[1:], "ZooKeeper", "outcome", "date"],
        *(_cell_row(cell, results.get(cell.name)) for cell in CELLS),
    ]
    servers = [
        ["ZooKeeper", "Debian", "CPython", "outcome", "date"],
        *(_server_row(name, results.get(name)) for name in SERVERS),
    ]
    reasons = [f"- {_names(pair)}: {why}." for pair, why in IMPOSSIBLE.items()]
    return _TEXT.format(
        cells=_table(cells),
        servers=_table(servers),
        impossible="\n".join(reasons),
        why="\n".join(_why(results)),
        newest=next(reversed(debian.VERSIONS)),
    )


def _table(rows: list[list[str]]) -> str:
    ruled = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(row)} |" for row in ruled)


def _cell_row(cell: Cell, result: Result | None) -> list[str]:
    if result is None:
        return [cell.python, *cell[1:], "", "not run", ""]
    return [result["python"], *cell[1:], result["zookeeper"], _counts(result), result["date"]]


def _server_row(name: str, result: Result | None) -> list[str]:
    if result is None:
        return [name.removeprefix("zookeeper"), SERVERS[name], "", "not run", ""]
    version, python = result["zookeeper"], result["python"]
    return [version, SERVERS[name], python, _counts(result), result["date"]]


def _counts(result: Result) -> str:
    said = [f"{result['passed']} passed"]
    said += [f"{result['failed']} failed"] if result["failed"] else []
    said += [f"{count} skipped: {why}" for why, count in result["skipped"].items()]
    return ", ".join(said)


def _total(result: Result) -> int:
    return int(result["passed"] + result["failed"] + sum(result["skipped"].values()))


def _why(results: Results) -> list[str]:
    """Return what tells the reader why one line counts more tests than another."""
    said = [
        "A line skips a test that needs more than its versions have, and says what the test needs.",
        "So fewer tests pass there.",
    ]
    kinds = {
        "first": {_total(result) for name, result in results.items() if name not in SERVERS},
        "second": {_total(result) for name, result in results.items() if name in SERVERS},
    }
    for table, totals in kinds.items():
        if len(totals) == 1:
            said.append(
                f"In each line of the {table} table, passed and skipped make {totals.pop()}."
            )
        elif totals:
            said.append(
                f"In the {table} table, passed and skipped make {min(totals)} to {max(totals)}: "
                "the lines are of different days, and tests were added in between."
            )
    return said


def _names(pair: frozenset[tuple[str, str]]) -> str:
    return " with ".join(f"{what} {version}" for what, version in sorted(pair))


if __name__ == "__main__":
    # In the Python of a run: its result goes from pytest's report to a file.
    source, target = map(Path, sys.argv[1:])
    target.write_text(json.dumps(outcome(source)))

"""What the documents say of this project holds: links, tests and messages are there."""

from __future__ import annotations

import ast
import json
import re
import shlex
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = ROOT / "kazoo_gevent_patch"
PAGES = sorted((ROOT / "docs").glob("*.md"))
EXAMPLES = sorted((ROOT / "examples").glob("*/README.md"))
DOCUMENTS = [
    *PAGES,
    *EXAMPLES,
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
]
PRODUCTION = ROOT / "docs" / "production.md"
TROUBLESHOOTING = ROOT / "docs" / "troubleshooting.md"

LINK = re.compile(r"\[(?P<text>[^][]*)\]\((?P<target>[^)\s]+)\)")
CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def links(document: Path) -> list[tuple[str, Path]]:
    """Return the texts and the targets of the links that stay in the repository."""
    return [
        (match["text"], document.parent / match["target"].partition("#")[0])
        for match in LINK.finditer(CODE.sub("", document.read_text()))
        if not match["target"].startswith(("https:", "#"))
    ]


@cache
def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def rows(page: Path) -> list[str]:
    """Return the rows of a page's tables, without their headings."""
    found = re.findall(r"^\|[- |]+\|\n((?:\|.*\n)+)", page.read_text(), re.MULTILINE)
    return [row for table in found for row in table.splitlines()]


@cache
def texts() -> tuple[str, ...]:
    """Return every string in the package's sources, and the names of its classes."""
    nodes = [
        node for path in PACKAGE.rglob("*.py") for node in ast.walk(ast.parse(path.read_text()))
    ]
    strings = [node.value for node in nodes if isinstance(node, ast.Constant)]
    classes = [node.name for node in nodes if isinstance(node, ast.ClassDef)]
    return (*(text for text in strings if isinstance(text, str)), *classes)


def our_messages() -> list[str]:
    """Return the messages that the page of symptoms says are ours."""
    ours = TROUBLESHOOTING.read_text().partition("## Messages of this package")[2]
    return re.findall(r"^### `(.+?)`", ours, re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    """In the repository as in the built pages."""
    missing = [str(target) for _, target in links(document) if not target.exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_test_that_is_named_in_a_link_exists(page: Path) -> None:
    """The text of the link is a function of the file that it leads to."""
    named = [(text.strip("`"), path) for text, path in links(page) if text.startswith("`test_")]
    assert not [test for test, path in named if test not in functions(path)]


@pytest.mark.parametrize("readme", EXAMPLES, ids=name)
def test_a_readme_of_an_example_installs_what_the_example_imports(readme: Path) -> None:
    """First of all, in the example's folder; what comes with this package needs no name."""
    [command, *_] = re.findall(r"^\$ (.*)", readme.read_text(), re.MULTILINE)
    words = shlex.split(command)
    assert words[:4] == ["python", "-m", "pip", "install"]
    assert (readme.parent / words[4]).resolve() == ROOT
    named = {word.partition("[")[0] for word in words[5:]}
    needed = {"gunicorn"} if (readme.parent / "gunicorn.conf.py").exists() else set()
    own = {path.stem for path in readme.parent.iterdir()}
    for path in readme.parent.rglob("*.py"):
        needed |= imported(path) - own - sys.stdlib_module_names
    assert needed - {"gevent", "kazoo", "kazoo_gevent_patch"} == named


def imported(path: Path) -> set[str]:
    """Return the top names of the modules that a program imports."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [
        node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level
    ]
    return {found.partition(".")[0] for found in names}


def test_every_row_of_the_compatibility_tables_links_to_its_test() -> None:
    """A claim without a test is none."""
    claims = rows(ROOT / "docs" / "compatibility.md")
    assert len(claims) > 40
    assert not [claim for claim in claims if "(../tests/" not in claim]


def test_every_claim_of_the_threat_notes_links_to_its_test() -> None:
    """Each row, each item of a list and each paragraph does, if it does not introduce others."""
    page = ROOT / "docs" / "threat-notes.md"
    _, *claims = re.split(
        r"\n\n|\n(?=- )", re.sub(r"^#.*\n+|^\|.*\n", "", page.read_text(), flags=re.M)
    )
    claims = [*rows(page), *(claim for claim in claims if not claim.rstrip().endswith(":"))]
    assert len(claims) > 25
    assert not [claim for claim in claims if "(../tests/" not in claim]


def logged() -> set[tuple[str, str]]:
    """Return the levels and the texts with which the package's sources log."""
    calls = [
        node
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]
    return {
        (ast.unparse(call.func).rpartition(".")[2], ast.unparse(call.args[0]))
        for call in calls
        if ast.unparse(call.func).startswith("log.") and call.args
    }


def test_what_to_alarm_on_is_logged_at_the_level_that_the_page_gives() -> None:
    """Each record of the table; a part of one that varies is at least a text of the sources."""
    claims = [row.split("|")[1:3] for row in rows(PRODUCTION)]
    assert len(claims) > 5
    for pieces, level in claims:
        methods = {"ERROR": {"error", "exception"}, "WARNING": {"warning"}}[level.strip(" `")]
        for piece in re.findall(r"`(.+?)`", pieces):
            found = {method for method, text in logged() if piece in text}
            assert any(piece in text for text in texts()), piece
            assert found <= methods, piece


def test_what_readme_says_of_speed_is_what_was_measured() -> None:
    """In the last full run: about half of the CPU time, and several times as fast."""
    workloads = json.loads((ROOT / "docs" / "benchmarks.json").read_text())["workloads"]

    def ratio(workload: str, unit: str) -> float:
        medians = [
            float(workloads[workload]["contenders"][name][unit]["median"])
            for name in ("ours", "threads")
        ]
        return medians[0] / medians[1]

    assert "about half of the CPU time" in " ".join((ROOT / "README.md").read_text().split())
    assert all(0.35 < ratio(workload, "cpu") < 0.65 for workload in ("get", "set"))
    assert ratio("getters", "rate") > 3


def test_there_are_messages_of_ours_to_look_up() -> None:
    """Or the next test would hold whatever the page says."""
    assert len(our_messages()) > 10


@pytest.mark.parametrize("message", our_messages())
def test_every_message_of_ours_is_in_the_source(message: str) -> None:
    """To the letter; what varies is written as an ellipsis or as a number's place."""
    pieces = [piece.strip() for piece in message.split("…")]
    assert all(any(piece in text for text in texts()) for piece in pieces), pieces

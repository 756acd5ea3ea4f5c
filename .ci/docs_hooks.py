"""Hooks for mkdocs: they show the files that pages link to, and the measured figures.

The pages link to tests and sources by paths in the repository. The built site has no
repository beside it, so each file that is linked becomes a page of the site: a document as it
reads, with what it links to, and any other file with an anchor for each line.

A table with many columns is told the heading of each cell: a phone shows a row as a list.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from xml.etree.ElementTree import Element  # nosec B405 # parses nothing: it is built here

from markdown import Markdown
from markdown.extensions import Extension
from markdown.treeprocessors import Treeprocessor
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).resolve().parent.parent
LINK: Final = re.compile(r"\[(?P<text>[^][]*)\]\(\.\./(?P<path>[^)#]+)\)")
"""A link out of docs/."""

_BESIDE: Final = re.compile(r"\]\((?![a-z]+:|#)(?P<path>[^)#]+)\)")
"""The end of a link in a document outside docs/, which is relative to its folder."""

_TEST: Final = re.compile(r"<code>test_\w+</code>")
"""The name of a test, which a column of a table is too narrow for."""

_FIGURES: Final = "<!-- the figures of benchmarks.json -->"
_MISSED: Final = "<!-- the targets of benchmarks.json that are not met -->"
_COSTS: Final = "<!-- the costs of benchmarks.json -->"
_COST_ROWS: Final = {
    "CPU time of a `get`, one after the other, µs": ("get", "cpu"),
    "the same, 100 greenlets at once, µs": ("getters", "cpu"),
    "`get` per second, one after the other": ("get", "rate"),
    "the same, 100 greenlets at once": ("getters", "rate"),
    "a `set` of 1 MiB, MiB/s": ("write large", "rate"),
    "500 idle clients: native threads": ("fleet", "threads"),
    "500 idle clients: memory for each, KiB": ("fleet", "memory"),
    "500 idle clients: % CPU": ("fleet", "idle"),
    "CPU time to build a client, µs": ("build", "cpu"),
    "start: import gevent and wrapt, ms": ("start-up", "base"),
    "start: `patch_all()` on top of that, ms": ("start-up", "import"),
}
"""What the page on production shows of benchmarks.json: workloads and units."""
_DOCS: Final = "docs/"
_FEW_COLUMNS: Final = 2  # as many fit on a phone
_ROLES: Final = {
    "table": "table",
    "thead": "rowgroup",
    "tbody": "rowgroup",
    "tr": "row",
    "th": "columnheader",
    "td": "cell",
}
_LANGUAGES: Final = {".py": "python", ".sh": "bash", ".md": "markdown", ".toml": "toml"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Make a page of each file of the repository that a page links to."""
    texts = [page.content_string for page in files.documentation_pages()]
    made: set[str] = set()
    for text in texts:  # which grows by each document
        found = {match["path"] for match in LINK.finditer(text)}
        for path in sorted(path for path in found - made if not path.startswith(_DOCS)):
            made.add(path)
            if _is_document(path):
                content = _document(path)
                texts.append(content)
            else:
                content = _source(path)
            files.append(
                File.generated(
                    config, _page_of(path), content=content, inclusion=InclusionLevel.NOT_IN_NAV
                )
            )
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Have links out of docs/ lead to those pages, and put the figures in."""
    for mark, lines in ((_FIGURES, _tables), (_MISSED, _missed), (_COSTS, _costs)):
        if mark in markdown:
            document = json.loads((Path(config.docs_dir) / "benchmarks.json").read_text())
            markdown = markdown.replace(mark, "\n".join(lines(document)))
    here = posixpath.dirname(page.file.src_uri)
    return LINK.sub(lambda match: _site_link(match, here), markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let names of tests wrap, and tell mkdocs the anchors of lines of code."""
    html = _TEST.sub(lambda match: match[0].replace("_", "_<wbr>"), html)
    if page.file.src_uri.startswith("source/") and page.present_anchor_ids is not None:
        page.present_anchor_ids |= set(re.findall(r'id="(__codelineno-[\d-]+)"', html))
    return html


def on_config(config: MkDocsConfig) -> None:
    """Have the tables changed."""
    config.markdown_extensions.append(_Tables())


class _Tables(Extension):
    def extendMarkdown(self, md: Markdown) -> None:
        md.treeprocessors.register(_TableCells(md), "cells of tables", 5)  # their text is there


class _TableCells(Treeprocessor):
    """Tells each cell its heading, and each element its role, which a list would lose."""

    def run(self, root: Element) -> None:
        for table in root.iter("table"):
            headings = ["".join(cell.itertext()) for cell in table.iter("th")]
            for cell, heading in zip(table.iter("th"), headings, strict=True):
                if not heading:
                    cell.tag = "td"  # an empty heading is none
            table.set("data-columns", "many" if len(headings) > _FEW_COLUMNS else "few")
            for part, role in _ROLES.items():
                for element in table.iter(part):  # the table itself too
                    element.set("role", role)
            for row in table.iterfind("./tbody/tr"):
                for cell, heading in zip(row, headings, strict=True):
                    cell.set("data-label", heading)


def _is_document(path: str) -> bool:
    return path.endswith(".md")


def _page_of(path: str) -> str:
    return f"source/{path}" if _is_document(path) else f"source/{path}.md"


def _document(path: str) -> str:
    """Return a document whose links are written as those of the pages in docs/ are.

    What belongs to an item of a list stands under its text; mkdocs wants it four columns in.
    """
    folder = posixpath.dirname(path)
    texts = re.split(r"(^```.*?^```$)", (ROOT / path).read_text(), flags=re.MULTILINE | re.DOTALL)
    texts[::2] = (re.sub(r"^ +", r"\g<0>\g<0>", text, flags=re.MULTILINE) for text in texts[::2])
    return _BESIDE.sub(
        lambda match: f"](../{posixpath.normpath(posixpath.join(folder, match['path']))})",
        "".join(texts),
    )


def _source(path: str) -> str:
    language = _LANGUAGES.get(Path(path).suffix, "text")
    folders = (str(folder) for folder in Path(path).parents[:-1])
    readme = next(
        (f"{name}/README.md" for name in folders if (ROOT / name / "README.md").exists()), ""
    )
    back = f"A part of [this example](../{readme}).\n\n" if readme else ""
    return (
        f"---\ntitle: {path}\nsearch:\n  exclude: true\n---\n\n# `{path}`\n\n{back}"
        f'````` {{ .{language} linenums="1" }}\n{(ROOT / path).read_text()}`````\n'
    )


def _site_link(match: re.Match[str], here: str) -> str:
    path, definition = match["path"], "def " + match["text"].strip("`") + "("
    if path.startswith(_DOCS):
        return f"[{match['text']}]({posixpath.relpath(path.removeprefix(_DOCS), here)})"
    lines = (ROOT / path).read_text().splitlines()
    found = next((n for n, line in enumerate(lines, 1) if line.startswith(definition)), None)
    anchor = "" if found is None else f"#__codelineno-0-{found}"
    return f"[{match['text']}]({posixpath.relpath(_page_of(path), here)}{anchor})"


def _tables(document: dict[str, Any]) -> list[str]:
    lines = []
    for workload in document["workloads"].values():
        units = workload["units"]
        lines += [f"### {workload['title']}", "", "| | " + " | ".join(units.values()) + " |"]
        lines += ["|---|" + "---|" * len(units)]
        for name, measured in workload["contenders"].items():
            lines.append(f"| {name} | " + " | ".join(_cells(measured, list(units))) + " |")
        lines.append("")
    return lines


def _missed(document: dict[str, Any]) -> Iterator[str]:
    yield "| | target | this package | the floor |"
    yield "|---|---|---|---|"
    for target in document["targets"]:
        if target["holds"] is False:
            floor = target.get("floor")
            reach = ", so no handler can meet it" if target.get("out of reach") else ""
            cells = (
                target["title"],
                f"{target['sense']} {target['bound']:g}",
                _number(target["measured"]),
                "" if floor is None else _number(floor) + reach,
            )
            yield f"| {' | '.join(cells)} |"


def _costs(document: dict[str, Any]) -> Iterator[str]:
    yield "| | kazoo alone | this package |"
    yield "|---|---|---|"
    for title, (workload, unit) in _COST_ROWS.items():
        contenders = document["workloads"][workload]["contenders"]
        found = (contenders.get(name, {}).get(unit) for name in ("threads", "ours"))
        cells = ["" if summary is None else _figure(summary["median"]) for summary in found]
        yield f"| {title} | {cells[0]} | {cells[1]} |"


def _figure(value: float) -> str:
    return f"{float(f'{value:.3g}'):,.10g}"


def _cells(measured: dict[str, Any] | str, units: list[str]) -> list[str]:
    if isinstance(measured, str):
        return [measured.splitlines()[0]] + [""] * (len(units) - 1)
    return [_number(measured[unit]) if unit in measured else "" for unit in units]


def _number(summary: dict[str, float]) -> str:
    median, least, most = (
        f"{float(f'{summary[key]:.4g}'):,.10g}" for key in ("median", "least", "most")
    )
    return f"**{median}** ({least} to {most})"

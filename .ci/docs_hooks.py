"""Hooks for mkdocs: they show the files that pages link to, and the measured figures.

The pages link to tests and sources by paths in the repository. The built site has no
repository beside it, so each file that is linked becomes a page of the site: a README as it
reads, with what it links to, and any other file with an anchor for each line.
"""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).resolve().parent.parent
LINK: Final = re.compile(r"\[(?P<text>[^][]*)\]\(\.\./(?P<path>[^)#]+)\)")
"""A link out of docs/."""

_BESIDE: Final = re.compile(r"\]\((?![a-z]+:|#)(?P<path>[^)#]+)\)")
"""The end of a link in a README, which is relative to its folder."""

_TEST: Final = re.compile(r"<code>test_\w+</code>")
"""The name of a test, which a column of a table is too narrow for."""

_FIGURES: Final = "<!-- the figures of benchmarks.json -->"
_LANGUAGES: Final = {".py": "python", ".sh": "bash", ".md": "markdown", ".toml": "toml"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Make a page of each file of the repository that a page links to."""
    texts = [page.content_string for page in files.documentation_pages()]
    made: set[str] = set()
    for text in texts:  # which grows by each README
        for path in sorted({match["path"] for match in LINK.finditer(text)} - made):
            made.add(path)
            if _is_readme(path):
                content = _readme(path)
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
    if _FIGURES in markdown:
        document = json.loads((Path(config.docs_dir) / "benchmarks.json").read_text())
        markdown = markdown.replace(_FIGURES, "\n".join(_tables(document)))
    here = posixpath.dirname(page.file.src_uri)
    return LINK.sub(lambda match: _site_link(match, here), markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let names of tests wrap, and tell mkdocs the anchors of lines of code."""
    html = _TEST.sub(lambda match: match[0].replace("_", "_<wbr>"), html)
    if page.file.src_uri.startswith("source/") and page.present_anchor_ids is not None:
        page.present_anchor_ids |= set(re.findall(r'id="(__codelineno-[\d-]+)"', html))
    return html


def _is_readme(path: str) -> bool:
    return posixpath.basename(path) == "README.md"


def _page_of(path: str) -> str:
    return f"source/{path}" if _is_readme(path) else f"source/{path}.md"


def _readme(path: str) -> str:
    """Return a README whose links are written as those of the pages in docs/ are."""
    folder = posixpath.dirname(path)
    return _BESIDE.sub(
        lambda match: f"](../{posixpath.normpath(posixpath.join(folder, match['path']))})",
        (ROOT / path).read_text(),
    )


def _source(path: str) -> str:
    language = _LANGUAGES.get(Path(path).suffix, "text")
    return (
        f"---\ntitle: {path}\nsearch:\n  exclude: true\n---\n\n# `{path}`\n\n"
        f'````` {{ .{language} linenums="1" }}\n{(ROOT / path).read_text()}`````\n'
    )


def _site_link(match: re.Match[str], here: str) -> str:
    path, definition = match["path"], "def " + match["text"].strip("`") + "("
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


def _cells(measured: dict[str, Any] | str, units: list[str]) -> list[str]:
    if isinstance(measured, str):
        return [measured.splitlines()[0]] + [""] * (len(units) - 1)
    return [_number(measured[unit]) if unit in measured else "" for unit in units]


def _number(summary: dict[str, float]) -> str:
    median, least, most = (
        f"{float(f'{summary[key]:.4g}'):,.10g}" for key in ("median", "least", "most")
    )
    return f"**{median}** ({least} to {most})"
